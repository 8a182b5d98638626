use super::*;
use crate::verify;

fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().expect("time")
}

fn later(seconds: i64) -> Timestamp {
    Timestamp::from_second(now().as_second() + seconds).expect("in range")
}

fn domain() -> TrustDomain {
    "cluster.local".parse().expect("domain")
}

fn backend() -> Leaf {
    Leaf {
        id: "spiffe://cluster.local/ns/shop/sa/backend".parse().expect("id"),
        dns: vec![],
        lifetime: 14_400,
    }
}

fn issued(authority: &Authority) -> SignedChain {
    let request = Key::generate().expect("key").request("whoever").expect("request");
    authority.sign(&request, &backend(), now()).expect("signed")
}

#[test]
fn a_leaf_says_what_an_x509_svid_must_and_no_more() {
    let authority = Authority::create(&domain(), now()).expect("created");
    let signed = issued(&authority);
    let (_, leaf) = x509_parser::parse_x509_certificate(&signed.chain[0]).expect("certificate");
    let usage = leaf.key_usage().expect("readable").expect("present");
    assert!(usage.critical && usage.value.digital_signature());
    assert!(!usage.value.key_cert_sign() && !usage.value.crl_sign() && !leaf.is_ca());
    let extended = leaf.extended_key_usage().expect("readable").expect("present").value;
    assert!(extended.server_auth && extended.client_auth);
    let names = &leaf.subject_alternative_name().expect("readable").expect("present").value.general_names;
    assert_eq!(names.len(), 1);
    assert!(!leaf.subject().to_string().contains("whoever"), "nothing of the request but its key");
    assert!(leaf.serial.bits() > 64);
    assert_eq!(verify(&signed.chain, &authority.roots(), now()), Ok(backend().id));
}

#[test]
fn a_leaf_outside_its_time_or_of_another_root_is_not_believed() {
    let authority = Authority::create(&domain(), now()).expect("created");
    let signed = issued(&authority);
    assert!(matches!(
        verify(&signed.chain, &authority.roots(), later(14_401)),
        Err(IdentityError::Untrusted(_))
    ));
    let foreign = Authority::create(&domain(), now()).expect("created");
    assert!(matches!(verify(&signed.chain, &foreign.roots(), now()), Err(IdentityError::Untrusted(_))));
    assert!(matches!(verify(&[vec![1, 2]], &authority.roots(), now()), Err(IdentityError::Certificate(_))));
}

#[test]
fn an_empty_store_is_the_same_authority() {
    let authority = Authority::create(&domain(), now()).expect("created");
    let key = SealKey::generate().expect("key");
    let sealed = serde_json::to_string(&authority.seal(&key).expect("sealed")).expect("JSON");
    let sealed: Sealed = serde_json::from_str(&sealed).expect("JSON");
    let again = Authority::open(&domain(), &sealed, &key).expect("opened");
    assert_eq!((again.roots(), again.intermediate()), (authority.roots(), authority.intermediate()));
    assert_eq!(verify(&issued(&again).chain, &authority.roots(), now()), Ok(backend().id));
    let other = SealKey::generate().expect("key");
    assert_eq!(Authority::open(&domain(), &sealed, &other).err(), Some(IdentityError::Unseal));
    let changed = Sealed { keys: sealed.keys.replace('a', "b"), ..sealed };
    assert_eq!(Authority::open(&domain(), &changed, &key).err(), Some(IdentityError::Unseal));
}

#[test]
fn leaves_of_the_old_intermediate_outlive_a_rotation() {
    let authority = Authority::create(&domain(), now()).expect("created");
    assert!(!authority.due(later(59 * DAY)) && authority.due(later(61 * DAY)));
    let old = issued(&authority);
    let rotated = authority.rotated(now()).expect("rotated");
    assert_ne!(rotated.intermediate(), authority.intermediate());
    assert_eq!(rotated.roots(), authority.roots());
    for chain in [old.chain, issued(&rotated).chain] {
        assert_eq!(verify(&chain, &rotated.roots(), now()), Ok(backend().id));
    }
}

#[test]
fn what_is_not_ours_to_sign_is_refused_by_name() {
    let authority = Authority::create(&domain(), now()).expect("created");
    let request = Key::generate().expect("key").request("x").expect("request");
    let long = Leaf { lifetime: 86_401, ..backend() };
    assert_eq!(authority.sign(&request, &long, now()).err(), Some(IdentityError::Lifetime(86_401)));
    let foreign = Leaf { id: "spiffe://other.org/ns/a/sa/b".parse().expect("id"), ..backend() };
    assert!(matches!(authority.sign(&request, &foreign, now()), Err(IdentityError::Peer { .. })));
    let mut broken = request.clone();
    let last = broken.len() - 1;
    broken[last] ^= 1;
    assert!(matches!(authority.sign(&broken, &backend(), now()), Err(IdentityError::Request(_))));
    assert!(matches!(authority.sign(b"none", &backend(), now()), Err(IdentityError::Request(_))));
}

#[test]
fn renewal_is_at_half_life_give_or_take_a_twentieth() {
    let at = |jitter| renew_at(now(), later(1000), jitter).as_second() - now().as_second();
    assert_eq!((at(0), at(128), at(255)), (450, 500, 549));
}
