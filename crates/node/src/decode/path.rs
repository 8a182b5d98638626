//! Paths put the right way round.

use outis_abi::path::{CUT, PSEUDO};

/// A walked path: from its leaf-first elements to what people read. Empty when nothing was walked.
pub(crate) fn walked(bytes: &[u8]) -> String {
    let Some((end, elements)) = bytes.split_last() else { return String::new() };
    let elements = elements.strip_suffix(&[0]).unwrap_or(elements);
    if *end == PSEUDO {
        return String::from_utf8_lossy(elements).into_owned();
    }
    let mut path = String::with_capacity(bytes.len() + 4);
    if *end == CUT {
        path.push_str("...");
    }
    if elements.is_empty() {
        path.push('/');
    }
    for element in elements.rsplit(|byte| *byte == 0).filter(|element| !element.is_empty()) {
        path.push('/');
        path.push_str(&String::from_utf8_lossy(element));
    }
    path
}

/// A path as its caller wrote it, seen from a directory, with `.` and `..` taken out. Symbolic links are
/// not followed: nobody asks this of a file that could be opened.
pub(crate) fn absolute(directory: &str, raw: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let directory = if raw.starts_with('/') { "" } else { directory };
    for element in directory.split('/').chain(raw.split('/')) {
        match element {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_turned_round() {
        assert_eq!(walked(b"passwd\0etc\0/"), "/etc/passwd");
        assert_eq!(walked(b"/"), "/");
        assert_eq!(walked(b"memfd:x\0p"), "memfd:x");
        assert_eq!(walked(b"leaf\0deep\0?"), ".../deep/leaf");
        assert_eq!(walked(b""), "");
    }

    #[test]
    fn relative_paths_are_joined_and_cleaned() {
        assert_eq!(absolute("/var/www", "../../etc/./shadow"), "/etc/shadow");
        assert_eq!(absolute("/var/www", "/etc//shadow"), "/etc/shadow");
        assert_eq!(absolute("/", "../.."), "/");
    }
}
