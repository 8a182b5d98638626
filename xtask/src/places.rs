//! Where things are.

use std::path::PathBuf;

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    // As cargo says when it runs us, not as it said when it built us: clones share what is built, and another
    // clone's files are not ours.
    let own = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    PathBuf::from(own).parent().expect("xtask lies in the workspace").to_owned()
}

/// What is kept between clones.
pub(crate) fn cache() -> PathBuf {
    match std::env::var_os("OUTIS_CACHE") {
        Some(dir) => dir.into(),
        None => PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/tmp".into())).join(".cache/outis"),
    }
}

/// Tools installed by cargo for us alone.
pub(crate) fn tools() -> PathBuf {
    cache().join("tools")
}

/// Other projects' test data; absent data is skipped, never passed.
pub(crate) fn conformance() -> PathBuf {
    std::env::var_os("OUTIS_CONFORMANCE").map_or_else(|| root().join("../shared/conformance"), PathBuf::from)
}

/// Our version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
