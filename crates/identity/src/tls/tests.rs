use std::io::{Read, Write};

use rustls::{ClientConnection, ServerConnection};

use super::*;
use crate::{Authority, Key, Leaf};

fn domain() -> outis_model::TrustDomain {
    "cluster.local".parse().expect("domain")
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    Timestamp::from_second(i64::try_from(since.as_secs()).expect("in range")).expect("in range")
}

struct Side {
    credential: Credential,
    trust: Trust,
}

fn side(authority: &Authority, name: &str, roots: &Authority) -> Side {
    let (credential, trust) = (Credential::default(), Trust::default());
    let key = Key::generate().expect("key");
    let id = format!("spiffe://cluster.local/outis/{name}").parse().expect("id");
    let leaf = Leaf { id, dns: vec![], lifetime: 3600 };
    let signed = authority.sign_own(&key, &leaf, now()).expect("signed");
    credential.set(&signed.chain, key.pkcs8().reveal()).expect("set");
    trust.set(&roots.roots()).expect("set");
    Side { credential, trust }
}

/// Shakes hands in memory; gives who the server saw, or the first error of either side.
fn shake(
    server_config: Arc<ServerConfig>,
    client_config: Arc<ClientConfig>,
) -> Result<Option<SpiffeId>, String> {
    let mut server = ServerConnection::new(server_config).map_err(|error| error.to_string())?;
    let name = ServerName::try_from("any.name").expect("name");
    let mut client = ClientConnection::new(client_config, name).map_err(|error| error.to_string())?;
    for _ in 0..8 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).map_err(|error| error.to_string())?;
        }
        feed(&wire, |bytes| server.read_tls(bytes))?;
        server.process_new_packets().map_err(|error| error.to_string())?;
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).map_err(|error| error.to_string())?;
        }
        feed(&wire, |bytes| client.read_tls(bytes))?;
        client.process_new_packets().map_err(|error| error.to_string())?;
    }
    assert!(!server.is_handshaking() && !client.is_handshaking());
    client.writer().write_all(b"hello").map_err(|error| error.to_string())?;
    assert_eq!(
        server.reader().read(&mut [0; 1]).map_err(|error| error.kind()),
        Err(std::io::ErrorKind::WouldBlock)
    );
    Ok(server.peer_certificates().map(|chain| peer_id(chain).expect("one identity")))
}

