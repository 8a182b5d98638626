//! `find` and `findAll`: what a regular expression matches.

use cel::common::types::{CelInt, CelList, CelString};
use cel::common::value::Val;
use cel::{DeclarationError, Env, ExecutionError, add_member_overload};
use regex::RegexBuilder;

use super::failed;

pub(super) fn register(env: &mut Env) -> Result<(), DeclarationError> {
    add_member_overload!(env, fn find: (CelString, CelString) -> Result<CelString>)?;
    add_member_overload!(env, fn find_all: (CelString, CelString) -> Result<CelList>)?;
    add_member_overload!(env, fn find_some: (CelString, CelString, CelInt) -> Result<CelList>, name = "findAll")
}

/// Bounded in size: a repetition of repetitions can name a program of gigabytes.
fn compiled(pattern: &CelString<'_>) -> Result<regex::Regex, ExecutionError> {
    RegexBuilder::new(pattern.inner()).size_limit(1 << 20).build().map_err(|error| failed("find", error))
}

fn find(this: &CelString<'_>, pattern: &CelString<'_>) -> Result<CelString<'static>, ExecutionError> {
    Ok(compiled(pattern)?.find(this.inner()).map_or("", |found| found.as_str()).to_owned().into())
}

fn find_all(this: &CelString<'_>, pattern: &CelString<'_>) -> Result<CelList<'static>, ExecutionError> {
    found(this, pattern, usize::MAX)
}

/// A negative number asks for all.
fn find_some(
    this: &CelString<'_>,
    pattern: &CelString<'_>,
    most: &CelInt,
) -> Result<CelList<'static>, ExecutionError> {
    found(this, pattern, usize::try_from(*most.inner()).unwrap_or(usize::MAX))
}

fn found(
    this: &CelString<'_>,
    pattern: &CelString<'_>,
    most: usize,
) -> Result<CelList<'static>, ExecutionError> {
    let text = |found: regex::Match<'_>| Box::new(CelString::from(found.as_str().to_owned())) as Box<dyn Val>;
    Ok(compiled(pattern)?.find_iter(this.inner()).take(most).map(text).collect::<Vec<_>>().into())
}
