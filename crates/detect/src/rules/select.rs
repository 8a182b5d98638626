//! Rules switched on and off by name or tag.

use crate::load::RuleText;

/// One switch. Later ones win.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// On or off.
    pub enable: bool,
    /// Which rules.
    pub target: Target,
}

/// Which rules a switch concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Names; `*` stands for any characters.
    Rule(String),
    /// Rules with this tag.
    Tag(String),
}

pub(super) fn enabled(rule: &RuleText, selection: &[Selection]) -> bool {
    let concerns = |target: &Target| match target {
        Target::Rule(pattern) => like(pattern, &rule.name),
        Target::Tag(tag) => rule.tags.contains(tag),
    };
    selection
        .iter()
        .fold(rule.enabled, |enabled, one| if concerns(&one.target) { one.enable } else { enabled })
}

/// Whether a name is like a pattern in which `*` stands for any characters.
fn like(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_characters() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "acb", false),
            ("*b*", "abc", true),
            ("a*a", "a", false),
            ("abc", "abc", true),
            ("ab", "abc", false),
        ] {
            assert_eq!(like(pattern, name), expected, "{pattern} {name}");
        }
    }
}
