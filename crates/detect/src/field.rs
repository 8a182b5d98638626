//! The fields that conditions and outputs name: which there are, what kind of value each has, and
//! for which events it can have one.

pub(crate) mod value;

use crate::types::{CONNECTED, EVERY, EXECS, FILES, SERVED, SOCKETS, TypeMask};

/// What kind of value a field has; decides what it can be compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Int,
    Bool,
    /// Both ends' addresses or one.
    Ip,
    /// Both ends' ports.
    Ports,
    /// An address compared with the names that stand for it.
    HostName,
    /// Names of all ancestors.
    Texts,
}

/// Whether a field takes an argument in brackets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arg {
    No,
    /// A number of generations.
    Generation,
    /// The same, or nothing for any ancestor.
    AnyGeneration,
}

macro_rules! fields {
    ($($id:ident $name:literal $kind:ident $arg:ident $when:ident $doc:literal;)+) => {
        /// A field we have.
        #[expect(clippy::enum_variant_names, reason = "some fields are ids")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum Id { $($id),+ }
        pub(crate) const FIELDS: &[Spec] =
            &[$(Spec { id: Id::$id, name: $name, kind: Kind::$kind, arg: Arg::$arg, when: $when, doc: $doc }),+];
    };
}

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) id: Id,
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) arg: Arg,
    /// Events for which it can have a value.
    pub(crate) when: TypeMask,
    pub(crate) doc: &'static str,
}

