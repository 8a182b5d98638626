//! `semver`: semantic versions.

use cel::common::types::{CelBool, CelInt, CelString};
use cel::{DeclarationError, Env, ExecutionError, add_member_overload, add_overload};

use super::{failed, opaque, ordered};

#[derive(Debug, Clone, PartialEq, Eq)]
struct Semver(semver::Version);
opaque!(Semver, "kubernetes.Semver");

pub(super) fn register(env: &mut Env) -> Result<(), DeclarationError> {
    add_overload!(env, fn semver: (CelString) -> Result<Semver>)?;
    add_overload!(env, fn is_semver: (CelString) -> CelBool)?;
    add_member_overload!(env, fn major: (Semver) -> Result<CelInt>)?;
    add_member_overload!(env, fn minor: (Semver) -> Result<CelInt>)?;
    add_member_overload!(env, fn patch: (Semver) -> Result<CelInt>)?;
    add_member_overload!(env, fn is_greater_than: (Semver, Semver) -> CelBool)?;
    add_member_overload!(env, fn is_less_than: (Semver, Semver) -> CelBool)?;
    add_member_overload!(env, fn compare_to: (Semver, Semver) -> CelInt)
}

fn semver(text: &CelString<'_>) -> Result<Semver, ExecutionError> {
    let version = semver::Version::parse(text.inner());
    version.map(Semver).map_err(|error| failed("semver", format!("{:?}: {error}", text.inner())))
}

fn is_semver(text: &CelString<'_>) -> CelBool {
    semver::Version::parse(text.inner()).is_ok().into()
}

fn number(value: u64) -> Result<CelInt, ExecutionError> {
    i64::try_from(value).map(CelInt::from).map_err(|error| failed("semver", error))
}

fn major(this: &Semver) -> Result<CelInt, ExecutionError> {
    number(this.0.major)
}

fn minor(this: &Semver) -> Result<CelInt, ExecutionError> {
    number(this.0.minor)
}

fn patch(this: &Semver) -> Result<CelInt, ExecutionError> {
    number(this.0.patch)
}

fn is_greater_than(this: &Semver, other: &Semver) -> CelBool {
    this.0.cmp_precedence(&other.0).is_gt().into()
}

fn is_less_than(this: &Semver, other: &Semver) -> CelBool {
    this.0.cmp_precedence(&other.0).is_lt().into()
}

fn compare_to(this: &Semver, other: &Semver) -> CelInt {
    ordered(this.0.cmp_precedence(&other.0))
}
