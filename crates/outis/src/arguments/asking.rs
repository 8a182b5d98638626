//! What people ask a running appliance.

use std::path::PathBuf;

use clap::Subcommand;
use outis_model::{Namespace, RecordId, Timestamp};

use super::Output;

/// Which events.
#[derive(Debug, clap::Args)]
pub(crate) struct Events {
    /// Only of this namespace. Whoever may read its pods' logs may read these.
    #[arg(short, long)]
    pub(crate) namespace: Option<Namespace>,
    /// Only of this kind: admission, alert, issuance, refusal, configuration, component, loss.
    #[arg(short, long, value_parser = kind)]
    pub(crate) kind: Option<outis_model::RecordKind>,
    /// Not older than this: `10m`, `2h`, `3d`, or a time such as 2026-01-31T12:00:00Z.
    #[arg(long, value_parser = since)]
    pub(crate) since: Option<Since>,
    /// The newest so many.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) limit: u16,
    /// Go on with what happens from now on.
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// How to print them; JSON is one value a line.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// A beginning, as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    /// So many seconds ago.
    Ago(i64),
    /// At this time.
    At(Timestamp),
}

impl Since {
    /// The instant, seen from now.
    pub(crate) fn instant(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(seconds) => {
                Timestamp::from_second(now.as_second() - seconds).unwrap_or(Timestamp::UNIX_EPOCH)
            }
        }
    }
}

fn since(text: &str) -> Result<Since, String> {
    if let Ok(at) = text.parse() {
        return Ok(Since::At(at));
    }
    let (number, unit) = text.split_at(text.len() - text.chars().next_back().map_or(0, char::len_utf8));
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => 0,
    };
    match number.parse::<i64>() {
        Ok(number) if seconds > 0 && (0..=100_000).contains(&number) => Ok(Since::Ago(number * seconds)),
        _ => Err("give a span such as 10m, 2h or 3d, or a time such as 2026-01-31T12:00:00Z".into()),
    }
}

fn kind(text: &str) -> Result<outis_model::RecordKind, String> {
    let value = serde_json::Value::String(text.to_owned());
    serde_json::from_value(value)
        .map_err(|_| "one of admission, alert, issuance, refusal, configuration, component, loss".to_owned())
}

/// Detection rules.
#[derive(Debug, Subcommand)]
pub(crate) enum Detect {
    /// Tell what is wrong with rule files, with line and column. Exits 1 when something is.
    Lint {
        /// Rule files in Falco's language, read in this order.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Read our own pack before them.
        #[arg(long)]
        pack: bool,
        /// How to print it.
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// List rules and whether they work; those that do not, with what they lack.
    Rules {
        /// Rule files; default our own pack and the cluster's objects.
        files: Vec<PathBuf>,
        /// How to print them.
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Judge recorded events (JSON lines) by rules, and print what they match as JSON lines.
    Replay {
        /// The recording; `-` for standard input.
        recording: PathBuf,
        /// Rule files; default our own pack.
        #[arg(short, long = "rules", value_name = "FILE")]
        rules: Vec<PathBuf>,
    },
}

/// Which decision.
#[derive(Debug, clap::Args)]
pub(crate) struct Why {
    /// The id, as printed by a refusal, an Event or `outis events`.
    pub(crate) id: RecordId,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// Workload identities.
#[derive(Debug, Subcommand)]
pub(crate) enum Identity {
    /// The identities in force: the newest of each pod that has not ended.
    List {
        /// Only of this namespace.
        #[arg(short, long)]
        namespace: Option<Namespace>,
        /// How to print them.
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Our roots, and how far the replacement of one is.
    Status {
        /// How to print it.
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Replace the intermediate, or with --root the root: everything goes on verifying all the while.
    Rotate {
        /// The root. The old one is trusted until every certificate under it has ended.
        #[arg(long)]
        root: bool,
        /// Seconds to follow it for; it goes on by itself afterwards.
        #[arg(long, default_value_t = 300, value_name = "SECONDS")]
        timeout: u64,
    },
    /// Print the trust bundle (PEM).
    Bundle,
    /// Verify a certificate chain (PEM) against a trust bundle, and print its identity.
    Verify {
        /// The chain; `-` for standard input.
        file: PathBuf,
        /// The bundle (PEM); default the cluster's.
        #[arg(long)]
        bundle: Option<PathBuf>,
    },
}

/// The record log.
#[derive(Debug, Subcommand)]
pub(crate) enum Log {
    /// Verify the chain of the cluster's log, or of an export offline. Exits 1 when it is broken.
    Verify {
        /// An export (JSON lines); `-` for standard input.
        file: Option<PathBuf>,
    },
    /// Print the log as it is chained on disk, one JSON value a line.
    Export,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_a_span_or_a_time() {
        assert_eq!(since("10m"), Ok(Since::Ago(600)));
        assert_eq!(since("3d"), Ok(Since::Ago(259_200)));
        assert!(matches!(since("2026-01-31T12:00:00Z"), Ok(Since::At(_))));
        for wrong in ["", "m", "10", "soon", "-5m", "10ü", "9999999999999999999h"] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
        let now = Timestamp::from_second(1000).expect("time");
        assert_eq!(Since::Ago(600).instant(now).as_second(), 400);
    }
}
