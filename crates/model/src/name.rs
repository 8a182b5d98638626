//! Names with rules. Sources: RFC 1123 as Kubernetes reads it
//! (`apimachinery/pkg/util/validation`), Falco rule names, OCI container ids.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not the name it was read as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("a {what} cannot be empty")]
    Empty {
        /// Which kind of name.
        what: &'static str,
    },
    /// Longer than its rule allows.
    #[error("{what} {text:?} is longer than {max} characters")]
    TooLong {
        /// Which kind of name.
        what: &'static str,
        /// The text, cut.
        text: String,
        /// The limit in bytes.
        max: usize,
    },
    /// A character its rule does not allow.
    #[error("{what} {text:?} may only hold {allowed}")]
    Character {
        /// Which kind of name.
        what: &'static str,
        /// The text.
        text: String,
        /// The allowed characters in words.
        allowed: &'static str,
    },
}

struct Rule {
    what: &'static str,
    max: usize,
    allowed: &'static str,
    fits: fn(&str) -> bool,
}

fn parse(rule: &Rule, text: &str) -> Result<Box<str>, NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { what: rule.what });
    }
    if text.len() > rule.max {
        let text = text.chars().take(64).collect();
        return Err(NameError::TooLong { what: rule.what, text, max: rule.max });
    }
    if !(rule.fits)(text) {
        return Err(NameError::Character { what: rule.what, text: text.into(), allowed: rule.allowed });
    }
    Ok(text.into())
}

fn lower_alphanumeric(c: u8) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

fn label(text: &str) -> bool {
    let b = text.as_bytes();
    b.iter().all(|&c| lower_alphanumeric(c) || c == b'-')
        && b.first().is_some_and(|&c| lower_alphanumeric(c))
        && b.last().is_some_and(|&c| lower_alphanumeric(c))
}

fn subdomain(text: &str) -> bool {
    text.split('.').all(|part| !part.is_empty() && label(part))
}

/// Kubernetes path segments: RBAC object names hold `:` and capitals (`system:node`).
fn path_segment(text: &str) -> bool {
    text != "." && text != ".." && !text.contains(['/', '%']) && text.chars().all(|c| !c.is_control())
}

fn printable(text: &str) -> bool {
    text.chars().all(|c| !c.is_control())
}

fn uid(text: &str) -> bool {
    text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
}

fn hex(text: &str) -> bool {
    text.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $max:literal, $allowed:literal, $fits:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Box<str>);

        impl $type {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                const RULE: Rule = Rule { what: $what, max: $max, allowed: $allowed, fits: $fits };
                parse(&RULE, text).map(Self)
            }
        }
        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }
        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0.into()
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

name!(/// A namespace: an RFC 1123 label.
    Namespace, "namespace", 63, "a-z, 0-9 and '-', with a letter or digit at both ends", label);
name!(/// The name of any Kubernetes object: a path segment.
    Name, "name", 253, "no '/', no '%', no control characters, not '.' or '..'", path_segment);
name!(/// A node: an RFC 1123 subdomain.
    NodeName, "node name", 253, "a-z, 0-9, '-' and '.', with a letter or digit at both ends", subdomain);
name!(/// A service account: an RFC 1123 subdomain.
    ServiceAccount, "service account", 253, "a-z, 0-9, '-' and '.', with a letter or digit at both ends", subdomain);
name!(/// The UID the API server gave to a pod, or the config hash of a static pod.
    PodUid, "pod UID", 64, "letters, digits and '-'", uid);
name!(/// A container id: the runtime's full lower-case hexadecimal digest.
    ContainerId, "container id", 128, "0-9 and a-f", hex);
name!(/// One of our policies: an RFC 1123 subdomain.
    PolicyName, "policy name", 253, "a-z, 0-9, '-' and '.', with a letter or digit at both ends", subdomain);
name!(/// A detection rule, as its author titled it.
    RuleName, "rule name", 256, "printable characters", printable);

impl ContainerId {
    /// The 12 characters people and rule authors use.
    #[must_use]
    pub fn short(&self) -> &str {
        let text = self.as_str();
        text.get(..12).unwrap_or(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_rule_has_its_own_refusal() {
        let refused = |text: &str| text.parse::<Namespace>().expect_err(text).to_string();
        assert_eq!(refused(""), "a namespace cannot be empty");
        assert!(refused(&"a".repeat(64)).ends_with("is longer than 63 characters"));
        assert!(refused("Shop").starts_with("namespace \"Shop\" may only hold"));
        assert!(refused("-shop").contains("letter or digit at both ends"));
        assert!("a..b".parse::<NodeName>().is_err());
        assert!("system:node".parse::<Name>().is_ok());
        assert!("a/b".parse::<Name>().is_err());
    }

    #[test]
    fn short_container_ids_are_twelve_characters() {
        let id: ContainerId = "0123456789abcdef".parse().expect("hex");
        assert_eq!(id.short(), "0123456789ab");
    }

    proptest! {
        #[test]
        fn parse_after_print_is_identity(text in "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?") {
            let name: Namespace = text.parse().expect("generated by the rule");
            prop_assert_eq!(name.to_string().parse::<Namespace>().expect("printed"), name);
        }
        #[test]
        fn parsing_never_panics(text in ".*") {
            let _ = (text.parse::<Name>(), text.parse::<ContainerId>(), text.parse::<RuleName>());
        }
    }
}
