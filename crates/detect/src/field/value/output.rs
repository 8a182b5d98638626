//! Fields that only put others into words.

use outis_model::event::{Socket, What};

use super::{Value, View};
use crate::field::Id;
use crate::hide;
use crate::names;

impl<'a> View<'a> {
    pub(super) fn told(&self, id: Id) -> Value<'a> {
        match id {
            Id::EvtTimeIso => self.event.time.to_string().into(),
            Id::EvtDateTime => self.event.time.strftime("%Y-%m-%d %H:%M:%S.%9f").to_string().into(),
            _ => self.arguments().into(),
        }
    }

    /// `res=0 exe=sh args=-c id`, as the call had them.
    fn arguments(&self) -> Option<String> {
        let event = self.event;
        let res = self.returned().map_or_else(String::new, |result| match result {
            0.. => format!("res={result}"),
            _ => format!("res={result}({})", names::result(result)),
        });
        Some(match &event.what {
            What::Exec(exec) | What::Seen(exec) => {
                let hidden = if self.shown { hide::args(&exec.args) } else { exec.args.clone() };
                let args = hidden.get(1..).unwrap_or_default().join(" ");
                let exe = hidden.first().map_or("", String::as_str);
                format!("{res} exe={exe} args={args} cwd={} filename={}", exec.cwd, exec.exe_path)
            }
            What::Open(open) => {
                let flags = names::open_flags(super::file::flags(open));
                format!(
                    "fd={} dirfd={} name={} flags={flags} mode={:o}",
                    open.result, open.dirfd, open.raw, open.mode
                )
            }
            What::Connect(socket) | What::Accept(socket) => {
                format!("{res} fd={} tuple={}", socket.fd, tuple(socket))
            }
            What::Fork(fork) => format!("exe={} cwd={}", fork.exe_path, fork.cwd),
            What::Exit { status } => format!("status={status}"),
        })
    }
}

fn tuple(socket: &Socket) -> String {
    match (&socket.unix, socket.local, socket.peer) {
        (Some(path), ..) => path.clone(),
        (None, local, peer) => {
            let text =
                |end: Option<std::net::SocketAddr>| end.map_or_else(|| "?".into(), |end| end.to_string());
            format!("{}->{}", text(local), text(peer))
        }
    }
}
