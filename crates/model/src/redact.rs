//! What must never be stored, exported or shown in the clear: Secret data, environment values,
//! credentials in arguments. Pure and conservative: it would rather hide too much.

use base64::Engine;
use serde_json::Value;

/// What stands in the place of a hidden value.
pub const HIDDEN: &str = "[redacted]";

/// Words after which the next argument, or the text behind `=` or `:`, is a credential.
const NAMES: [&str; 12] = [
    "password",
    "passwd",
    "pwd",
    "secret",
    "token",
    "apikey",
    "api-key",
    "api_key",
    "credential",
    "authorization",
    "private-key",
    "access-key",
];

/// An argument vector with credentials hidden: `--token x`, `--token=x`, `TOKEN=x`,
/// `-H "Authorization: x"`, `user:password@host` in addresses. The program itself stays.
#[must_use]
pub fn args(args: &[String]) -> Vec<String> {
    let mut out = Vec::with_capacity(args.len());
    let mut hide_next = false;
    for (i, arg) in args.iter().enumerate() {
        if hide_next {
            out.push(HIDDEN.into());
            hide_next = false;
            continue;
        }
        hide_next = i > 0 && arg.starts_with('-') && !arg.contains(['=', ' ']) && names_secret(arg);
        out.push(argument(arg));
    }
    out
}

/// Whether a text has anything in it that could make `args` and `text` hide something: a telling
/// name, or an address. Most texts have not, and need no closer look.
#[must_use]
pub fn telling(text: &str) -> bool {
    names_secret(text) || text.contains("://")
}

/// A free text (a command line, an output line) with credentials hidden.
#[must_use]
pub fn text(text: &str) -> String {
    if !telling(text) {
        return text.to_owned();
    }
    let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
    args(&words).join(" ")
}

/// One argument with what stands behind a telling name hidden.
fn argument(arg: &str) -> String {
    for separator in ['=', ':'] {
        if let Some((name, value)) = arg.split_once(separator)
            && !value.is_empty()
            && names_secret(name)
        {
            return format!("{name}{separator}{HIDDEN}");
        }
    }
    address(arg)
}

/// `scheme://user:password@host` without the password.
fn address(arg: &str) -> String {
    let Some((scheme, rest)) = arg.split_once("://") else { return arg.into() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    match authority.rsplit_once('@').and_then(|(login, host)| Some((login.split_once(':')?.0, host))) {
        Some((user, host)) => format!("{scheme}://{user}:{HIDDEN}@{host}{tail}"),
        None => arg.into(),
    }
}

/// Whether one of the names stands anywhere in the text, in any case.
fn names_secret(text: &str) -> bool {
    let bytes = text.as_bytes();
    let name_at = |at: usize| {
        NAMES.iter().any(|name| {
            let there = bytes.get(at..at + name.len());
            there.is_some_and(|there| there.eq_ignore_ascii_case(name.as_bytes()))
        })
    };
    // How all names begin: most places need no closer look.
    let begins = |pair: &[u8]| {
        let pair = [pair[0] | 0x20, pair[1] | 0x20];
        matches!(&pair, b"pa" | b"pw" | b"pr" | b"se" | b"to" | b"ap" | b"au" | b"ac" | b"cr")
    };
    bytes.windows(2).enumerate().any(|(at, pair)| begins(pair) && name_at(at))
}

/// An object as it may be recorded: Secret data, environment values, arguments of commands and
/// the last-applied annotation (a copy of all of it) are hidden; the shape stays.
pub fn object(value: &mut Value) {
    if value.get("kind").and_then(Value::as_str) == Some("Secret") {
        for part in ["data", "stringData"] {
            hide_all(value.get_mut(part));
        }
    }
    walk(value);
}

/// Shorter values are left alone: hiding every `true` or `8080` of a text hides nothing and ruins it.
const SECRET: usize = 6;

/// Values an object keeps to itself, longest first: Secret data as written and as meant, environment values. For
/// texts that others wrote about it, which may quote it.
#[must_use]
pub fn kept(object: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if object.get("kind").and_then(Value::as_str) == Some("Secret") {
        let of =
            |part: &str| object.get(part).and_then(Value::as_object).into_iter().flat_map(|map| map.values());
        for value in of("data").filter_map(Value::as_str) {
            let decoded = base64::engine::general_purpose::STANDARD.decode(value).unwrap_or_default();
            found.extend(String::from_utf8(decoded));
            found.push(value.to_owned());
        }
        found.extend(of("stringData").filter_map(Value::as_str).map(str::to_owned));
    }
    environment_values(object, &mut found);
    found.retain(|value| value.len() >= SECRET);
    found.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
    found.dedup();
    found
}

fn environment_values(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(list) => list.iter().for_each(|inner| environment_values(inner, found)),
        Value::Object(map) => {
            for (key, inner) in map {
                match (key.as_str(), inner.as_array()) {
                    ("env", Some(list)) => {
                        let values = list.iter().filter_map(|entry| entry.get("value")?.as_str());
                        found.extend(values.map(str::to_owned));
                    }
                    _ => environment_values(inner, found),
                }
            }
        }
        _ => {}
    }
}

/// What looking for kept values in one text may cost, in bytes compared; about ten milliseconds.
const LOOKING: usize = 64 << 20;

/// A text without values that were [`kept`], and without what looks like a credential. Where so much is kept that
/// looking for it would take longer than an answer may, the text is hidden altogether.
#[must_use]
pub fn quoting(quote: &str, kept: &[String]) -> String {
    if quote.len().saturating_mul(kept.len()) > LOOKING {
        return HIDDEN.into();
    }
    let hidden = kept.iter().fold(quote.to_owned(), |text, value| match text.contains(value.as_str()) {
        true => text.replace(value.as_str(), HIDDEN),
        false => text,
    });
    text(&hidden)
}

