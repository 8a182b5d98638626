//! `pmatch`: whether a path is one of many, or below one of them. A tree of path elements, so
//! that the cost follows the path and not the number of paths; an element may be a pattern.

use std::collections::HashMap;

use regex::Regex;

use super::text::glob;

/// A tree of paths.
#[derive(Debug, Default)]
pub(crate) struct PathTree {
    ends: bool,
    named: HashMap<Box<str>, PathTree>,
    patterns: Vec<(Box<str>, Regex, PathTree)>,
}

fn elements(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|element| !element.is_empty())
}

impl PathTree {
    pub(crate) fn new(paths: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut tree = Self::default();
        for path in paths {
            let mut node = &mut tree;
            for element in elements(&path) {
                node = node.child(element)?;
            }
            node.ends = true;
        }
        Ok(tree)
    }

    fn child(&mut self, element: &str) -> Result<&mut Self, String> {
        if !element.contains(['*', '?', '[']) {
            return Ok(self.named.entry(element.into()).or_default());
        }
        let known = self.patterns.iter().position(|(text, ..)| &**text == element);
        let index = match known {
            Some(index) => index,
            None => {
                self.patterns.push((element.into(), *glob(element, false)?, Self::default()));
                self.patterns.len() - 1
            }
        };
        Ok(&mut self.patterns[index].2)
    }

    pub(crate) fn holds(&self, path: &str) -> bool {
        self.below(&elements(path).collect::<Vec<_>>())
    }

    fn below(&self, rest: &[&str]) -> bool {
        if self.ends {
            return true;
        }
        let Some((first, rest)) = rest.split_first() else { return false };
        self.named.get(*first).is_some_and(|tree| tree.below(rest))
            || self.patterns.iter().any(|(_, pattern, tree)| pattern.is_match(first) && tree.below(rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_below_whole_elements() {
        let paths = ["/etc", "/var/log/app", "/home/*/.ssh", "/opt/[ab]?/x"];
        let tree = PathTree::new(paths.iter().map(|path| (*path).to_owned())).expect("paths");
        for path in ["/etc", "/etc/shadow", "/var/log/app/x", "/home/u/.ssh/id", "/opt/a1/x/y", "//etc//x"] {
            assert!(tree.holds(path), "{path}");
        }
        for path in ["/etcetera", "/var/log", "/var/log/apple", "/home/u/v/.ssh", "/opt/c1/x", "/", ""] {
            assert!(!tree.holds(path), "{path}");
        }
        let root = PathTree::new(["/".to_owned()].into_iter()).expect("paths");
        assert!(root.holds("/anything"));
    }
}
