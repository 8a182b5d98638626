//! The authority through a whole replacement of its root.

use super::tests::{backend, domain, issued, later, now};
use super::*;
use crate::rotation::Step;
use crate::verify;

const STEPS: [Step; 5] =
    [Step::Prepare, Step::Publish, Step::Activate(vec![]), Step::Retire, Step::Finish(vec![])];

/// The authority in every phase, from the beginning to the end.
fn whole() -> Vec<Authority> {
    let mut all = vec![Authority::create(&domain(), now()).expect("created")];
    for step in &STEPS {
        let last = all.last().expect("never empty");
        all.push(last.stepped(step, "jo", now()).expect("stepped"));
    }
    all
}

#[test]
fn both_roots_are_trusted_from_before_the_new_one_signs_until_after_the_old_one_did() {
    let all = whole();
    let (old, new) = (all[0].roots(), all[5].roots());
    assert_ne!(old, new);
    let both = [old.clone(), new.clone()].concat();
    let roots = |at: usize| {
        let mut roots = all[at].roots();
        roots.sort_by_key(|root| !old.contains(root));
        roots
    };
    let expected = [(1, &old), (2, &both), (3, &both), (4, &new), (5, &new)];
    expected.into_iter().for_each(|(at, expected)| assert_eq!(&roots(at), expected, "step {at}"));
    let versions: Vec<u64> = all.iter().map(|authority| authority.rotation().version).collect();
    assert_eq!(versions, [1, 1, 2, 2, 3, 3]);
    let signs: Vec<bool> = all.iter().map(|authority| authority.root() == all[5].root()).collect();
    assert_eq!(signs, [false, false, false, true, true, true]);
}

/// Whoever holds the bundle of a phase or of the one before or after it believes whoever was issued in it.
#[test]
fn no_neighbour_in_time_is_ever_refused_and_the_old_root_is_in_the_end() {
    let all = whole();
    let chains: Vec<_> = all.iter().map(|authority| issued(authority).chain).collect();
    for (at, chain) in chains.iter().enumerate() {
        for judge in &all[at.saturating_sub(1)..=(at + 1).min(5)] {
            let (verified, phase) = (verify(chain, &judge.roots(), now()), judge.rotation().phase);
            assert_eq!(verified, Ok(backend().id), "issued in {at}, judged by one that is {phase}");
        }
    }
    assert!(matches!(verify(&chains[0], &all[5].roots(), now()), Err(IdentityError::Untrusted(_))));
    assert_eq!(verify(&chains[5], &all[5].roots(), now()), Ok(backend().id));
}

#[test]
fn a_controller_restarted_in_any_phase_is_the_same_authority_in_that_phase() {
    let key = SealKey::generate().expect("key");
    for (at, authority) in whole().into_iter().enumerate() {
        let sealed = authority.seal(&key).expect("sealed");
        let text = serde_json::to_string(&sealed).expect("JSON");
        let read: Sealed = serde_json::from_str(&text).expect("JSON");
        let again = Authority::open(&domain(), &read, &key).expect("opened");
        assert!(again.rests_in(&sealed), "phase {at}");
        assert_eq!((again.roots(), again.root()), (authority.roots(), authority.root()), "phase {at}");
        // It goes on where it was, under the keys it had.
        if let Some(step) = STEPS.get(at) {
            let (next, other) = (again.stepped(step, "jo", now()), authority.stepped(step, "jo", now()));
            let (next, other) = (next.expect("stepped"), other.expect("stepped"));
            assert_eq!(next.rotation(), other.rotation());
            // A root that is made anew is another one; all that was made before is the same.
            assert_eq!(next.roots(), other.roots(), "phase {at}");
        }
    }
}

#[test]
fn what_was_sealed_before_there_was_a_rotation_still_opens() {
    let authority = Authority::create(&domain(), now()).expect("created");
    let key = SealKey::generate().expect("key");
    let mut text = serde_json::to_value(authority.seal(&key).expect("sealed")).expect("JSON");
    text.as_object_mut().expect("an object").remove("rotation").expect("it is there");
    let keys: Vec<&String> = text.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["intermediate", "keys", "retired", "root"]);
    let read: Sealed = serde_json::from_value(text).expect("JSON");
    let again = Authority::open(&domain(), &read, &key).expect("opened");
    assert_eq!((again.roots(), again.rotation()), (authority.roots(), &Rotation::default()));
}

#[test]
fn a_phase_cannot_be_moved_by_who_has_no_key() {
    let key = SealKey::generate().expect("key");
    let all = whole();
    let sealed: Vec<Sealed> = all.iter().map(|one| one.seal(&key).expect("sealed")).collect();
    for (at, one) in sealed.iter().enumerate() {
        let mut moved = one.clone();
        moved.rotation.version += 1;
        assert_eq!(Authority::open(&domain(), &moved, &key).err(), Some(IdentityError::Unseal), "phase {at}");
        let without = Sealed { next: None, ..one.clone() };
        assert_eq!(Authority::open(&domain(), &without, &key).is_err(), one.next.is_some(), "phase {at}");
    }
    assert_eq!(all[0].stepped(&Step::Activate(vec![]), "jo", now()).err(), Some(IdentityError::NoNext));
}

#[test]
fn a_root_is_due_when_a_tenth_of_its_life_is_left() {
    let authority = Authority::create(&domain(), now()).expect("created");
    assert!(!authority.root_due(later(3284 * DAY)) && authority.root_due(later(3286 * DAY)));
    assert_eq!(authority.root_ends(), later(3650 * DAY));
}

#[test]
fn the_intermediate_is_replaced_beside_a_rotation_without_disturbing_it() {
    for (at, authority) in whole().into_iter().enumerate() {
        let rotated = authority.rotated(now()).expect("rotated");
        assert_ne!(rotated.intermediate(), authority.intermediate());
        assert_eq!((rotated.roots(), rotated.rotation()), (authority.roots(), authority.rotation()));
        assert_eq!(
            verify(&issued(&rotated).chain, &authority.roots(), now()),
            Ok(backend().id),
            "phase {at}"
        );
    }
}
