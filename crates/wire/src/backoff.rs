//! How long to wait before the next attempt: exponential, jittered, capped. Pure; the seed is an argument.

use std::time::Duration;

/// Waits between attempts.
#[derive(Debug, Clone)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    state: u64,
    failures: u32,
}

impl Backoff {
    /// First wait about `base`, doubled with each failure, never longer than `cap`. Senders with different
    /// seeds spread out, so that a controller that returns is not met by all of them at once.
    #[must_use]
    pub fn new(base: Duration, cap: Duration, seed: u64) -> Self {
        Self { base, cap, state: seed, failures: 0 }
    }

    /// The wait after one more failure: between half and all of the doubled base.
    pub fn fail(&mut self) -> Duration {
        let full = self.base.saturating_mul(1 << self.failures.min(20)).min(self.cap);
        self.failures = self.failures.saturating_add(1);
        let half = full / 2;
        let span = u64::try_from(full.saturating_sub(half).as_nanos()).unwrap_or(u64::MAX).max(1);
        half + Duration::from_nanos(self.draw() % span)
    }

    /// The longest wait at once, for a refusal that asking again will not change soon.
    pub fn refused(&mut self) -> Duration {
        self.failures = 20;
        self.fail()
    }

    /// An attempt succeeded.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures in a row.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// splitmix64 (Steele, Lea, Flood 2014): enough to spread waits, nothing else.
    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_begin_again() {
        let (base, cap) = (Duration::from_millis(100), Duration::from_secs(10));
        let mut backoff = Backoff::new(base, cap, 7);
        for doubling in 0..12 {
            let full = (base * (1 << doubling)).min(cap);
            let wait = backoff.fail();
            assert!(wait >= full / 2 && wait <= full, "{doubling}: {wait:?} of {full:?}");
        }
        backoff.reset();
        assert!(backoff.fail() <= base);
        assert!(backoff.refused() >= cap / 2);
    }

    #[test]
    fn seeds_spread_senders() {
        let first = |seed| Backoff::new(Duration::from_secs(1), Duration::from_secs(60), seed).fail();
        assert_eq!(first(1), first(1));
        assert_ne!(first(1), first(2));
    }
}
