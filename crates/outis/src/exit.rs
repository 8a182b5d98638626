//! Exit codes: 0 fine, 1 findings or refusal, 2 could not do it, 64 bad usage or configuration.

use std::process::ExitCode;

use outis_cluster::ClientError;

/// Everything is as it should be.
pub(crate) const FINE: u8 = 0;
/// Something was found or refused.
pub(crate) const FINDINGS: u8 = 1;
/// It could not be done.
pub(crate) const FAILED: u8 = 2;
/// The arguments or the configuration are wrong (`EX_USAGE` of sysexits.h).
pub(crate) const USAGE: u8 = 64;

/// Arguments or configuration are wrong; the text names every fault.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// Prints an error with its causes and what to do, and says how the process ends.
pub(crate) fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {}", chain(error));
    if forbidden(error) {
        eprintln!("ask a cluster administrator for that right, or take another user's --context");
    }
    ExitCode::from(code(error))
}

fn code(error: &anyhow::Error) -> u8 {
    let named = error.downcast_ref::<ClientError>().is_some_and(ClientError::is_usage);
    if named || error.is::<Usage>() { USAGE } else { FAILED }
}

/// Whether the API server knows us and says no.
fn forbidden(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let plain = cause.downcast_ref::<kube::Error>();
        let cause = plain.or_else(|| cause.downcast_ref::<Box<kube::Error>>().map(Box::as_ref));
        matches!(cause, Some(kube::Error::Api(status)) if status.code == 403)
    })
}

/// An error and its causes in one line; a cause that repeats the line before it is left out.
pub(crate) fn chain(error: &anyhow::Error) -> String {
    causes(error.as_ref())
}

/// The same of an error that is somebody else's.
pub(crate) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = String::new();
    for cause in std::iter::successors(Some(error), |error| error.source()) {
        let next = cause.to_string();
        if text.ends_with(&next) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&next);
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    #[test]
    fn causes_are_told_once() {
        let inner = std::io::Error::other("no route to host");
        let error: anyhow::Error = Err::<(), _>(inner).context("cannot reach 10.0.0.1").expect_err("failed");
        assert_eq!(super::chain(&error), "cannot reach 10.0.0.1: no route to host");
        let twice = anyhow::anyhow!("down").context("it is down");
        assert_eq!(super::chain(&twice), "it is down");
    }
}
