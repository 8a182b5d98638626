//! What can be in the way, and what to do about it.

use std::io;
use std::path::PathBuf;

use aya::maps::MapError;
use aya::programs::ProgramError;

use crate::btf::BtfError;

/// Why the sensor did not start, or could not be told something.
#[derive(Debug, thiserror::Error)]
pub enum SensorError {
    /// Built without kernel programs.
    #[error(
        "this binary was built without kernel programs for {}, so nothing is detected on this node; take the released \
         image, or build the programs with `cargo xtask ebpf` first",
        std::env::consts::ARCH
    )]
    NoObject,
    /// No type information.
    #[error(
        "cannot read the kernel's type information at {}: the sensor cannot know where the kernel's fields lie; use a \
         kernel built with CONFIG_DEBUG_INFO_BTF (`outis doctor` shows the fact `btf` of each node)",
        path.display()
    )]
    NoBtf {
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Type information that does not serve.
    #[error("cannot use the kernel's type information; report this kernel's version (`uname -r`)")]
    Btf(#[from] BtfError),
    /// No tracefs.
    #[error(
        "tracefs is not mounted at {} and cannot be mounted, so syscall tracepoints cannot be attached; on the node run \
         `mount -t tracefs tracefs /sys/kernel/tracing`",
        path.display()
    )]
    NoTracefs {
        /// Where it should be.
        path: PathBuf,
        /// Why it could not be mounted.
        source: io::Error,
    },
    /// Not allowed.
    #[error("the kernel does not let this process load programs; run as root with CAP_BPF and CAP_PERFMON")]
    NoPermission {
        /// What it said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The object itself.
    #[error("cannot prepare the kernel programs")]
    Load {
        /// Why not.
        source: Box<aya::EbpfError>,
    },
    /// The object lacks something by name: it was built from other sources.
    #[error("the kernel programs have no `{0}`; they were built from other sources than this binary")]
    Missing(&'static str),
    /// A map of the wrong type.
    #[error("cannot use the kernel programs' map `{name}`")]
    Map {
        /// Its name.
        name: &'static str,
        /// Why not.
        source: MapError,
    },
    /// A ring could not be made.
    #[error(
        "cannot create ring {index} of {bytes} bytes; before Linux 5.11 the locked-memory limit must allow it"
    )]
    Ring {
        /// Which.
        index: u32,
        /// How large.
        bytes: u32,
        /// Why not.
        source: MapError,
    },
    /// A program was refused.
    #[error("the kernel refuses program `{program}`")]
    Program {
        /// Its name.
        program: &'static str,
        /// What the verifier said.
        source: ProgramError,
    },
    /// A program could not be attached.
    #[error("cannot attach program `{program}` to `{hook}`")]
    Attach {
        /// Its name.
        program: &'static str,
        /// Where to.
        hook: &'static str,
        /// Why not.
        source: ProgramError,
    },
    /// Running processes could not be listed.
    #[error("cannot list the processes that already run")]
    Seen {
        /// Why not.
        source: io::Error,
    },
    /// The filter could not be changed.
    #[error("cannot change what the kernel looks at; more may be told than was asked for")]
    Interest {
        /// Why not.
        source: MapError,
    },
}

/// Why a ring could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// It cannot be waited for.
    #[error("cannot wait for ring {index}")]
    Wait {
        /// Which.
        index: u32,
        /// Why not.
        source: io::Error,
    },
}
