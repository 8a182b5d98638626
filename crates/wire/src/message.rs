//! Messages as values of the model, and their conversion from and to the generated twins.

use jiff::Timestamp;
use outis_model::effect::Resource;
use outis_model::input::{Component, Health, Report, Role};
use outis_model::name::NameError;
use outis_model::port::{SignedChain, SigningRequest, TrustBundle};
use outis_model::spiffe::SpiffeError;

use crate::proto::{self, down, up};
use crate::{MAX_CSR, MAX_REPORT, MAX_RESOURCE};

/// What goes first when a spool has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Superseded by the next of its kind.
    Mergeable,
    /// Decisions and issuances.
    Decision,
    /// Detections and losses: dropped last.
    Detection,
}

/// How a sender introduces itself. What it says of itself is compared with what its certificate proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Who.
    pub component: Component,
    /// Version of its binary.
    pub version: String,
    /// Its spool.
    pub spool: String,
    /// Oldest number it still holds.
    pub first: u64,
    /// Number its next report will have.
    pub next: u64,
}

/// A report with the numbers it stands for: one, or for a loss a range.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbered {
    /// First number.
    pub first: u64,
    /// Last number.
    pub last: u64,
    /// Its class.
    pub class: Class,
    /// The report. A `Lost` always says the same numbers as `first` and `last`.
    pub report: Report,
}

/// What became of a resource at the receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Name of the resource.
    pub name: String,
    /// The version spoken of.
    pub version: u64,
    /// Why it is not in force; `None` when it is.
    pub error: Option<String>,
}

/// What enrolment gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment {
    /// The component's first certificate.
    pub signed: SignedChain,
    /// The roots to trust.
    pub bundle: TrustBundle,
}

/// A message from a component.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Upward {
    Hello(Hello),
    Numbered(Numbered),
    Acknowledgement(Acknowledgement),
    Health(Health),
}

/// A message to a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Downward {
    Welcome(Option<u64>),
    Stored(u64),
    Resource(Resource),
    Refused { reason: String, text: String },
}

/// Why a message cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// The message has no content, or content of a newer protocol.
    #[error("a message is empty or of a newer protocol")]
    Empty,
    /// Larger than its kind may be.
    #[error("a {what} of {size} bytes is larger than {max}")]
    TooLarge {
        /// Which kind.
        what: &'static str,
        /// Its size.
        size: usize,
        /// The limit.
        max: usize,
    },
    /// A role that does not exist.
    #[error("{0:?} is not a role that may connect; agents and webhooks may")]
    Role(String),
    /// A class that does not exist.
    #[error("report {0} has no class")]
    Class(u64),
    /// A name breaks its rule.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A SPIFFE ID breaks its rule.
    #[error(transparent)]
    Spiffe(#[from] SpiffeError),
    /// Numbers that cannot be.
    #[error("numbers {0} to {1} are not a range")]
    Range(u64, u64),
    /// Not the JSON it should be.
    #[error("report {seq} is not a report in JSON")]
    Json {
        /// Its number; 0 for a health message.
        seq: u64,
        /// The parser's answer.
        #[source]
        source: serde_json::Error,
    },
    /// A loss in the clothes of a report would carry two ranges.
    #[error("report {0} holds a loss; losses are declared with their own message")]
    DisguisedLoss(u64),
    /// No time.
    #[error("{0} is not a time in seconds since 1970")]
    Time(i64),
}

impl Numbered {
    /// A report.
    #[must_use]
    pub fn report(seq: u64, class: Class, report: Report) -> Self {
        Self { first: seq, last: seq, class, report }
    }

    /// A loss.
    #[must_use]
    pub fn lost(from: u64, to: u64, why: String) -> Self {
        Self { first: from, last: to, class: Class::Detection, report: Report::Lost { from, to, why } }
    }

    /// Leaves away the numbers below `seq`.
    pub(crate) fn begin_at(&mut self, seq: u64) {
        self.first = self.first.max(seq);
        if let Report::Lost { from, .. } = &mut self.report {
            *from = self.first;
        }
    }
}

pub(crate) fn bounded(what: &'static str, size: usize, max: usize) -> Result<(), Malformed> {
    if size > max { Err(Malformed::TooLarge { what, size, max }) } else { Ok(()) }
}

fn cut(text: &str, max: usize) -> String {
    text.chars().take(max).collect()
}

fn range(from: u64, to: u64) -> Result<(), Malformed> {
    if from > to || to == u64::MAX { Err(Malformed::Range(from, to)) } else { Ok(()) }
}

impl TryFrom<proto::Up> for Upward {
    type Error = Malformed;
    fn try_from(message: proto::Up) -> Result<Self, Malformed> {
        Ok(match message.message.ok_or(Malformed::Empty)? {
            up::Message::Hello(hello) => Self::Hello(hello.try_into()?),
            up::Message::Report(report) => Self::Numbered(report.try_into()?),
            up::Message::Lost(lost) => {
                range(lost.from, lost.to)?;
                Self::Numbered(Numbered::lost(lost.from, lost.to, cut(&lost.why, 256)))
            }
            up::Message::Ack(ack) => Self::Acknowledgement(Acknowledgement {
                name: cut(&ack.name, 253),
                version: ack.version,
                error: (!ack.error.is_empty()).then(|| cut(&ack.error, 1024)),
            }),
            up::Message::Health(health) => {
                bounded("health message", health.body.len(), MAX_REPORT)?;
                let read = serde_json::from_slice(&health.body);
                Self::Health(read.map_err(|source| Malformed::Json { seq: 0, source })?)
            }
        })
    }
}

