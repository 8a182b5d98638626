//! What can be in the way of cutting a pod off.

use std::io;
use std::path::PathBuf;

use aya::maps::MapError;
use aya::pin::PinError;
use aya::programs::ProgramError;
use aya::programs::links::LinkError;

/// Why a pod is not cut off, or not for good.
#[derive(Debug, thiserror::Error)]
pub enum QuarantineError {
    /// Built without kernel programs.
    #[error(
        "this binary was built without kernel programs for {}, so no pod of this node can be quarantined; take the released \
         image, or build the programs with `cargo xtask ebpf` first",
        std::env::consts::ARCH
    )]
    NoObject,
    /// The object itself.
    #[error("cannot load the quarantine's kernel programs; the agent needs CAP_BPF and CAP_NET_ADMIN")]
    Load(#[source] Box<aya::EbpfError>),
    /// The object lacks something by name: it was built from other sources.
    #[error("the quarantine's kernel programs have no `{0}`; build this binary with `cargo xtask image`")]
    Missing(&'static str),
    /// A program that the kernel refused, or could not attach.
    #[error("the kernel does not take the program `{program}`{}", at.as_deref().map(|at| format!(" at {at}")).unwrap_or_default())]
    Program {
        /// Which.
        program: &'static str,
        /// Where it was to be attached.
        at: Option<String>,
        /// Why not.
        #[source]
        source: Box<ProgramError>,
    },
    /// A map that cannot be used.
    #[error("the quarantine's map `{map}` cannot be used")]
    Map {
        /// Which.
        map: &'static str,
        /// Why not.
        #[source]
        source: Box<MapError>,
    },
    /// Neither its cgroup nor its link was found.
    #[error(
        "pod {0} has neither a cgroup nor a link on this node, so there is nothing to cut; it may have ended, or the agent \
         does not see /sys/fs/cgroup of the node"
    )]
    Nowhere(String),
    /// Nothing can be kept there.
    #[error("{} is not in bpffs, so no quarantine would outlive the agent; on the node run `mount -t bpf bpf /sys/fs/bpf`", path.display())]
    NoBpffs {
        /// Where.
        path: PathBuf,
    },
    /// It would not outlive the agent.
    #[error("cannot keep the quarantine in {} beyond this process; is bpffs mounted on the node at /sys/fs/bpf?", path.display())]
    Pin {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<PinError>,
    },
    /// What an earlier agent pinned cannot be taken over.
    #[error("what is pinned at {} cannot be taken over", path.display())]
    Taken {
        /// What.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<LinkError>,
    },
    /// The system said no.
    #[error("cannot {what}")]
    Io {
        /// What was attempted.
        what: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl QuarantineError {
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