fn hide_all(value: Option<&mut Value>) {
    match value {
        Some(Value::Object(map)) => map.values_mut().for_each(|v| *v = HIDDEN.into()),
        Some(Value::Array(list)) => list.iter_mut().for_each(|v| *v = HIDDEN.into()),
        Some(other) if !other.is_null() => *other = HIDDEN.into(),
        _ => {}
    }
}

fn walk(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(walk),
        Value::Object(map) => {
            for (key, inner) in map.iter_mut() {
                match key.as_str() {
                    "env" => environment(inner),
                    "command" | "args" => hide_all(Some(inner)),
                    "kubectl.kubernetes.io/last-applied-configuration" => *inner = HIDDEN.into(),
                    _ => walk(inner),
                }
            }
        }
        _ => {}
    }
}

fn environment(list: &mut Value) {
    for entry in list.as_array_mut().into_iter().flatten() {
        hide_all(entry.get_mut("value"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn redacted(line: &str) -> String {
        text(line)
    }

    #[test]
    fn credentials_in_arguments_are_hidden() {
        assert_eq!(redacted("mysql --password hunter2 db"), "mysql --password [redacted] db");
        assert_eq!(redacted("mysql --password=hunter2 db"), "mysql --password=[redacted] db");
        assert_eq!(redacted("env DB_TOKEN=hunter2 run"), "env DB_TOKEN=[redacted] run");
        assert_eq!(redacted("curl https://me:hunter2@host/x"), "curl https://me:[redacted]@host/x");
        assert_eq!(redacted("cat /etc/passwd"), "cat /etc/passwd");
        assert_eq!(redacted("ls -l /tmp"), "ls -l /tmp");
    }

    #[test]
    fn every_name_is_telling_in_any_case() {
        assert!(NAMES.iter().all(|name| telling(&format!("x {}", name.to_uppercase()))));
        assert!(telling("a://b") && !telling("cat /etc/hosts") && !telling(""));
    }

    #[test]
    fn a_header_argument_is_hidden() {
        let got = args(&["curl".into(), "-H".into(), "Authorization: Bearer hunter2".into()]);
        assert_eq!(got[2], "Authorization:[redacted]");
    }

    #[test]
    fn a_text_about_an_object_does_not_quote_what_it_keeps() {
        let secret =
            json!({"kind": "Secret", "data": {"k": "aHVudGVyMg=="}, "stringData": {"s": "swordfish"}});
        let told = quoting("k is aHVudGVyMg==, that is hunter2, and s is swordfish", &kept(&secret));
        assert_eq!(told, format!("k is {HIDDEN}, that is {HIDDEN}, and s is {HIDDEN}"));
        let pod = json!({"kind": "Pod", "spec": {"initContainers": [{"env": [{"name": "A", "value": "hunter2"}]}],
            "containers": [{"env": [{"name": "B", "value": "true"}, {"name": "C", "valueFrom": {}}]}]}});
        assert_eq!(kept(&pod), ["hunter2"]);
        assert_eq!(quoting("A=hunter2 is true", &kept(&pod)), format!("A={HIDDEN} is true"));
    }

    #[test]
    fn too_much_to_look_for_hides_the_text_instead_of_taking_for_ever() {
        let kept: Vec<String> = (0..100_000).map(|number| format!("value-{number}")).collect();
        assert_eq!(quoting(&"x".repeat(10_000), &kept), HIDDEN);
        assert_eq!(quoting("short", &kept), "short");
    }

    #[test]
    fn objects_keep_their_shape_and_lose_their_secrets() {
        let mut secret =
            json!({"kind": "Secret", "data": {"k": "aHVudGVyMg=="}, "stringData": {"s": "hunter2"}});
        object(&mut secret);
        assert_eq!(secret, json!({"kind": "Secret", "data": {"k": HIDDEN}, "stringData": {"s": HIDDEN}}));
        let mut pod = json!({"kind": "Pod", "metadata": {"annotations":
            {"kubectl.kubernetes.io/last-applied-configuration": "hunter2"}}, "spec": {"containers": [
            {"name": "a", "command": ["sh", "-c", "hunter2"], "env": [{"name": "K", "value": "hunter2"}]}]}});
        object(&mut pod);
        assert!(!pod.to_string().contains("hunter2"), "{pod}");
        assert_eq!(pod["spec"]["containers"][0]["env"][0]["name"], "K");
    }

    proptest! {
        #[test]
        fn nothing_behind_a_telling_name_survives(value in "[A-Za-z0-9]{8,20}") {
            for line in [format!("p --token {value}"), format!("p --secret={value}"), format!("PASSWORD={value} p")] {
                prop_assert!(!text(&line).contains(&value), "{line}");
            }
        }
        #[test]
        fn the_quick_search_is_a_search(line in "([a-zA-Z_=-]|tok|EN|pass|wo?rd|sec|ret|key|api|auth){0,12}") {
            let lower = line.to_ascii_lowercase();
            prop_assert_eq!(names_secret(&line), NAMES.iter().any(|name| lower.contains(name)));
        }
        #[test]
        fn what_is_not_telling_stays(line in "([a-zA-Z:=/@ -]|tok|en|pass|word|sec|ret|://|--){0,30}") {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            prop_assert!(telling(&line) || args(&words).join(" ") == line);
        }
        #[test]
        fn any_text_is_taken(line in ".*") {
            let _ = text(&line);
        }
    }
}
