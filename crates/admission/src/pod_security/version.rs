//! Versions of the standard: `latest` or `v1.<minor>`.

use std::fmt;
use std::str::FromStr;

/// A minor version of Kubernetes 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Minor(pub u16);

/// The newest version that changed a check we know.
pub const NEWEST: Minor = Minor(37);

/// A text that names no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Pod Security version {0:?} is neither `latest` nor `v1.<minor>`, such as `v1.37`")]
pub struct VersionError(pub String);

impl FromStr for Minor {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        if text == "latest" {
            return Ok(NEWEST);
        }
        text.strip_prefix("v1.")
            .filter(|digits| !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .map(Self)
            .ok_or_else(|| VersionError(text.into()))
    }
}

impl fmt::Display for Minor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v1.{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_latest_and_minor_versions_are_versions() {
        assert_eq!("latest".parse(), Ok(NEWEST));
        assert_eq!("v1.0".parse(), Ok(Minor(0)));
        assert_eq!(Minor(37).to_string().parse(), Ok(Minor(37)), "it is written as it is read");
        for text in ["", "v1.", "v1.+3", "1.30", "v2.1", "v1.99999999", "v1.3.4"] {
            assert_eq!(text.parse::<Minor>(), Err(VersionError(text.into())), "{text}");
        }
    }
}
