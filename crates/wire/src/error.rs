//! What can go wrong at the client end, and how a chain of causes is printed.

use std::error::Error;
use std::fmt::Write as _;

use outis_model::port::Refusal;

use crate::message::Malformed;
use crate::spool::SpoolError;

/// Why a link, an enrolment or a signing did not work.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The address does not parse.
    #[error("{0:?} is not the address of a controller; expected host:port")]
    Address(String),
    /// No connection, or no TLS.
    #[error("cannot reach the controller at {0}; if a NetworkPolicy selects this pod, allow egress to it")]
    Connect(String, #[source] tonic::transport::Error),
    /// The stream ended.
    #[error("the link to the controller at {address} ended: {text}")]
    Ended {
        /// The controller.
        address: String,
        /// What it, or the transport, said.
        text: String,
    },
    /// The controller refused by name.
    #[error("the controller refused this sender ({reason}): {text}")]
    Refused {
        /// A stable word.
        reason: String,
        /// The sentence.
        text: String,
    },
    /// The controller answered with something that is not of this protocol.
    #[error("the controller sent a message that cannot be read; compare the versions of both")]
    Malformed(#[from] Malformed),
    /// Our own disk.
    #[error("cannot use the spool")]
    Spool(#[from] SpoolError),
    /// An answer to a question, negative.
    #[error("{0}")]
    Answer(#[from] Refusal),
}

/// A chain of causes as one sentence.
#[must_use]
pub fn describe(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        // Writing to a String cannot fail.
        let _ = write!(text, ": {cause}");
        next = cause.source();
    }
    text
}

/// What a gRPC status says, in the words of the ports.
pub(crate) fn refusal(status: &tonic::Status) -> Refusal {
    use tonic::Code;
    let text = match status.source() {
        Some(cause) => format!("{}: {}", status.message(), describe(cause)),
        None => status.message().to_owned(),
    };
    match status.code() {
        Code::PermissionDenied | Code::Unauthenticated => Refusal::Denied(text),
        Code::InvalidArgument | Code::OutOfRange => Refusal::Invalid(text),
        _ => Refusal::Unavailable(text),
    }
}

/// A negative answer as a gRPC status.
pub(crate) fn status(refusal: &Refusal) -> tonic::Status {
    match refusal {
        Refusal::Denied(text) => tonic::Status::permission_denied(text),
        Refusal::Unavailable(text) => tonic::Status::unavailable(text),
        Refusal::Invalid(text) => tonic::Status::invalid_argument(text),
    }
}
