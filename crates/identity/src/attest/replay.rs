//! A token is good for one enrolment, also when the controller was away in between.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use outis_model::Timestamp;

use super::NotBelieved;

/// SHA-256 of a token: what is remembered of it.
pub type Digest = [u8; 32];

/// Where used tokens are remembered over a restart (answered by the controller's store). Its calls may wait
/// for a disk.
pub trait UsedTokens: Send + Sync {
    /// All that are remembered, and until when.
    ///
    /// # Errors
    /// Why that cannot be told.
    fn all(&self) -> Result<Vec<(Digest, Timestamp)>, String>;
    /// Remembers one; false when it was remembered already. On disk on return.
    ///
    /// # Errors
    /// Why it cannot be remembered.
    fn take(&self, token: &Digest, until: Timestamp) -> Result<bool, String>;
    /// Forgets one.
    ///
    /// # Errors
    /// Why it cannot be forgotten.
    fn forget(&self, token: &Digest) -> Result<(), String>;
}

/// Tokens that were used, until they expire on their own.
pub struct ReplayGuard {
    memory: Arc<dyn UsedTokens>,
    used: Mutex<BTreeMap<Digest, Timestamp>>,
}

impl ReplayGuard {
    /// Tokens remembered at most; beyond, the guard refuses rather than forgets.
    const LIMIT: usize = 65_536;
    /// For a token that does not say when it expires, in seconds: longer than a projected token of ours lives.
    const KEEP: i64 = 7200;
    /// How long after its end an API server may still take a token, in seconds: clocks differ.
    const LEEWAY: i64 = 300;

    /// Takes up what was remembered.
    ///
    /// # Errors
    /// It cannot be told.
    pub fn open(memory: Arc<dyn UsedTokens>) -> Result<Self, NotBelieved> {
        let used = memory.all().map_err(NotBelieved::Unremembered)?.into_iter().collect();
        Ok(Self { memory, used: Mutex::new(used) })
    }

    /// Takes a token for its first use. May wait for a disk.
    ///
    /// # Errors
    /// It was used before, or it cannot be told or remembered that it was.
    pub fn first_use(&self, token: &str, now: Timestamp) -> Result<(), NotBelieved> {
        let digest = digest(token);
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        // What cannot be forgotten now is tried again with the next token.
        used.retain(|token, until| *until > now || self.memory.forget(token).is_err());
        if used.contains_key(&digest) {
            return Err(NotBelieved::Replayed);
        }
        if used.len() >= Self::LIMIT {
            return Err(NotBelieved::Crowded);
        }
        let until = Self::until(token, now);
        match self.memory.take(&digest, until) {
            Ok(true) => drop(used.insert(digest, until)),
            Ok(false) => return Err(NotBelieved::Replayed),
            Err(why) => return Err(NotBelieved::Unremembered(why)),
        }
        Ok(())
    }

    /// Forgets a token that was taken for nothing. What cannot be forgotten stays refused.
    pub fn give_back(&self, token: &str) {
        let digest = digest(token);
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if self.memory.forget(&digest).is_ok() {
            used.remove(&digest);
        }
    }

    /// Until when a token could be used again. Its own words count: the API server has vouched for them.
    fn until(token: &str, now: Timestamp) -> Timestamp {
        let claims = token.split('.').nth(1).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        let claims: Option<serde_json::Value> = claims.and_then(|text| serde_json::from_slice(&text).ok());
        let expires = claims.and_then(|claims| claims["exp"].as_i64());
        let until = match expires {
            Some(expires) => expires.saturating_add(Self::LEEWAY),
            None => now.as_second() + Self::KEEP,
        };
        Timestamp::from_second(until).unwrap_or(Timestamp::MAX)
    }
}

fn digest(token: &str) -> Digest {
    let mut digest = [0; 32];
    digest.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes()).as_ref());
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store that may be full.
    #[derive(Default)]
    struct Memory {
        held: Mutex<BTreeMap<Digest, Timestamp>>,
        full: Mutex<bool>,
    }

    impl UsedTokens for Memory {
        fn all(&self) -> Result<Vec<(Digest, Timestamp)>, String> {
            Ok(self.held.lock().expect("lock").clone().into_iter().collect())
        }
        fn take(&self, token: &Digest, until: Timestamp) -> Result<bool, String> {
            match *self.full.lock().expect("lock") {
                true => Err("the disk is full".into()),
                false => Ok(self.held.lock().expect("lock").insert(*token, until).is_none()),
            }
        }
        fn forget(&self, token: &Digest) -> Result<(), String> {
            self.held.lock().expect("lock").remove(token);
            Ok(())
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("time")
    }

    fn guard(memory: &Arc<Memory>) -> ReplayGuard {
        ReplayGuard::open(Arc::clone(memory) as _).expect("opened")
    }

    /// A token that ends at this second.
    fn token(name: &str, ends: i64) -> String {
        let claims = format!("{{\"sub\":\"{name}\",\"exp\":{ends}}}");
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn a_token_is_good_once_over_restarts_until_it_ends_on_its_own() {
        let memory = Arc::new(Memory::default());
        let (mine, other) = (token("a", 1000), token("b", 90_000));
        assert_eq!(guard(&memory).first_use(&mine, at(10)), Ok(()));
        assert_eq!(guard(&memory).first_use(&mine, at(20)), Err(NotBelieved::Replayed));
        assert_eq!(guard(&memory).first_use(&other, at(20)), Ok(()));
        // Long after its end remembering it protects nothing: it is put away, and the one that lives on is not.
        let later = guard(&memory);
        assert_eq!(later.first_use(&other, at(80_000)), Err(NotBelieved::Replayed));
        assert_eq!(memory.all().expect("told").len(), 1);
        assert_eq!(later.first_use(&mine, at(80_001)), Ok(()), "the API server refuses it by now");
    }

    #[test]
    fn a_token_that_says_nothing_of_its_end_is_remembered_for_two_hours() {
        let guard = guard(&Arc::default());
        assert_eq!(guard.first_use("a", at(0)), Ok(()));
        assert_eq!(guard.first_use("a", at(ReplayGuard::KEEP - 1)), Err(NotBelieved::Replayed));
        assert_eq!(guard.first_use("a", at(ReplayGuard::KEEP)), Ok(()));
    }

    #[test]
    fn what_cannot_be_remembered_is_refused() {
        let memory = Arc::new(Memory::default());
        let guard = guard(&memory);
        *memory.full.lock().expect("lock") = true;
        let told = guard.first_use("a", at(0)).expect_err("refused").to_string();
        assert_eq!(told, "it cannot be told whether the token was used before: the disk is full");
        *memory.full.lock().expect("lock") = false;
        assert_eq!(guard.first_use("a", at(0)), Ok(()), "it was not used up by that");
    }

    #[test]
    fn a_full_guard_refuses_rather_than_forgets() {
        let guard = guard(&Arc::default());
        guard.used.lock().expect("lock").extend((0..ReplayGuard::LIMIT as u64).map(|number| {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&number.to_be_bytes());
            (digest, at(9000))
        }));
        assert_eq!(guard.first_use("new", at(0)), Err(NotBelieved::Crowded));
    }
}
