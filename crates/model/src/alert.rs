//! What a detection rule made of an event.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::RuleName;

/// Urgency in syslog's scale, as detection rules spell it. Ordered by urgency: `Debug` is least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum Priority {
    /// For us.
    Debug,
    /// Something asked for happened.
    #[default]
    Informational,
    /// Worth a look.
    Notice,
    /// Probably wrong.
    Warning,
    /// Wrong.
    Error,
    /// An attack or a broken protection.
    Critical,
    /// Act at once.
    Alert,
    /// Everything is affected.
    Emergency,
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl FromStr for Priority {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "debug" => Ok(Self::Debug),
            "informational" | "info" => Ok(Self::Informational),
            "notice" => Ok(Self::Notice),
            "warning" => Ok(Self::Warning),
            "error" => Ok(Self::Error),
            "critical" => Ok(Self::Critical),
            "alert" => Ok(Self::Alert),
            "emergency" => Ok(Self::Emergency),
            _ => Err(format!(
                "priority {text:?} is none of emergency, alert, critical, error, warning, notice, informational, debug"
            )),
        }
    }
}

/// A rule that matched one event. The engine has hidden credentials in its text and its fields, so
/// it may be stored, exported and shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Match {
    /// The rule's title.
    pub rule: RuleName,
    /// Its priority.
    pub priority: Priority,
    /// Its tags, ordered.
    pub tags: Vec<String>,
    /// The formatted output line.
    pub output: String,
    /// Every field the output names, and the suggested ones; `None` is a field without a value.
    pub fields: BTreeMap<String, Option<serde_json::Value>>,
    /// Kernel stamp of the event: nanoseconds since boot (CLOCK_BOOTTIME).
    pub stamp: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_read_in_any_case_and_order_by_urgency() {
        assert_eq!("WARNING".parse::<Priority>(), Ok(Priority::Warning));
        assert_eq!("INFO".parse::<Priority>(), Ok(Priority::Informational));
        assert!("urgent".parse::<Priority>().expect_err("unknown").contains("emergency"));
        assert!(Priority::Critical > Priority::Warning);
    }
}
