//! The mount itself. Every step below kubelet's directory goes through a directory handle and follows no
//! symbolic link: pods can write below it.

use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, ResolveFlags, StatVfsMountFlags, fstat, fstatvfs, mkdirat, openat2, unlinkat,
};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount_bind, mount_remount, unmount};

const LAST: &str = "mount";

/// Why a volume cannot be put or taken away.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// Not a place kubelet mounts inline volumes at.
    #[error(
        "{0} is not <kubelet>/pods/<pod>/volumes/kubernetes.io~csi/<volume>/mount, free of symbolic links"
    )]
    Target(PathBuf),
    /// The directory with the socket is not there.
    #[error("{0} is not there yet; the agent of this node makes it")]
    Source(PathBuf, #[source] std::io::Error),
    /// Something else is mounted or stored at the target.
    #[error("{0} holds something else")]
    Occupied(PathBuf),
    /// The kernel said no.
    #[error("cannot {doing} {path}")]
    Kernel {
        /// What was attempted.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// The answer.
        #[source]
        source: std::io::Error,
    },
}

/// Mounts one directory at many places.
#[derive(Debug)]
pub struct Volumes {
    pods: PathBuf,
    source: PathBuf,
    /// One at a time: a repeated question must find the first one's work done.
    turn: Mutex<()>,
}

impl Volumes {
    /// Of this kubelet, showing this directory.
    #[must_use]
    pub fn new(kubelet: &Path, source: &Path) -> Self {
        Self { pods: kubelet.join("pods"), source: source.to_owned(), turn: Mutex::new(()) }
    }

    /// Whether there is something to show.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.source.is_dir()
    }

    /// Mounts the directory at `target`; a second time changes nothing.
    ///
    /// # Errors
    /// `target` is elsewhere or reached through a symbolic link, something else is there, or the kernel said no.
    pub fn publish(&self, target: &Path) -> Result<(), VolumeError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let parent = self.parent(target)?.ok_or_else(|| VolumeError::Target(target.to_owned()))?;
        let source = directory(CWD, &self.source, ResolveFlags::empty())
            .map_err(|error| VolumeError::Source(self.source.clone(), error.into()))?;
        let failed = |doing| kernel(doing, target);
        match mkdirat(&parent, LAST, Mode::from_raw_mode(0o750)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(failed("make")(error)),
        }
        if !same(&source, &open(&parent, target)?).map_err(failed("look at"))? {
            self.mount(&source, &parent, target)?;
        }
        let mounted = open(&parent, target)?;
        if restricted(&mounted).map_err(failed("look at"))? {
            return Ok(());
        }
        let flags = MountFlags::BIND
            | MountFlags::RDONLY
            | MountFlags::NOSUID
            | MountFlags::NODEV
            | MountFlags::NOEXEC;
        mount_remount(handle(&mounted), flags, c"").map_err(|error| {
            // A mount with more rights than promised must not stay.
            let _ = unmount(below(&parent), UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
            failed("restrict the mount at")(error)
        })
    }

    /// Takes the mount and its directory away; what is not there is no error.
    ///
    /// # Errors
    /// `target` is elsewhere or reached through a symbolic link, or the kernel said no.
    pub fn unpublish(&self, target: &Path) -> Result<(), VolumeError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(parent) = self.parent(target)? else { return Ok(()) };
        loop {
            match unmount(below(&parent), UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
                Ok(()) => {}
                // Not a mount (any more), or not there.
                Err(Errno::INVAL | Errno::NOENT) => break,
                Err(error) => return Err(kernel("unmount", target)(error)),
            }
        }
        match unlinkat(&parent, LAST, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::NOTDIR) => Err(VolumeError::Target(target.to_owned())),
            Err(Errno::NOTEMPTY) => Err(VolumeError::Occupied(target.to_owned())),
            Err(error) => Err(kernel("remove", target)(error)),
        }
    }

    fn mount(&self, source: &OwnedFd, parent: &OwnedFd, target: &Path) -> Result<(), VolumeError> {
        let place = open(parent, target)?;
        // An empty directory of the same file system, or something is in the way.
        let here = same_mount(parent, &place).map_err(kernel("look at", target))?;
        let empty = std::fs::read_dir(handle(&place)).is_ok_and(|mut entries| entries.next().is_none());
        if !here || !empty {
            return Err(VolumeError::Occupied(target.to_owned()));
        }
        mount_bind(handle(source), handle(&place)).map_err(kernel("mount at", target))
    }

    /// The directory the target is in, or `None` when it is not there.
    fn parent(&self, target: &Path) -> Result<Option<OwnedFd>, VolumeError> {
        let refused = || VolumeError::Target(target.to_owned());
        let inside = target.strip_prefix(&self.pods).map_err(|_| refused())?;
        let parts: Vec<_> = inside.components().collect();
        let shaped = matches!(&parts[..], [pod, volumes, csi, _volume, last]
            if parts.iter().all(|part| matches!(part, Component::Normal(_)))
            && pod.as_os_str().len() <= 64
            && volumes.as_os_str() == "volumes"
            && csi.as_os_str() == "kubernetes.io~csi"
            && last.as_os_str() == LAST);
        // `components` hides `.` and doubled slashes; kubelet sends neither.
        if !shaped
            || inside.as_os_str().len()
                != parts.iter().map(|part| part.as_os_str().len() + 1).sum::<usize>() - 1
        {
            return Err(refused());
        }
        let pods = directory(CWD, &self.pods, ResolveFlags::empty()).map_err(kernel("open", &self.pods))?;
        let way = inside.parent().ok_or_else(refused)?;
        match directory(pods.as_fd(), way, ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS) {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::LOOP | Errno::XDEV | Errno::NOTDIR) => Err(refused()),
            Err(error) => Err(kernel("open", target)(error)),
        }
    }
}

fn directory(at: impl AsFd, path: &Path, resolve: ResolveFlags) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat2(at, path, flags, Mode::empty(), resolve)
}

fn open(parent: &OwnedFd, target: &Path) -> Result<OwnedFd, VolumeError> {
    directory(parent, Path::new(LAST), ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS).map_err(|error| {
        match error {
            Errno::LOOP | Errno::NOTDIR => VolumeError::Target(target.to_owned()),
            error => kernel("open", target)(error),
        }
    })
}

/// A handle as a path: resolves to exactly what it holds.
fn handle(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

fn below(parent: &OwnedFd) -> String {
    format!("{}/{LAST}", handle(parent))
}

fn same(a: &OwnedFd, b: &OwnedFd) -> rustix::io::Result<bool> {
    let (a, b) = (fstat(a)?, fstat(b)?);
    Ok((a.st_dev, a.st_ino) == (b.st_dev, b.st_ino))
}

fn same_mount(a: &OwnedFd, b: &OwnedFd) -> rustix::io::Result<bool> {
    use rustix::fs::{StatxFlags, statx};
    let mount =
        |fd: &OwnedFd| statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).map(|stat| stat.stx_mnt_id);
    Ok(mount(a)? == mount(b)?)
}

fn restricted(fd: &OwnedFd) -> rustix::io::Result<bool> {
    let wanted = StatVfsMountFlags::RDONLY
        | StatVfsMountFlags::NOSUID
        | StatVfsMountFlags::NODEV
        | StatVfsMountFlags::NOEXEC;
    Ok(fstatvfs(fd)?.f_flag.contains(wanted))
}

fn kernel(doing: &'static str, path: &Path) -> impl Fn(Errno) -> VolumeError {
    let path = path.to_owned();
    move |error| VolumeError::Kernel { doing, path: path.clone(), source: error.into() }
}
