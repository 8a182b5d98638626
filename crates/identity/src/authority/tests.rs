use super::*;
use crate::{Certificates, verify};

pub(super) fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().expect("time")
}

pub(super) fn later(seconds: i64) -> Timestamp {
    Timestamp::from_second(now().as_second() + seconds).expect("in range")
}

pub(super) fn domain() -> TrustDomain {
    "cluster.local".parse().expect("domain")
}

pub(super) fn backend() -> Leaf {
    Leaf {
        id: "spiffe://cluster.local/ns/shop/sa/backend".parse().expect("id"),
        dns: vec![],
        lifetime: 14_400,
    }
}

pub(super) fn issued(authority: &Authority) -> SignedChain {
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
    let changed = Sealed { keys: sealed.keys.replace('a', "b"), ..sealed.clone() };
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

#[test]
fn a_sealed_authority_takes_no_root_but_its_own() {
    let (mine, foreign) = (
        Authority::create(&domain(), now()).expect("mine"),
        Authority::create(&domain(), now()).expect("other"),
    );
    let key = SealKey::generate().expect("key");
    let sealed = mine.seal(&key).expect("sealed");
    let (planted, signs) = (hex::encode(&foreign.roots()[0]), hex::encode(foreign.intermediate()));
    let line = sealed.line.clone();
    for changed in [
        Sealed { line: Certificates { root: planted.clone(), ..line.clone() }, ..sealed.clone() },
        Sealed { line: Certificates { intermediate: signs, ..line.clone() }, ..sealed.clone() },
        Sealed { next: Some(line), ..sealed.clone() },
        Sealed { rotation: Rotation { version: 9, ..Rotation::default() }, ..sealed.clone() },
        Sealed { retired: vec![planted], ..sealed.clone() },
    ] {
        assert_eq!(Authority::open(&domain(), &changed, &key).err(), Some(IdentityError::Unseal));
    }
    let elsewhere = "other.org".parse().expect("domain");
    let told = Authority::open(&elsewhere, &sealed, &key).err().expect("refused").to_string();
    assert!(
        told.contains("vouches for spiffe://cluster.local, this installation is spiffe://other.org"),
        "{told}"
    );
}

#[test]
fn an_ended_intermediate_signs_nothing_and_a_leaf_never_outlives_it() {
    let authority = Authority::create(&domain(), now()).expect("created");
    let request = Key::generate().expect("key").request("x").expect("request");
    let late = authority.sign(&request, &backend(), later(90 * DAY - 3600)).expect("signed");
    assert_eq!(late.not_after, later(90 * DAY));
    let told = authority.sign(&request, &backend(), later(90 * DAY - 59)).err();
    assert_eq!(told, Some(IdentityError::Ended(later(90 * DAY))));
}

#[test]
fn the_shortest_leaf_is_renewed_at_half_its_life_while_still_valid() {
    let authority = Authority::create(&domain(), now()).expect("created");
    let request = Key::generate().expect("key").request("x").expect("request");
    let short = Leaf { lifetime: 60, ..backend() };
    let mut at = now();
    for _ in 0..3 {
        let signed = authority.sign(&request, &short, at).expect("signed");
        let (from, to) = crate::tls::validity(&signed.chain[0]).expect("readable");
        assert_eq!(to, signed.not_after);
        let next = renew_at(from, to, 255);
        assert!(next > at && next.as_second() + 20 < to.as_second(), "{at} {next} {to}");
        assert_eq!(verify(&signed.chain, &authority.roots(), next), Ok(short.id.clone()));
        at = next;
    }
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        /// A certificate with any one byte changed is unreadable or not believed; it is never believed to
        /// be something else, and reading it never panics.
        #[test]
        fn a_changed_certificate_is_never_believed(at: prop::sample::Index, bit in 0u8..8) {
            static MADE: std::sync::OnceLock<[Vec<Vec<u8>>; 2]> = std::sync::OnceLock::new();
            let [chain, roots] = MADE.get_or_init(|| {
                let authority = Authority::create(&domain(), now()).expect("created");
                [issued(&authority).chain, authority.roots()]
            });
            let mut chain = chain.clone();
            let at = at.index(chain[0].len());
            chain[0][at] ^= 1 << bit;
            prop_assert!(verify(&chain, roots, now()).is_err());
        }

        #[test]
        fn bytes_that_are_nothing_are_refused(bytes: Vec<u8>) {
            prop_assert!(verify(std::slice::from_ref(&bytes), std::slice::from_ref(&bytes), now()).is_err());
            prop_assert!(crate::from_pem(&bytes).is_err());
            prop_assert!(Key::from_pkcs8(&bytes).is_err());
            let line = Certificates { root: hex::encode(&bytes), intermediate: String::new() };
            let sealed = Sealed { line, retired: vec![], next: None, rotation: Rotation::default(), keys: hex::encode(&bytes) };
            let key = SealKey::from_bytes(&[7; 32]).expect("32 bytes");
            prop_assert!(Authority::open(&domain(), &sealed, &key).is_err());
        }
    }
}