fields! {
    EvtType "evt.type" Text No EVERY "name of the system call";
    EvtNum "evt.num" Int No EVERY "number of the event within its source, from 1";
    EvtTime "evt.time" Int No EVERY "nanoseconds since the epoch; in the output line the time of day, UTC";
    EvtRawTime "evt.rawtime" Int No EVERY "nanoseconds since the epoch";
    EvtTimeIso "evt.time.iso8601" Text No EVERY "the time as RFC 3339";
    EvtDateTime "evt.datetime" Text No EVERY "date and time, UTC";
    EvtDir "evt.dir" Text No EVERY "`<`: all events are exits";
    EvtHostname "evt.hostname" Text No EVERY "the node's name";
    EvtRes "evt.res" Text No EVERY "`SUCCESS`, or the name of the error";
    EvtRawRes "evt.rawres" Int No EVERY "the returned number";
    EvtFailed "evt.failed" Bool No EVERY "whether the call failed";
    EvtIsOpenRead "evt.is_open_read" Bool No EVERY "opened for reading";
    EvtIsOpenWrite "evt.is_open_write" Bool No EVERY "opened for writing";
    EvtIsOpenCreate "evt.is_open_create" Bool No EVERY "opened with O_CREAT";
    EvtArgs "evt.args" Text No EVERY "arguments of the call";
    EvtInfo "evt.info" Text No EVERY "arguments of the call";
    EvtArgFlags "evt.arg.flags" Text No FLAGGED "flags by name: `O_TRUNC|O_WRONLY`, `EXE_UPPER_LAYER`";
    EvtArgRes "evt.arg.res" Text No EVERY "`SUCCESS`, or the name of the error";
    EvtArgName "evt.arg.name" Text No FILES "path as the caller wrote it";
    EvtArgPath "evt.arg.path" Text No FILES "path as the caller wrote it";
    EvtArgFilename "evt.arg.filename" Text No EXECS "path of the executable";
    EvtArgFd "evt.arg.fd" Int No DESCRIPTORS "the descriptor";
    EvtArgMode "evt.arg.mode" Int No FILES "creation mode";
    FdNum "fd.num" Int No DESCRIPTORS "the descriptor, -1 for a failed open";
    FdName "fd.name" Text No DESCRIPTORS "absolute path, or both ends of a socket";
    FdNameRaw "fd.nameraw" Text No FILES "path as the caller wrote it";
    FdDirectory "fd.directory" Text No FILES "directory the file is in";
    FdFilename "fd.filename" Text No FILES "last element of the path";
    FdType "fd.type" Text No DESCRIPTORS "`file`, `directory`, `ipv4`, `ipv6`, `unix`";
    FdTypeChar "fd.typechar" Text No DESCRIPTORS "`f`, `d`, `4`, `6`, `u`";
    FdL4Proto "fd.l4proto" Text No SOCKETS "`tcp`, `udp`, `icmp`, `raw`";
    FdIp "fd.ip" Ip No SOCKETS "either end's address";
    FdNet "fd.net" Ip No SOCKETS "either end's address, for networks";
    FdPort "fd.port" Ports No SOCKETS "either end's port";
    FdSip "fd.sip" Ip No SOCKETS "server's address";
    FdCip "fd.cip" Ip No SOCKETS "client's address";
    FdLip "fd.lip" Ip No SOCKETS "local address";
    FdRip "fd.rip" Ip No SOCKETS "remote address";
    FdSnet "fd.snet" Ip No SOCKETS "server's address, for networks";
    FdCnet "fd.cnet" Ip No SOCKETS "client's address, for networks";
    FdLnet "fd.lnet" Ip No SOCKETS "local address, for networks";
    FdRnet "fd.rnet" Ip No SOCKETS "remote address, for networks";
    FdSport "fd.sport" Int No SOCKETS "server's port";
    FdCport "fd.cport" Int No SOCKETS "client's port";
    FdLport "fd.lport" Int No SOCKETS "local port";
    FdRport "fd.rport" Int No SOCKETS "remote port";
    FdSproto "fd.sproto" Int No SOCKETS "server's port";
    FdSipName "fd.sip.name" HostName No SOCKETS "server's address, compared with host names";
    FdCipName "fd.cip.name" HostName No SOCKETS "client's address, compared with host names";
    FdLipName "fd.lip.name" HostName No SOCKETS "local address, compared with host names";
    FdRipName "fd.rip.name" HostName No SOCKETS "remote address, compared with host names";
    FdIsServer "fd.is_server" Bool No SOCKETS "whether our end is the server";
    FdConnectIp "fd.connect.ip" Ip No CONNECTED "address connected to";
    FdAcceptIp "fd.accept.ip" Ip No SERVED "address accepted from";
    ProcName "proc.name" Text No EVERY "task name, 15 bytes";
    ProcExe "proc.exe" Text No EVERY "first argument";
    ProcExePath "proc.exepath" Text No EVERY "resolved path of the executable";
    ProcArgs "proc.args" Text No EVERY "arguments behind the first, joined by blanks";
    ProcCmdline "proc.cmdline" Text No EVERY "task name and arguments";
    ProcExeLine "proc.exeline" Text No EVERY "first argument and arguments";
    ProcCwd "proc.cwd" Text No EVERY "working directory, with a slash at the end";
    ProcTty "proc.tty" Int No EVERY "controlling terminal, 0 for none";
    ProcDuration "proc.duration" Int No EVERY "nanoseconds since the process started";
    ProcPidStart "proc.pid.ts" Int No EVERY "start of the process, nanoseconds since the epoch";
    ProcPid "proc.pid" Int No EVERY "process id";
    ProcPpid "proc.ppid" Int No EVERY "parent's process id";
    ProcVpid "proc.vpid" Int No EVERY "process id in the container";
    ProcPname "proc.pname" Text No EVERY "parent's task name";
    ProcPexe "proc.pexe" Text No EVERY "parent's first argument";
    ProcPexePath "proc.pexepath" Text No EVERY "parent's executable";
    ProcPcmdline "proc.pcmdline" Text No EVERY "parent's command line";
    ProcPpidDuration "proc.ppid.duration" Int No EVERY "nanoseconds since the parent started";
    ProcAname "proc.aname" Texts AnyGeneration EVERY "an ancestor's task name; 1 is the parent";
    ProcApid "proc.apid" Int Generation EVERY "an ancestor's process id";
    ProcAexePath "proc.aexepath" Text Generation EVERY "an ancestor's executable";
    ProcAexe "proc.aexe" Text Generation EVERY "an ancestor's first argument";
    ProcAcmdline "proc.acmdline" Text Generation EVERY "an ancestor's command line";
    ProcUpperLayer "proc.is_exe_upper_layer" Bool No EVERY "the executable is no part of the image";
    ProcMemfd "proc.is_exe_from_memfd" Bool No EVERY "the executable is a memfd";
    ProcExeCtime "proc.exe_ino.ctime" Int No EVERY "change time of the executable";
    ProcExeMtime "proc.exe_ino.mtime" Int No EVERY "modification time of the executable";
    ProcExeAge "proc.exe_ino.ctime_duration_proc_start" Int No EVERY "start of the process less the executable's change time";
    ThreadTid "thread.tid" Int No EVERY "thread id";
    ThreadCap "thread.cap_effective" Text No EVERY "effective capabilities, `CAP_A CAP_B`";
    UserUid "user.uid" Int No EVERY "effective user id";
    UserName "user.name" Text No EVERY "name of the user, where it is known";
    UserLoginUid "user.loginuid" Int No EVERY "user id at login, -1 for none";
    UserLoginName "user.loginname" Text No EVERY "name of the user at login";
    GroupGid "group.gid" Int No EVERY "effective group id";
    GroupName "group.name" Text No EVERY "name of the group, where it is known";
    ContainerId "container.id" Text No EVERY "first 12 digits; `host` for none, `unknown` when nobody could tell";
    ContainerFullId "container.full_id" Text No EVERY "the whole id";
    ContainerName "container.name" Text No EVERY "name in the pod";
    ContainerImage "container.image" Text No EVERY "image with tag";
    ContainerRepository "container.image.repository" Text No EVERY "image without tag";
    ContainerTag "container.image.tag" Text No EVERY "tag";
    ContainerPrivileged "container.privileged" Bool No EVERY "runs privileged";
    ContainerStart "container.start_ts" Int No EVERY "start of the container, nanoseconds since the epoch";
    ContainerDuration "container.duration" Int No EVERY "nanoseconds since the container started";
    PodNamespace "k8s.ns.name" Text No EVERY "namespace of the pod";
    PodName "k8s.pod.name" Text No EVERY "name of the pod";
    PodUid "k8s.pod.uid" Text No EVERY "UID of the pod";
    PodId "k8s.pod.id" Text No EVERY "UID of the pod";
    PodAccount "k8s.pod.service_account" Text No EVERY "service account of the pod";
    PodNode "k8s.node.name" Text No EVERY "node of the pod";
}

