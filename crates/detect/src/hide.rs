//! Credentials in command lines, hidden before a text can leave the engine. `model::redact` knows
//! what a credential looks like; here are the shapes a joined command line adds.

use outis_model::alert::Match;
use outis_model::redact::{self, HIDDEN};
use serde_json::Value;

/// Words that stand between a header's name and its credential.
const SCHEMES: [&str; 7] = ["bearer", "basic", "token", "digest", "negotiate", "apikey", "aws4-hmac-sha256"];

/// Arguments with credentials hidden, also inside of an argument that is itself a command line.
pub(crate) fn args(args: &[String]) -> Vec<String> {
    if !args.iter().any(|arg| telling(arg)) {
        return args.to_vec();
    }
    let whole = redact::args(args);
    whole.iter().map(|arg| if arg.contains(char::is_whitespace) { text(arg) } else { arg.clone() }).collect()
}

/// Whether there can be anything to hide. Of the schemes only this one is taken without a header.
fn telling(line: &str) -> bool {
    redact::telling(line) || line.as_bytes().windows(6).any(|part| part.eq_ignore_ascii_case(b"bearer"))
}

/// A free text with credentials hidden.
pub(crate) fn text(line: &str) -> String {
    if !telling(line) {
        return line.to_owned();
    }
    headers(&redact::text(line))
}

/// `Authorization: Bearer x` in a text whose quotes are gone: the scheme and what follows are
/// separate words there, which say nothing by themselves.
fn headers(line: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    let mut telling = false;
    for word in line.split(' ') {
        let bare = word.trim_matches(['"', '\'', '`']);
        let scheme = SCHEMES.contains(&bare.to_ascii_lowercase().as_str());
        words.push(if telling && !scheme && !bare.is_empty() { HIDDEN } else { word });
        telling = (telling && (scheme || bare.is_empty()))
            || names_credential(bare)
            || scheme && bare.eq_ignore_ascii_case("bearer")
            || bare.ends_with(HIDDEN) && bare.to_ascii_lowercase().contains("authorization");
    }
    words.join(" ")
}

/// `X-Api-Key:`, `password=`, with nothing behind it in the same word.
fn names_credential(word: &str) -> bool {
    word.len() > 1 && word.ends_with([':', '=']) && redact::text(&format!("{word}x")).ends_with(HIDDEN)
}

/// A match that may be stored, exported or shown: credentials in its output line and in every
/// text of its fields are hidden. What `step` returns has gone through it; twice changes nothing.
#[must_use]
pub fn redacted(found: Match) -> Match {
    let mut found = found;
    for value in found.fields.values_mut().flatten() {
        if let Value::String(line) = value
            && telling(line)
        {
            *line = text(line);
        }
    }
    found.output = text(&found.output);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_header_loses_its_credential_however_it_is_split() {
        for line in [
            "curl -H Authorization: Bearer hunter2 host",
            "sh -c curl -H 'Authorization: Basic hunter2' host",
            "curl -H X-Api-Key: hunter2 host",
            "mysql --password= hunter2 db",
            "echo 'Bearer hunter2'",
            "sh -c mysql --password hunter2 db",
        ] {
            assert!(!text(line).contains("hunter2"), "{}", text(line));
        }
    }

    #[test]
    fn ordinary_lines_stay() {
        for line in ["cat /etc/passwd", "sh -c ls -l: x", "grep -r token .", "a: b = c", ""] {
            assert_eq!(text(line), line);
        }
    }

    proptest! {
        /// The quick look leaves nothing out.
        #[test]
        fn what_is_not_telling_stays(line in "([A-Za-z:=' -]|tok|en|bear|er |Basic |auth|orization: ){0,20}") {
            prop_assert!(telling(&line) || headers(&redact::text(&line)) == line);
        }

        #[test]
        fn twice_changes_nothing(line in "([A-Za-z:=' -]|token|password|Bearer |Authorization: ){0,20}") {
            prop_assert_eq!(text(&text(&line)), text(&line));
        }
    }
}
