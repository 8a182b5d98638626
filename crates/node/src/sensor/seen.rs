//! The processes that ran before us, from the kernel's own list, with arguments from /proc.

use std::fs;
use std::io::{self, Read};

use outis_abi::{ARGS, Head};

use super::Raw;

/// Reads the iterator to its end; each record with the pid it is about.
pub(super) fn read(mut from: impl Read) -> io::Result<Vec<(u32, Raw)>> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes)?;
    let mut seen = Vec::new();
    let mut rest = &bytes[..];
    while let Some((head, _)) = Head::read(rest) {
        let Some((record, after)) = rest.split_at_checked(head.len as usize) else { break };
        if record.len() < size_of::<Head>() {
            break;
        }
        rest = after;
        let args = arguments(head.pid);
        seen.push((head.pid, Raw { bytes: record.into(), seen: Some(args) }));
    }
    Ok(seen)
}

/// What a process was started with; nothing when it has ended meanwhile.
fn arguments(pid: u32) -> Box<[u8]> {
    let mut args = Vec::new();
    if let Ok(file) = fs::File::open(format!("/proc/{pid}/cmdline")) {
        // An unreadable rest is left out.
        let _ = file.take(ARGS as u64).read_to_end(&mut args);
    }
    args.into()
}
