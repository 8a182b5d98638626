//! The value of a field for one event. A field without a value is `Missing`, and every comparison
//! with it is false. Nothing is allocated for a value the event or the process holds as such.

pub(crate) mod file;
mod output;
mod process;
mod socket;

use std::borrow::Cow;
use std::net::IpAddr;

use outis_model::event::{Ancestor, Event, Place, What, Workload};

use super::{Field, Id};
use crate::names::{self, Knowledge};
use crate::partition::{Partition, Process};
use crate::types;

/// A value, borrowed where it can be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    Missing,
    Text(Cow<'a, str>),
    Int(i64),
    Bool(bool),
    /// One address, or both ends of a socket.
    Ips(Option<IpAddr>, Option<IpAddr>),
    Ports(Option<u16>, Option<u16>),
    Ancestors(&'a [Ancestor]),
}

/// An event with everything that is known of its process.
pub(crate) struct View<'a> {
    pub(crate) event: &'a Event,
    pub(crate) process: Option<&'a Process>,
    pub(crate) partition: &'a Partition,
    pub(crate) knowledge: &'a Knowledge,
    /// Command lines are to be shown, not compared.
    pub(crate) shown: bool,
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl<'a> From<Cow<'a, str>> for Value<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u32> for Value<'_> {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<i32> for Value<'_> {
    fn from(value: i32) -> Self {
        Self::Int(value.into())
    }
}

impl<'a, T: Into<Self>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Missing, Into::into)
    }
}

/// A number of nanoseconds; more than a signed number holds is the most it holds.
pub(crate) fn nanoseconds(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl<'a> View<'a> {
    pub(crate) fn new(partition: &'a Partition, event: &'a Event, shown: bool) -> Self {
        let (process, knowledge) = partition.view(event);
        Self { event, process, partition, knowledge, shown }
    }

    /// Nanoseconds since the epoch at the time of the event.
    pub(crate) fn now(&self) -> i64 {
        i64::try_from(self.event.time.as_nanosecond()).unwrap_or(i64::MAX)
    }

    /// An instant since boot as nanoseconds since the epoch.
    fn epoch(&self, since_boot: u64) -> i64 {
        self.now().saturating_sub(self.since(since_boot))
    }

    /// Nanoseconds from an instant since boot to the event.
    fn since(&self, since_boot: u64) -> i64 {
        nanoseconds(self.event.stamp).saturating_sub(nanoseconds(since_boot))
    }

    /// What the call returned, where that is known.
    pub(crate) fn returned(&self) -> Option<i64> {
        match &self.event.what {
            What::Exec(exec) | What::Seen(exec) => Some(exec.result.into()),
            What::Open(open) => Some(open.result.into()),
            What::Connect(socket) | What::Accept(socket) => Some(socket.result.into()),
            What::Fork(_) => Some(0),
            What::Exit { .. } => None,
        }
    }

    /// The value of a field.
    pub(crate) fn get(&self, field: &Field) -> Value<'a> {
        use Id::*;
        match field.id {
            EvtType => types::of(self.event).map(|number| types::TYPES[number]).into(),
            EvtNum => nanoseconds(self.event.number.saturating_add(1)).into(),
            EvtTime | EvtRawTime => self.now().into(),
            EvtTimeIso | EvtDateTime | EvtArgs | EvtInfo => self.told(field.id),
            EvtDir => "<".into(),
            EvtHostname => self.knowledge.hostname.as_deref().into(),
            EvtRes | EvtArgRes => self.returned().map(names::result).into(),
            EvtRawRes => self.returned().into(),
            EvtFailed => self.returned().map(|result| result < 0).into(),
            EvtIsOpenRead | EvtIsOpenWrite | EvtIsOpenCreate | EvtArgFlags | EvtArgName | EvtArgPath
            | EvtArgFilename | EvtArgMode | FdNameRaw | FdDirectory | FdFilename => self.file(field.id),
            FdNum | EvtArgFd | FdName | FdType | FdTypeChar => match &self.event.what {
                What::Open(_) => self.file(field.id),
                _ => self.socket(field.id),
            },
            FdL4Proto | FdIp | FdNet | FdPort | FdSip | FdCip | FdLip | FdRip | FdSnet | FdCnet | FdLnet
            | FdRnet | FdSport | FdCport | FdLport | FdRport | FdSproto | FdSipName | FdCipName
            | FdLipName | FdRipName | FdIsServer | FdConnectIp | FdAcceptIp => self.socket(field.id),
            ThreadTid => self.event.task.tid.into(),
            ThreadCap => names::capabilities(self.event.task.cap_effective).into(),
            UserUid => self.event.task.uid.into(),
            UserName => self.knowledge.user(self.container(), self.event.task.uid).into(),
            UserLoginUid => self.login().map_or(-1, i64::from).into(),
            UserLoginName => self.login().and_then(|uid| self.knowledge.user(None, uid)).into(),
            GroupGid => self.event.task.gid.into(),
            GroupName => self.knowledge.group(self.container(), self.event.task.gid).into(),
            ContainerId | ContainerFullId | ContainerName | ContainerImage | ContainerRepository
            | ContainerTag | ContainerPrivileged | ContainerStart | ContainerDuration => {
                self.contained(field.id)
            }
            PodNamespace | PodName | PodUid | PodId | PodAccount | PodNode => self.pod(field.id),
            _ => self.proc(field),
        }
    }

    fn workload(&self) -> Option<&'a Workload> {
        match &self.event.place {
            Place::Container(workload) => Some(workload),
            Place::Host | Place::Unknown(_) => None,
        }
    }

    fn container(&self) -> Option<&'a outis_model::ContainerId> {
        self.workload().map(|workload| &workload.container)
    }

    fn login(&self) -> Option<u32> {
        let uid = self.event.task.loginuid;
        (uid != u32::MAX).then_some(uid)
    }

    /// A place nobody could name is no container we know and is not the host: rules about
    /// containers look at it.
    fn contained(&self, id: Id) -> Value<'a> {
        let workload = match (&self.event.place, id) {
            (Place::Host, Id::ContainerId | Id::ContainerFullId | Id::ContainerName) => return "host".into(),
            (Place::Unknown(_), Id::ContainerId | Id::ContainerFullId) => return "unknown".into(),
            (Place::Container(workload), _) => workload,
            _ => return Value::Missing,
        };
        match id {
            Id::ContainerId => workload.container.short().into(),
            Id::ContainerFullId => workload.container.as_str().into(),
            Id::ContainerName => workload.container_name.as_deref().into(),
            Id::ContainerRepository => workload.image_repository.as_deref().into(),
            Id::ContainerTag => workload.image_tag.as_deref().into(),
            Id::ContainerImage => match (&workload.image_repository, &workload.image_tag) {
                (Some(repository), Some(tag)) => format!("{repository}:{tag}").into(),
                (repository, _) => repository.as_deref().into(),
            },
            Id::ContainerPrivileged => workload.privileged.into(),
            Id::ContainerStart => (workload.start != 0).then(|| self.epoch(workload.start)).into(),
            _ => (workload.start != 0).then(|| self.since(workload.start)).into(),
        }
    }

    fn pod(&self, id: Id) -> Value<'a> {
        let Some(pod) = self.workload().and_then(|workload| workload.pod.as_ref()) else {
            return Value::Missing;
        };
        match id {
            Id::PodNamespace => pod.namespace.as_str(),
            Id::PodName => pod.name.as_str(),
            Id::PodAccount => pod.service_account.as_str(),
            Id::PodNode => pod.node.as_str(),
            _ => pod.uid.as_str(),
        }
        .into()
    }
}
