//! The kernel fields the programs read. Each is a path in the kernel's BTF, resolved at start-up:
//!
//! - `struct.member.member`, anonymous members looked through;
//! - `a|b`: the first that exists, for fields that were renamed;
//! - `struct.$size`: the size of the type;
//! - a leading `?`: may be missing (compiled out), then the offset is `u32::MAX`.

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident = $path:literal,)*) => {
        /// A kernel field; its number is its place in the table of offsets.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum Field { $($(#[$doc])* $name,)* }

        /// How many there are.
        pub const FIELDS: usize = [$(Field::$name),*].len();

        #[cfg(feature = "user")]
        impl Field {
            /// Where each is found, in order.
            pub const PATHS: [&'static str; FIELDS] = [$($path),*];
        }
    };
}

fields! {
    /// Thread id in the initial namespace.
    TaskPid = "task_struct.pid",
    /// Thread group id in the initial namespace.
    TaskTgid = "task_struct.tgid",
    /// Name.
    TaskComm = "task_struct.comm",
    /// Start since boot (5.5 renamed it).
    TaskStart = "task_struct.start_boottime|task_struct.real_start_time",
    /// The task that started it.
    TaskParent = "task_struct.real_parent",
    /// First thread.
    TaskLeader = "task_struct.group_leader",
    /// Credentials in force.
    TaskCred = "task_struct.cred",
    /// Address space.
    TaskMm = "task_struct.mm",
    /// Root and working directory.
    TaskFs = "task_struct.fs",
    /// Descriptors.
    TaskFiles = "task_struct.files",
    /// What threads of a group share.
    TaskSignal = "task_struct.signal",
    /// Its cgroups.
    TaskCgroups = "task_struct.cgroups",
    /// Its `struct pid` (4.19 renamed it).
    TaskThreadPid = "task_struct.thread_pid",
    /// Exit code.
    TaskExitCode = "task_struct.exit_code",
    /// Login uid; needs CONFIG_AUDIT.
    TaskLoginUid = "?task_struct.loginuid",
    /// Controlling terminal.
    SignalTty = "signal_struct.tty",
    /// `struct pid` by type.
    SignalPids = "signal_struct.pids",
    /// Live threads.
    SignalLive = "signal_struct.live",
    /// Threads not yet reaped.
    SignalThreads = "signal_struct.nr_threads",
    /// SIGNAL_GROUP_EXIT and others.
    SignalFlags = "signal_struct.flags",
    /// Exit code of a group that was told to end.
    SignalExitCode = "signal_struct.group_exit_code",
    /// Number within the driver.
    TtyIndex = "tty_struct.index",
    /// Driver.
    TtyDriver = "tty_struct.driver",
    /// Major number.
    TtyMajor = "tty_driver.major",
    /// First minor number.
    TtyMinor = "tty_driver.minor_start",
    /// Effective uid.
    CredEuid = "cred.euid",
    /// Effective gid.
    CredEgid = "cred.egid",
    /// Effective capabilities.
    CredCapEffective = "cred.cap_effective",
    /// Where arguments start.
    MmArgStart = "mm_struct.arg_start",
    /// Where they end.
    MmArgEnd = "mm_struct.arg_end",
    /// The running file.
    MmExeFile = "mm_struct.exe_file",
    /// Mount and dentry.
    FilePath = "file.f_path",
    /// Inode.
    FileInode = "file.f_inode",
    /// For a socket, `struct socket`.
    FilePrivate = "file.private_data",
    /// Mount of a path.
    PathMnt = "path.mnt",
    /// Dentry of a path.
    PathDentry = "path.dentry",
    /// Parent.
    DentryParent = "dentry.d_parent",
    /// Name's text.
    DentryName = "dentry.d_name.name",
    /// Inode.
    DentryInode = "dentry.d_inode",
    /// The part of a mount that a path points to.
    MountVfs = "mount.mnt",
    /// Mount it is mounted in.
    MountParent = "mount.mnt_parent",
    /// Where.
    MountPoint = "mount.mnt_mountpoint",
    /// Its root dentry.
    VfsRoot = "vfsmount.mnt_root",
    /// Type and permissions.
    InodeMode = "inode.i_mode",
    /// Superblock.
    InodeSuper = "inode.i_sb",
    /// Change time: seconds (6.6 and 6.11 renamed it).
    InodeCtime = "inode.i_ctime_sec|inode.__i_ctime.tv_sec|inode.i_ctime.tv_sec",
    /// Change time: nanoseconds.
    InodeCtimeNs = "inode.i_ctime_nsec|inode.__i_ctime.tv_nsec|inode.i_ctime.tv_nsec",
    /// Modification time: seconds.
    InodeMtime = "inode.i_mtime_sec|inode.__i_mtime.tv_sec|inode.i_mtime.tv_sec",
    /// Modification time: nanoseconds.
    InodeMtimeNs = "inode.i_mtime_nsec|inode.__i_mtime.tv_nsec|inode.i_mtime.tv_nsec",
    /// overlayfs keeps its upper dentry right behind the inode.
    InodeSize = "inode.$size",
    /// File system type.
    SuperMagic = "super_block.s_magic",
    /// Root directory.
    FsRoot = "fs_struct.root",
    /// Working directory.
    FsPwd = "fs_struct.pwd",
    /// Descriptor table.
    FilesTable = "files_struct.fdt",
    /// Its array.
    TableFd = "fdtable.fd",
    /// Its length.
    TableMax = "fdtable.max_fds",
    /// The v2 cgroup.
    CssDefault = "css_set.dfl_cgrp",
    /// v1 states by controller.
    CssSubsys = "css_set.subsys",
    /// Cgroup of a state.
    StateCgroup = "cgroup_subsys_state.cgroup",
    /// Node in kernfs.
    CgroupNode = "cgroup.kn",
    /// Its id.
    NodeId = "kernfs_node.id",
    /// Its parent (6.15 renamed it).
    NodeParent = "kernfs_node.parent|kernfs_node.__parent",
    /// Its name.
    NodeName = "kernfs_node.name",
    /// Depth of the innermost namespace.
    PidLevel = "pid.level",
    /// Number in each namespace.
    PidNumbers = "pid.numbers",
    /// Size of one.
    UpidSize = "upid.$size",
    /// The number.
    UpidNr = "upid.nr",
    /// Its namespace.
    UpidNs = "upid.ns",
    /// Inode number of a PID namespace.
    PidNsInum = "pid_namespace.ns.inum",
    /// `struct sock` of a socket.
    SocketSock = "socket.sk",
    /// Protocol.
    SockProtocol = "sock.sk_protocol",
    /// Address family.
    SockFamily = "sock.__sk_common.skc_family",
    /// Peer's IPv4 address.
    SockDaddr = "sock.__sk_common.skc_daddr",
    /// Local IPv4 address.
    SockSaddr = "sock.__sk_common.skc_rcv_saddr",
    /// Peer's port, network order.
    SockDport = "sock.__sk_common.skc_dport",
    /// Local port, host order.
    SockSport = "sock.__sk_common.skc_num",
    /// Peer's IPv6 address; needs CONFIG_IPV6.
    SockDaddr6 = "?sock.__sk_common.skc_v6_daddr",
    /// Local IPv6 address.
    SockSaddr6 = "?sock.__sk_common.skc_v6_rcv_saddr",
    /// Cookie, 0 until somebody asked for it.
    SockCookie = "sock.__sk_common.skc_cookie",
    /// Address of a Unix socket.
    UnixAddress = "?unix_sock.addr",
    /// Its length.
    UnixLen = "?unix_address.len",
    /// Its `sockaddr_un`.
    UnixName = "?unix_address.name",
}
