//! The canary: says one line to whoever connects, and closes. It listens twice, once where our NetworkPolicy lets
//! everybody through and once where it lets nobody through; what answers tells who enforces policies.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use outis_model::input::Reach;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// All it says. Whoever asks looks for it: a proxy in between takes connections for anybody.
pub const LINE: &[u8; 13] = b"outis canary\n";
/// What one caller may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Answers until `shutdown` is done, one caller at a time: the line fits any socket's buffer, so nobody holds up the
/// next, and the kernel's backlog bounds who waits.
pub async fn serve(listener: TcpListener, shutdown: impl Future<Output = ()>) {
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            // A caller that is gone already wanted no answer.
            Ok((stream, _)) => drop(tokio::time::timeout(PATIENCE, answer(stream)).await),
            Err(error) => {
                tracing::warn!(door = "canary", %error, "Accept failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    stream.write_all(LINE).await?;
    stream.shutdown().await
}

/// Whether a canary answers there in time.
pub async fn reach(address: SocketAddr, patience: Duration) -> Reach {
    match tokio::time::timeout(patience, ask(address)).await {
        Ok(Ok(line)) if &line == LINE => Reach::Answered,
        Ok(Ok(_)) => Reach::Silent("something else answered".into()),
        Ok(Err(error)) => Reach::Silent(error.to_string()),
        Err(_) => Reach::Silent(format!("nothing within {} s", patience.as_secs_f32())),
    }
}

async fn ask(address: SocketAddr) -> std::io::Result<[u8; LINE.len()]> {
    let mut line = [0; LINE.len()];
    TcpStream::connect(address).await?.read_exact(&mut line).await?;
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On both families, as a pod has them.
    async fn listening() -> (TcpListener, Vec<SocketAddr>) {
        let listener = crate::http::bind("[::]:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        (listener, ["127.0.0.1", "::1"].map(|ip| SocketAddr::new(ip.parse().expect("ip"), port)).to_vec())
    }

    #[tokio::test]
    async fn whoever_connects_gets_the_line_in_both_families() {
        let (listener, addresses) = listening().await;
        tokio::spawn(serve(listener, std::future::pending()));
        for address in addresses {
            assert_eq!(reach(address, Duration::from_secs(5)).await, Reach::Answered, "{address}");
        }
    }

    #[tokio::test]
    async fn a_caller_that_says_nothing_and_stays_holds_up_nobody() {
        let (listener, addresses) = listening().await;
        tokio::spawn(serve(listener, std::future::pending()));
        let idle = TcpStream::connect(addresses[0]).await.expect("accepted");
        assert_eq!(reach(addresses[0], Duration::from_secs(5)).await, Reach::Answered);
        drop(idle);
    }

    #[tokio::test]
    async fn it_ends_when_told() {
        let (listener, addresses) = listening().await;
        serve(listener, std::future::ready(())).await;
        let Reach::Silent(why) = reach(addresses[0], Duration::from_secs(5)).await else {
            panic!("it answers still")
        };
        assert!(why.contains("refused"), "{why}");
    }

    #[tokio::test]
    async fn who_accepts_and_says_nothing_or_something_else_is_no_canary() {
        let (listener, addresses) = listening().await;
        // Accepted by the kernel, answered by nobody: what a dropped packet looks like once connected.
        let silent = reach(addresses[0], Duration::from_millis(50)).await;
        assert_eq!(silent, Reach::Silent("nothing within 0.05 s".into()));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n").await;
            }
        });
        let other = reach(addresses[1], Duration::from_secs(5)).await;
        assert_eq!(other, Reach::Silent("something else answered".into()));
    }
}
