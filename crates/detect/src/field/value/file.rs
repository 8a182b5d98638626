//! Fields of open and exec events.

use std::borrow::Cow;

use outis_model::event::{Exec, Open, What};

use super::{Value, View};
use crate::field::Id;
use crate::names::{self, CREAT_FLAGS, O_CREAT, O_DIRECTORY};

/// Open flags with what `creat` implies.
pub(crate) fn flags(open: &Open) -> u32 {
    if open.syscall == "creat" { open.flags | CREAT_FLAGS } else { open.flags }
}

/// The absolute path without `.`, `..` and empty elements. The kernel resolved it when the file
/// was opened; a failed attempt was joined by words only.
pub(crate) fn path(open: &Open) -> Cow<'_, str> {
    clean(&open.path)
}

pub(super) fn clean(path: &str) -> Cow<'_, str> {
    let odd = |part: &str| matches!(part, "" | "." | "..");
    let Some(rest) = path.strip_prefix('/') else { return Cow::Borrowed(path) };
    if rest.is_empty() || !rest.split('/').any(odd) {
        return Cow::Borrowed(path);
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in rest.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    Cow::Owned(format!("/{}", parts.join("/")))
}

/// Directory and last element.
pub(crate) fn split(path: &str) -> (&str, &str) {
    match path.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some(found) => found,
        None => ("", path),
    }
}

fn part<'a>(path: Cow<'a, str>, of: fn(&str) -> &str) -> Value<'a> {
    match path {
        Cow::Borrowed(path) => of(path).into(),
        Cow::Owned(path) => of(&path).to_owned().into(),
    }
}

fn exec_flags(exec: &Exec) -> String {
    let mut names = Vec::new();
    if exec.upper_layer {
        names.push("EXE_UPPER_LAYER");
    }
    if exec.memfd {
        names.push("EXE_FROM_MEMFD");
    }
    names.join("|")
}

impl<'a> View<'a> {
    pub(super) fn file(&self, id: Id) -> Value<'a> {
        let open = match &self.event.what {
            What::Open(open) => open,
            What::Exec(exec) if id == Id::EvtArgFlags => return exec_flags(exec).into(),
            What::Exec(exec) if id == Id::EvtArgFilename => return exec.exe_path.as_str().into(),
            _ if matches!(id, Id::EvtIsOpenRead | Id::EvtIsOpenWrite | Id::EvtIsOpenCreate) => {
                return false.into();
            }
            _ => return Value::Missing,
        };
        let flags = flags(open);
        let directory = flags & O_DIRECTORY != 0;
        match id {
            Id::EvtIsOpenRead => names::access(flags).0.into(),
            Id::EvtIsOpenWrite => names::access(flags).1.into(),
            Id::EvtIsOpenCreate => (flags & O_CREAT != 0).into(),
            Id::EvtArgFlags => names::open_flags(flags).into(),
            Id::EvtArgMode => open.mode.into(),
            Id::EvtArgName | Id::EvtArgPath | Id::FdNameRaw => open.raw.as_str().into(),
            Id::FdNum | Id::EvtArgFd => open.result.max(-1).into(),
            Id::FdName => path(open).into(),
            Id::FdDirectory => part(path(open), |path| split(path).0),
            Id::FdFilename => part(path(open), |path| split(path).1),
            Id::FdType => if directory { "directory" } else { "file" }.into(),
            Id::FdTypeChar => if directory { "d" } else { "f" }.into(),
            _ => Value::Missing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_are_cleaned_and_split() {
        for (raw, cleaned) in [
            ("/etc/../etc/./shadow", "/etc/shadow"),
            ("/../../x", "/x"),
            ("//a//b/", "/a/b"),
            ("/", "/"),
            ("x/..", "x/.."),
        ] {
            assert_eq!(clean(raw), cleaned);
        }
        assert_eq!(
            (split("/etc/shadow"), split("/x"), split("x")),
            (("/etc", "shadow"), ("/", "x"), ("", "x"))
        );
    }

    proptest! {
        #[test]
        fn a_clean_path_stays(path in "/([a-z.]{0,3}/){0,6}[a-z.]{0,3}") {
            let once = clean(&path).into_owned();
            prop_assert_eq!(clean(&once).into_owned(), once.clone());
            prop_assert!(once == "/" || !once.split('/').skip(1).any(|part| matches!(part, "" | "." | "..")));
        }
    }
}