fn feed(mut wire: &[u8], mut read: impl FnMut(&mut &[u8]) -> std::io::Result<usize>) -> Result<(), String> {
    while !wire.is_empty() {
        read(&mut wire).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn expected(name: &str) -> Expected {
    Expected::Ids(vec![format!("spiffe://cluster.local/outis/{name}").parse().expect("id")])
}

#[test]
fn both_ends_are_proved_and_the_server_sees_who_came() {
    let authority = Authority::create(&domain(), now()).expect("created");
    let (controller, agent) =
        (side(&authority, "controller", &authority), side(&authority, "agent", &authority));
    let server = server(&controller.credential, &controller.trust).expect("config");
    let client = client(&agent.credential, &agent.trust, expected("controller")).expect("config");
    let seen = shake(server, client).expect("shaken").expect("a certificate");
    assert_eq!(seen.to_string(), "spiffe://cluster.local/outis/agent");
}

#[test]
fn who_comes_to_enrol_needs_no_certificate() {
    let authority = Authority::create(&domain(), now()).expect("created");
    let controller = side(&authority, "controller", &authority);
    let server = server(&controller.credential, &controller.trust).expect("config");
    let client = client(&Credential::default(), &controller.trust, expected("controller")).expect("config");
    assert_eq!(shake(server, client), Ok(None));
}

#[test]
fn another_server_than_expected_is_refused_by_name() {
    let authority = Authority::create(&domain(), now()).expect("created");
    let (impostor, agent) = (side(&authority, "agent", &authority), side(&authority, "agent", &authority));
    let server = server(&impostor.credential, &impostor.trust).expect("config");
    let client = client(&agent.credential, &agent.trust, expected("controller")).expect("config");
    let told = shake(server, client).expect_err("refused");
    assert!(
        told.contains(
            "the peer is spiffe://cluster.local/outis/agent, expected spiffe://cluster.local/outis/controller"
        ),
        "{told}"
    );
}

#[test]
fn a_foreign_certificate_is_refused_on_either_side() {
    let (ours, theirs) = (
        Authority::create(&domain(), now()).expect("ours"),
        Authority::create(&domain(), now()).expect("theirs"),
    );
    let controller = side(&ours, "controller", &ours);
    let foreigner = side(&theirs, "agent", &ours);
    let server_config = server(&controller.credential, &controller.trust).expect("config");
    let client_config =
        client(&foreigner.credential, &foreigner.trust, expected("controller")).expect("config");
    let told = shake(server_config, client_config).expect_err("refused");
    assert!(told.contains("not vouched for by this trust bundle"), "{told}");
    let agent = side(&ours, "agent", &theirs);
    let server_config = server(&controller.credential, &controller.trust).expect("config");
    let client_config = client(&agent.credential, &agent.trust, expected("controller")).expect("config");
    let told = shake(server_config, client_config).expect_err("refused");
    assert!(told.contains("not vouched for by this trust bundle"), "{told}");
}

#[test]
fn a_replaced_certificate_and_bundle_are_taken_by_the_next_handshake() {
    let (old, new) = (
        Authority::create(&domain(), now()).expect("old"),
        Authority::create(&domain(), now()).expect("new"),
    );
    let (controller, agent) = (side(&old, "controller", &old), side(&old, "agent", &old));
    let server = server(&controller.credential, &controller.trust).expect("config");
    let client = client(&agent.credential, &agent.trust, expected("controller")).expect("config");
    shake(Arc::clone(&server), Arc::clone(&client)).expect("old with old");
    let moved = side(&new, "agent", &new);
    let chain = moved.credential.get().expect("set");
    *agent.credential.0.write().expect("lock") = Some(chain);
    assert!(
        shake(Arc::clone(&server), Arc::clone(&client)).is_err(),
        "the server does not know the new root yet"
    );
    let both: Vec<Vec<u8>> = [old.roots(), new.roots()].concat();
    controller.trust.set(&both).expect("set");
    shake(server, client).expect("new with both");
}

#[test]
fn a_certificate_with_no_or_two_identities_has_none() {
    let made = rcgen::generate_simple_self_signed(vec!["a.example".into()]).expect("made");
    assert_eq!(peer_id(&[made.cert.der().clone()]), Err(IdentityError::Names(0)));
    assert_eq!(peer_id(&[]), Err(IdentityError::Absent));
}

/// Both ends after a handshake that has to succeed.
fn shaken(server: Arc<ServerConfig>, client: Arc<ClientConfig>) -> (ServerConnection, ClientConnection) {
    let mut server = ServerConnection::new(server).expect("server");
    let mut client =
        ClientConnection::new(client, ServerName::try_from("any.name").expect("name")).expect("client");
    for _ in 0..8 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).expect("written");
        }
        feed(&wire, |bytes| server.read_tls(bytes)).expect("read");
        server.process_new_packets().expect("taken");
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).expect("written");
        }
        feed(&wire, |bytes| client.read_tls(bytes)).expect("read");
        client.process_new_packets().expect("taken");
    }
    (server, client)
}

#[test]
fn keys_are_exchanged_post_quantum_over_http2() {
    let authority = Authority::create(&domain(), now()).expect("created");
    let (controller, agent) =
        (side(&authority, "controller", &authority), side(&authority, "agent", &authority));
    let (server, client) = shaken(
        server(&controller.credential, &controller.trust).expect("config"),
        client(&agent.credential, &agent.trust, expected("controller")).expect("config"),
    );
    let group = client.negotiated_key_exchange_group().expect("negotiated").name();
    assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
    assert_eq!(server.alpn_protocol(), Some(&b"h2"[..]));
    assert_eq!(client.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
}

#[test]
fn a_client_that_would_resume_is_looked_at_again() {
    let authority = Authority::create(&domain(), now()).expect("created");
    let (controller, agent) =
        (side(&authority, "controller", &authority), side(&authority, "agent", &authority));
    let server_config = server(&controller.credential, &controller.trust).expect("config");
    let ours = client(&agent.credential, &agent.trust, expected("controller")).expect("config");
    // The same client, but with a session cache: it is not ours to trust that peers have none.
    let mut theirs = (*ours).clone();
    theirs.resumption = rustls::client::Resumption::in_memory_sessions(8);
    let theirs = Arc::new(theirs);
    for _ in 0..2 {
        let (_, client) = shaken(Arc::clone(&server_config), Arc::clone(&theirs));
        assert_eq!(client.handshake_kind(), Some(rustls::HandshakeKind::Full));
    }
    let foreign = Authority::create(&domain(), now()).expect("created");
    controller.trust.set(&foreign.roots()).expect("set");
    let told = shake(server_config, theirs).expect_err("its root was withdrawn");
    assert!(told.contains("not vouched for by this trust bundle"), "{told}");
}
