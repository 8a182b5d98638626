//! The Kubernetes types bring an older version of the same clock library: times cross by their numbers.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use outis_model::Timestamp;

fn theirs(time: Timestamp) -> k8s_openapi::jiff::Timestamp {
    k8s_openapi::jiff::Timestamp::from_nanosecond(time.as_nanosecond())
        .unwrap_or(k8s_openapi::jiff::Timestamp::MAX)
}

/// In whole seconds, as Kubernetes keeps most times.
pub(crate) fn seconds(time: Timestamp) -> Time {
    let whole = Timestamp::from_second(time.as_second()).unwrap_or(time);
    Time(theirs(whole))
}

/// In microseconds, as leases keep them.
pub(crate) fn micros(time: Timestamp) -> MicroTime {
    MicroTime(theirs(time))
}
