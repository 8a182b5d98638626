//! Connects and accepts.

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};

use outis_model::event::{Socket, Transport, What};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

use crate::house::House;

async fn connected(house: &mut House, wanted: impl Fn(&Socket) -> bool) -> Socket {
    let event = house.until(|event| matches!(&event.what, What::Connect(socket) if wanted(socket))).await;
    let What::Connect(socket) = event.what else { unreachable!("just matched") };
    *socket
}

async fn accepted(house: &mut House, wanted: impl Fn(&Socket) -> bool) -> Socket {
    let event = house.until(|event| matches!(&event.what, What::Accept(socket) if wanted(socket))).await;
    let What::Accept(socket) = event.what else { unreachable!("just matched") };
    *socket
}

async fn both_ends(house: &mut House, listen: &str) {
    let listener = TcpListener::bind(listen).unwrap();
    let at = listener.local_addr().unwrap();
    let client = TcpStream::connect(at).unwrap();
    let (server, from) = listener.accept().unwrap();
    let told = connected(house, |socket| socket.peer == Some(at)).await;
    assert_eq!(
        (told.local, told.fd, told.result),
        (Some(client.local_addr().unwrap()), client.as_raw_fd(), 0)
    );
    assert_eq!((told.transport, told.syscall.as_str()), (Transport::Tcp, "connect"));
    let told = accepted(house, |socket| socket.local == Some(at)).await;
    assert_eq!((told.peer, told.result), (Some(from), server.as_raw_fd()));
    assert_eq!(
        (told.transport, told.syscall.as_str(), told.fd),
        (Transport::Tcp, "accept4", server.as_raw_fd())
    );
}

#[tokio::test]
#[ignore = "needs root"]
async fn both_ends_of_a_connection_are_told_for_both_families() {
    let mut house = House::start();
    both_ends(&mut house, "127.0.0.1:0").await;
    both_ends(&mut house, "[::1]:0").await;
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_refused_connection_is_told_with_whom_it_was_meant_for() {
    let mut house = House::start();
    let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    TcpStream::connect(at).unwrap_err();
    let told = connected(&mut house, |socket| socket.peer == Some(at)).await;
    assert_eq!(told.result, -111);
    let at = TcpListener::bind("[::1]:0").unwrap().local_addr().unwrap();
    TcpStream::connect(at).unwrap_err();
    assert_eq!(connected(&mut house, |socket| socket.peer == Some(at)).await.result, -111);
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_connection_in_progress_is_told_as_such() {
    let mut house = House::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::NONBLOCK, None).unwrap();
    connect(&socket, &at).unwrap_err();
    let told = connected(&mut house, |socket| socket.peer == Some(at)).await;
    assert_eq!((told.result, told.fd), (-115, socket.as_raw_fd()));
    assert!(told.local.is_some_and(|local| local.port() != 0));
}

#[tokio::test]
#[ignore = "needs root"]
async fn datagrams_and_unix_sockets_are_told_apart() {
    let mut house = House::start();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to: SocketAddr = "127.0.0.1:9".parse().unwrap();
    socket.connect(to).unwrap();
    let told = connected(&mut house, |told| told.peer == Some(to)).await;
    assert_eq!((told.transport, told.local), (Transport::Udp, socket.local_addr().ok()));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("door");
    let listener = UnixListener::bind(&path).unwrap();
    let _client = UnixStream::connect(&path).unwrap();
    let _server = listener.accept().unwrap();
    let door = path.to_str().unwrap();
    let told = connected(&mut house, |told| told.unix.as_deref() == Some(door)).await;
    assert_eq!((told.result, told.peer, told.transport), (0, None, Transport::Unknown));
    accepted(&mut house, |told| told.unix.as_deref() == Some(door)).await;

    use std::os::linux::net::SocketAddrExt;
    let name = std::os::unix::net::SocketAddr::from_abstract_name("outis-test").unwrap();
    let _listener = UnixListener::bind_addr(&name).unwrap();
    let _client = UnixStream::connect_addr(&name).unwrap();
    connected(&mut house, |told| told.unix.as_deref() == Some("@outis-test")).await;
}
