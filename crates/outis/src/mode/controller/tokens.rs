//! Used tokens, remembered in the store: a controller that comes back takes none of them again.

use std::sync::Arc;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use outis_identity::attest::{Digest, ReplayGuard, UsedTokens};
use outis_model::Timestamp;
use outis_store::State;

const PREFIX: &str = "link/token/";

/// The guard, with what it knew before.
pub(super) async fn guard(state: &State) -> Result<Arc<ReplayGuard>> {
    let tokens = Arc::new(Tokens(state.clone()));
    let opened = tokio::task::spawn_blocking(move || ReplayGuard::open(tokens)).await;
    let guard = opened.context("the thread that reads the used tokens ended")?;
    Ok(Arc::new(guard.context("cannot take up the used tokens")?))
}

struct Tokens(State);

fn key(token: &Digest) -> String {
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(token))
}

fn read(key: &str, value: &[u8]) -> Option<(Digest, Timestamp)> {
    let token = URL_SAFE_NO_PAD.decode(key.strip_prefix(PREFIX)?).ok()?;
    let until = i64::from_be_bytes(value.try_into().ok()?);
    Some((token.try_into().ok()?, Timestamp::from_second(until).ok()?))
}

impl UsedTokens for Tokens {
    fn all(&self) -> Result<Vec<(Digest, Timestamp)>, String> {
        let entries = self.0.entries(PREFIX).map_err(|error| error.to_string())?;
        // An entry whose end cannot be read stays, and its token stays refused: it is found again by its key.
        Ok(entries.iter().filter_map(|(key, value)| read(key, value)).collect())
    }

    fn take(&self, token: &Digest, until: Timestamp) -> Result<bool, String> {
        let until = until.as_second().to_be_bytes();
        self.0.swap(&key(token), None, Some(&until)).map_err(|error| error.to_string())
    }

    fn forget(&self, token: &Digest) -> Result<(), String> {
        let key = key(token);
        let held = self.0.get(&key).map_err(|error| error.to_string())?;
        let gone = self.0.swap(&key, held.as_deref(), None).map_err(|error| error.to_string())?;
        if gone { Ok(()) } else { Err(format!("{key} was changed meanwhile")) }
    }
}

#[cfg(test)]
mod tests {
    use outis_identity::attest::NotBelieved;

    use super::*;

    #[tokio::test]
    async fn a_token_used_before_a_restart_is_refused_by_name_after_it_and_forgotten_in_the_end() {
        let dir = tempfile::tempdir().expect("dir");
        let at = |second| Timestamp::from_second(second).expect("time");
        let state = State::open(dir.path()).expect("opens");
        let guard_one = guard(&state).await.expect("opened");
        assert_eq!(guard_one.first_use("token of an agent", at(0)), Ok(()));
        drop((guard_one, state));

        let state = State::open(dir.path()).expect("opens again");
        let guard_two = guard(&state).await.expect("opened");
        let told = guard_two.first_use("token of an agent", at(100)).expect_err("a replay");
        assert_eq!(told, NotBelieved::Replayed);
        assert_eq!(told.to_string(), "the token was used before; each is good for one enrolment");
        assert_eq!(guard_two.first_use("another", at(100)), Ok(()));
        guard_two.give_back("another");
        assert_eq!(guard_two.first_use("another", at(100)), Ok(()), "nothing was handed out for it");
        assert_eq!(state.entries(PREFIX).expect("read").len(), 2);
        // Both have ended by then.
        assert_eq!(guard_two.first_use("a third", at(100_000)), Ok(()));
        assert_eq!(state.entries(PREFIX).expect("read").len(), 1);
    }

    #[tokio::test]
    async fn an_entry_whose_end_cannot_be_read_still_refuses_its_token() {
        let dir = tempfile::tempdir().expect("dir");
        let state = State::open(dir.path()).expect("opens");
        assert_eq!(guard(&state).await.expect("opened").first_use("a", Timestamp::UNIX_EPOCH), Ok(()));
        let (key, held) = state.entries(PREFIX).expect("read").remove(0);
        assert!(state.swap(&key, Some(&held), Some(b"junk")).expect("swapped"));
        let again = guard(&state).await.expect("opened");
        assert_eq!(again.first_use("a", Timestamp::UNIX_EPOCH), Err(NotBelieved::Replayed));
    }
}
