//! Trust domains and SPIFFE IDs, valid by construction
//! (SPIFFE-ID.md section 2: `spiffe://` + trust domain + path, 2048 bytes at most).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::{Namespace, ServiceAccount};

/// Why a text is not a SPIFFE ID or trust domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpiffeError {
    /// The scheme is missing.
    #[error("SPIFFE ID {0:?} does not start with spiffe://")]
    Scheme(String),
    /// The trust domain has a character or length it may not have.
    #[error("trust domain {0:?} must be 1-255 characters of a-z, 0-9, '.', '-', '_'")]
    TrustDomain(String),
    /// A path segment is empty, a dot segment, or holds a forbidden character.
    #[error("path segment {0:?} must be characters of a-z, A-Z, 0-9, '.', '-', '_', and not '.' or '..'")]
    Segment(String),
    /// Longer than 2048 bytes.
    #[error("a SPIFFE ID of {0} bytes is longer than 2048")]
    TooLong(usize),
}

/// A SPIFFE trust domain, such as `cluster.local`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TrustDomain(Box<str>);

/// A SPIFFE ID, such as `spiffe://cluster.local/ns/shop/sa/backend`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SpiffeId {
    trust_domain: TrustDomain,
    path: Box<str>,
}

impl TrustDomain {
    /// The trust domain's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The ID of the trust domain itself: `spiffe://<trust domain>`.
    #[must_use]
    pub fn id(&self) -> SpiffeId {
        SpiffeId { trust_domain: self.clone(), path: "".into() }
    }

    /// The default ID of a workload: `spiffe://<trust domain>/ns/<ns>/sa/<sa>`.
    #[must_use]
    pub fn workload(&self, ns: &Namespace, account: &ServiceAccount) -> SpiffeId {
        SpiffeId { trust_domain: self.clone(), path: format!("/ns/{ns}/sa/{account}").into() }
    }
}

impl SpiffeId {
    /// The trust domain that vouches for this ID.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The path with its leading slash; empty for a trust domain's own ID.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Namespace and service account, when the path is our default template.
    #[must_use]
    pub fn workload(&self) -> Option<(Namespace, ServiceAccount)> {
        let mut parts = self.path.strip_prefix("/ns/")?.split("/sa/");
        let found = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        parts.next().is_none().then_some(found)
    }
}

impl FromStr for TrustDomain {
    type Err = SpiffeError;
    fn from_str(text: &str) -> Result<Self, SpiffeError> {
        let fits = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b".-_".contains(&c);
        if text.is_empty() || text.len() > 255 || !text.bytes().all(fits) {
            return Err(SpiffeError::TrustDomain(text.chars().take(255).collect()));
        }
        Ok(Self(text.into()))
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeError;
    fn from_str(text: &str) -> Result<Self, SpiffeError> {
        if text.len() > 2048 {
            return Err(SpiffeError::TooLong(text.len()));
        }
        let rest = text.strip_prefix("spiffe://").ok_or_else(|| SpiffeError::Scheme(text.into()))?;
        let (domain, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        for segment in path.split('/').skip(1) {
            let fits = |c: u8| c.is_ascii_alphanumeric() || b".-_".contains(&c);
            if segment.is_empty() || segment == "." || segment == ".." || !segment.bytes().all(fits) {
                return Err(SpiffeError::Segment(segment.into()));
            }
        }
        Ok(Self { trust_domain: domain.parse()?, path: path.into() })
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}{}", self.trust_domain, self.path)
    }
}
impl TryFrom<String> for TrustDomain {
    type Error = SpiffeError;
    fn try_from(text: String) -> Result<Self, SpiffeError> {
        text.parse()
    }
}
impl From<TrustDomain> for String {
    fn from(domain: TrustDomain) -> Self {
        domain.0.into()
    }
}
impl TryFrom<String> for SpiffeId {
    type Error = SpiffeError;
    fn try_from(text: String) -> Result<Self, SpiffeError> {
        text.parse()
    }
}
impl From<SpiffeId> for String {
    fn from(id: SpiffeId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_rule_has_its_own_refusal() {
        let refused = |text: &str| text.parse::<SpiffeId>().expect_err(text);
        assert!(matches!(refused("https://a/b"), SpiffeError::Scheme(_)));
        assert!(matches!(refused("spiffe://A/b"), SpiffeError::TrustDomain(_)));
        assert!(matches!(refused("spiffe://a:1/b"), SpiffeError::TrustDomain(_)));
        assert!(matches!(refused("spiffe://a/b/"), SpiffeError::Segment(_)));
        assert!(matches!(refused("spiffe://a/../b"), SpiffeError::Segment(_)));
        assert!(matches!(refused("spiffe://a/b?c"), SpiffeError::Segment(_)));
        assert!(matches!(refused(&format!("spiffe://a/{}", "b".repeat(2048))), SpiffeError::TooLong(_)));
    }

    #[test]
    fn the_default_template_reads_back() {
        let domain: TrustDomain = "cluster.local".parse().expect("domain");
        let (ns, account) = ("shop".parse().expect("ns"), "backend".parse().expect("account"));
        let id = domain.workload(&ns, &account);
        assert_eq!(id.to_string(), "spiffe://cluster.local/ns/shop/sa/backend");
        assert_eq!(id.workload(), Some((ns, account)));
        assert_eq!(domain.id().workload(), None);
    }

    proptest! {
        #[test]
        fn parse_after_print_is_identity(text in "spiffe://[a-z0-9._-]{1,20}(/[A-Za-z0-9_-]{1,9}){0,4}") {
            let id: SpiffeId = text.parse().expect("generated by the rule");
            prop_assert_eq!(id.to_string(), text);
        }
    }
}
