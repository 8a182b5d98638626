//! What the kernel should tell at all. It holds back only what nobody asked for; the full conditions of
//! rules are judged in user space.

use std::collections::BTreeSet;

use outis_abi::{Config, Kind, LEAF, OPENS_ALL, OPENS_LISTED, OPENS_NONE, PREFIX};

use super::Listed;

/// Which opens pass.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Opens {
    /// All of them.
    #[default]
    All,
    /// Those that any of these lets through, and every failed one with a relative path.
    Listed {
        /// Opens that may write, create or truncate.
        writes: bool,
        /// Beginnings of absolute paths, as written or as resolved; compared on 64 bytes.
        prefixes: Vec<String>,
        /// Endings of file names; compared on 32 bytes.
        suffixes: Vec<String>,
    },
    /// None.
    None,
}

/// What to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interest {
    /// The kinds wanted.
    pub kinds: Vec<Kind>,
    /// Which opens, if opens are wanted.
    pub opens: Opens,
}

impl Default for Interest {
    /// Everything.
    fn default() -> Self {
        Self { kinds: Kind::ALL.to_vec(), opens: Opens::All }
    }
}

impl Interest {
    pub(super) fn config(&self) -> Config {
        let kinds = self.kinds.iter().fold(0, |bits, kind| bits | kind.bit());
        match &self.opens {
            Opens::All => Config { kinds, opens: OPENS_ALL, writes: 0, suffixes: 0 },
            Opens::None => Config { kinds, opens: OPENS_NONE, writes: 0, suffixes: 0 },
            Opens::Listed { writes, suffixes, .. } => Config {
                kinds,
                opens: OPENS_LISTED,
                writes: u32::from(*writes),
                suffixes: u32::from(!suffixes.is_empty()),
            },
        }
    }

    /// Texts longer than what is compared are cut: more passes, never less.
    pub(super) fn lists(&self) -> BTreeSet<Listed> {
        let Opens::Listed { prefixes, suffixes, .. } = &self.opens else { return BTreeSet::new() };
        let prefixes = prefixes.iter().map(|text| Listed::Prefix(text.bytes().take(PREFIX).collect()));
        let suffixes = suffixes.iter().map(|text| Listed::Suffix(text.bytes().rev().take(LEAF).collect()));
        prefixes.chain(suffixes).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_are_written_backwards_and_long_texts_cut() {
        let interest = Interest {
            opens: Opens::Listed {
                writes: true,
                prefixes: vec!["/etc/".into(), format!("/{}", "x".repeat(100))],
                suffixes: vec!["id_rsa".into()],
            },
            ..Interest::default()
        };
        let lists = interest.lists();
        assert!(lists.contains(&Listed::Prefix(b"/etc/".to_vec())));
        assert!(lists.contains(&Listed::Suffix(b"asr_di".to_vec())));
        assert!(lists.iter().any(|one| matches!(one, Listed::Prefix(text) if text.len() == PREFIX)));
        assert_eq!(interest.config().suffixes, 1);
    }

    #[test]
    fn everything_passes_by_default() {
        let config = Interest::default().config();
        assert_eq!((config.opens, config.kinds), (OPENS_ALL, 0b111_1110));
    }
}