const FLAGGED: TypeMask = EXECS.or(FILES);
const DESCRIPTORS: TypeMask = FILES.or(SOCKETS);

/// Every field there is, with what it says; for manuals.
pub fn fields() -> impl Iterator<Item = (&'static str, &'static str)> {
    FIELDS.iter().map(|spec| (spec.name, spec.doc))
}

/// A field with its argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) id: Id,
    pub(crate) kind: Kind,
    pub(crate) when: TypeMask,
    /// The argument; `None` when there is none.
    pub(crate) generation: Option<u16>,
}

/// Why a name with an argument is no field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoField {
    /// It may be one elsewhere; we have no such value.
    NotThere,
    /// It is one, but not with this argument.
    BadArgument(String),
}

impl Field {
    /// Finds the field of a name and an argument.
    pub(crate) fn find(name: &str, arg: Option<&str>) -> Result<Self, NoField> {
        let spec = FIELDS.iter().find(|spec| spec.name == name).ok_or(NoField::NotThere)?;
        let wrong = |text: String| Err(NoField::BadArgument(text));
        let generation = match (spec.arg, arg) {
            (Arg::No, None) | (Arg::AnyGeneration, None) => None,
            (Arg::No, Some(arg)) => {
                return wrong(format!("`{name}` takes no argument, and [{arg}] stands behind it"));
            }
            (Arg::Generation, None) => {
                return wrong(format!("`{name}` needs a number of generations, as in `{name}[2]`"));
            }
            (_, Some(arg)) => match arg.parse::<u16>() {
                Ok(generation) if generation <= 64 => Some(generation),
                _ => return wrong(format!("`{name}` takes a number of generations up to 64, not [{arg}]")),
            },
        };
        let kind = if generation.is_some() && spec.kind == Kind::Texts { Kind::Text } else { spec.kind };
        Ok(Self { id: spec.id, kind, when: spec.when, generation })
    }
}

/// The known name nearest to an unknown one, when they are near.
pub(crate) fn nearest(name: &str) -> Option<&'static str> {
    let near = |known: &str| distance(known, name);
    let best = FIELDS.iter().min_by_key(|spec| near(spec.name))?;
    (near(best.name) <= 2).then_some(best.name)
}

/// Single-character edits between two short texts, swaps counted as one.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let same = usize::from(a[i - 1] != b[j - 1]);
                let mut best = (rows[i - 1][j - 1] + same).min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best = best.min(rows[i - 2][j - 2] + 1);
                }
                best
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_with_their_arguments() {
        assert_eq!(Field::find("proc.aname", None).expect("any").kind, Kind::Texts);
        assert_eq!(Field::find("proc.aname", Some("2")).expect("one").kind, Kind::Text);
        assert!(matches!(Field::find("proc.aname", Some("x")), Err(NoField::BadArgument(_))));
        assert!(matches!(Field::find("proc.name", Some("1")), Err(NoField::BadArgument(_))));
        assert!(matches!(Field::find("proc.apid", None), Err(NoField::BadArgument(_))));
        assert_eq!(Field::find("proc.env", None), Err(NoField::NotThere));
        assert_eq!((nearest("proc.nmae"), nearest("json.value")), (Some("proc.name"), None));
    }

    #[test]
    fn no_name_stands_twice() {
        let mut names: Vec<_> = FIELDS.iter().map(|spec| spec.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FIELDS.len());
    }
}
