//! Liveness, readiness with reasons, and counters, for kubelet, people and Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use http::StatusCode;

/// What must hold before we are ready, and why what does not hold does not.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<RwLock<BTreeMap<&'static str, Option<String>>>>);

impl Readiness {
    /// Names the conditions; none of them holds yet.
    #[must_use]
    pub fn awaiting(conditions: &[&'static str]) -> Self {
        let waiting = conditions.iter().map(|name| (*name, Some("not there yet".to_owned())));
        Self(Arc::new(RwLock::new(waiting.collect())))
    }

    /// A condition holds from now on.
    pub fn holds(&self, condition: &'static str) {
        self.set(condition, None);
    }

    /// A condition does not hold, and why.
    pub fn fails(&self, condition: &'static str, why: impl Into<String>) {
        self.set(condition, Some(why.into()));
    }

    fn set(&self, condition: &'static str, state: Option<String>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(condition, state);
    }

    /// Everything that does not hold, with its reason. Empty: ready.
    #[must_use]
    pub fn missing(&self) -> BTreeMap<&'static str, String> {
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        map.iter().filter_map(|(name, why)| Some((*name, why.clone()?))).collect()
    }
}

/// Counters by metric name, read when asked.
pub type Counters = Arc<dyn Fn() -> BTreeMap<String, u64> + Send + Sync>;

#[derive(Clone)]
struct Shared {
    readiness: Readiness,
    counters: Counters,
}

/// The health door's routes.
pub fn router(readiness: Readiness, counters: Counters) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/missing", get(missing))
        .route("/metrics", get(metrics))
        .with_state(Shared { readiness, counters })
}

async fn ready(State(shared): State<Shared>) -> (StatusCode, String) {
    let missing = shared.readiness.missing();
    if missing.is_empty() {
        return (StatusCode::OK, "ok\n".into());
    }
    let lines = missing.iter().map(|(name, why)| format!("{name}: {why}\n")).collect();
    (StatusCode::SERVICE_UNAVAILABLE, lines)
}

/// The same for people who ask through the API server, where an answer of 503 is taken for the proxy's.
async fn missing(State(shared): State<Shared>) -> String {
    let lines = shared.readiness.missing();
    lines.iter().map(|(name, why)| format!("{name}: {why}\n")).collect()
}

async fn metrics(State(shared): State<Shared>) -> String {
    let mut text = String::new();
    for (name, value) in (shared.counters)() {
        let bare = name.split('{').next().unwrap_or(&name);
        let kind = if bare.ends_with("_total") { "counter" } else { "gauge" };
        let _ = writeln!(text, "# TYPE {bare} {kind}\n{name} {value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_says_what_is_missing() {
        let readiness = Readiness::awaiting(&["policies", "certificate"]);
        readiness.holds("policies");
        assert_eq!(readiness.missing().into_keys().collect::<Vec<_>>(), ["certificate"]);
        readiness.fails("policies", "cannot compile `x`");
        assert_eq!(readiness.missing()["policies"], "cannot compile `x`");
    }
}
