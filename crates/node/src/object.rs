//! The embedded kernel programs.

static QUARANTINE: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/quarantine.o"));

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/probes.o"));

/// The kernel programs this binary was built with; `None` when it was built without any.
#[must_use]
pub fn object() -> Option<&'static [u8]> {
    (!OBJECT.is_empty()).then_some(OBJECT)
}

/// Those that cut a pod off.
pub(crate) fn quarantine() -> Option<&'static [u8]> {
    (!QUARANTINE.is_empty()).then_some(QUARANTINE)
}