impl TryFrom<proto::Hello> for Hello {
    type Error = Malformed;
    fn try_from(hello: proto::Hello) -> Result<Self, Malformed> {
        let role = match hello.role.as_str() {
            "agent" => Role::Agent,
            "webhook" => Role::Webhook,
            other => return Err(Malformed::Role(cut(other, 64))),
        };
        bounded("pod name", hello.pod.len(), 253)?;
        bounded("spool id", hello.spool.len(), 64)?;
        if hello.first > hello.next {
            return Err(Malformed::Range(hello.first, hello.next));
        }
        Ok(Self {
            component: Component { role, pod: hello.pod, node: hello.node.parse()? },
            version: cut(&hello.version, 64),
            spool: hello.spool,
            first: hello.first,
            next: hello.next,
        })
    }
}

impl From<Hello> for proto::Hello {
    fn from(hello: Hello) -> Self {
        Self {
            role: hello.component.role.to_string(),
            pod: hello.component.pod,
            node: hello.component.node.to_string(),
            version: hello.version,
            spool: hello.spool,
            first: hello.first,
            next: hello.next,
        }
    }
}

impl TryFrom<proto::Report> for Numbered {
    type Error = Malformed;
    fn try_from(report: proto::Report) -> Result<Self, Malformed> {
        let seq = report.seq;
        range(seq, seq)?;
        bounded("report", report.body.len(), MAX_REPORT)?;
        let class = match report.class() {
            proto::Class::Mergeable => Class::Mergeable,
            proto::Class::Decision => Class::Decision,
            proto::Class::Detection => Class::Detection,
            proto::Class::Unspecified => return Err(Malformed::Class(seq)),
        };
        let read = serde_json::from_slice(&report.body);
        let report = read.map_err(|source| Malformed::Json { seq, source })?;
        if matches!(report, Report::Lost { .. }) {
            return Err(Malformed::DisguisedLoss(seq));
        }
        Ok(Self::report(seq, class, report))
    }
}

impl From<Class> for proto::Class {
    fn from(class: Class) -> Self {
        match class {
            Class::Mergeable => Self::Mergeable,
            Class::Decision => Self::Decision,
            Class::Detection => Self::Detection,
        }
    }
}

impl TryFrom<proto::Down> for Downward {
    type Error = Malformed;
    fn try_from(message: proto::Down) -> Result<Self, Malformed> {
        Ok(match message.message.ok_or(Malformed::Empty)? {
            down::Message::Welcome(welcome) => Self::Welcome(welcome.last),
            down::Message::Stored(stored) => Self::Stored(stored.up_to),
            down::Message::Resource(resource) => {
                bounded("resource", resource.body.len(), MAX_RESOURCE)?;
                let proto::Resource { name, version, body } = resource;
                Self::Resource(Resource { name: cut(&name, 253), version, body })
            }
            down::Message::Refused(refused) => {
                Self::Refused { reason: cut(&refused.reason, 64), text: cut(&refused.text, 1024) }
            }
        })
    }
}

impl From<Downward> for proto::Down {
    fn from(message: Downward) -> Self {
        let message = match message {
            Downward::Welcome(last) => down::Message::Welcome(proto::Welcome { last }),
            Downward::Stored(up_to) => down::Message::Stored(proto::Stored { up_to }),
            Downward::Resource(Resource { name, version, body }) => {
                down::Message::Resource(proto::Resource { name, version, body })
            }
            Downward::Refused { reason, text } => down::Message::Refused(proto::Refused { reason, text }),
        };
        Self { message: Some(message) }
    }
}

impl From<up::Message> for proto::Up {
    fn from(message: up::Message) -> Self {
        Self { message: Some(message) }
    }
}

impl TryFrom<proto::SignRequest> for SigningRequest {
    type Error = Malformed;
    fn try_from(request: proto::SignRequest) -> Result<Self, Malformed> {
        bounded("certificate request", request.csr.len(), MAX_CSR)?;
        Ok(Self { pod_uid: request.pod_uid.parse()?, csr: request.csr })
    }
}

impl From<SignedChain> for proto::SignedChain {
    fn from(signed: SignedChain) -> Self {
        let not_after = signed.not_after.as_second();
        Self { id: signed.id.to_string(), chain: signed.chain, not_after }
    }
}

impl TryFrom<proto::SignedChain> for SignedChain {
    type Error = Malformed;
    fn try_from(signed: proto::SignedChain) -> Result<Self, Malformed> {
        if signed.chain.is_empty() {
            return Err(Malformed::Empty);
        }
        let not_after =
            Timestamp::from_second(signed.not_after).map_err(|_| Malformed::Time(signed.not_after))?;
        Ok(Self { id: signed.id.parse()?, chain: signed.chain, not_after })
    }
}

impl From<Enrolment> for proto::EnrolResponse {
    fn from(enrolment: Enrolment) -> Self {
        Self {
            signed: Some(enrolment.signed.into()),
            trust_domain: enrolment.bundle.trust_domain.to_string(),
            roots: enrolment.bundle.roots,
            sequence: enrolment.bundle.sequence,
        }
    }
}

impl TryFrom<proto::EnrolResponse> for Enrolment {
    type Error = Malformed;
    fn try_from(answer: proto::EnrolResponse) -> Result<Self, Malformed> {
        let bundle = TrustBundle {
            trust_domain: answer.trust_domain.parse()?,
            roots: answer.roots,
            sequence: answer.sequence,
        };
        Ok(Self { signed: answer.signed.ok_or(Malformed::Empty)?.try_into()?, bundle })
    }
}

#[cfg(test)]
mod tests;
