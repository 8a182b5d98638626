//! Sockets in the file system: made anew, with a mode, removed at the end.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

mod authority;

pub(crate) use authority::Relaxed;

/// Why a socket cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Something else is in its place.
    #[error("{0} is there and is not a socket; remove it, or choose another path")]
    NotASocket(PathBuf),
    /// The file system said no.
    #[error("cannot {doing} {path}; its directory has to be writable for us")]
    File {
        /// What was attempted.
        doing: &'static str,
        /// With which path.
        path: PathBuf,
        /// The answer.
        #[source]
        source: io::Error,
    },
}

/// Removes the socket when dropped, unless another one has been put in its place.
#[derive(Debug)]
pub struct Bound {
    path: PathBuf,
    identity: Identity,
}

/// Inode numbers are given out again: the time of the last change tells two of the same number apart.
type Identity = (u64, u64, i64, i64);

fn identity(path: &Path) -> io::Result<Identity> {
    let meta = fs::symlink_metadata(path)?;
    Ok((meta.dev(), meta.ino(), meta.ctime(), meta.ctime_nsec()))
}

/// Makes a socket; one left over from an earlier run gives way. Missing directories are made.
///
/// # Errors
/// Something else is in its place, or the file system said no.
pub(crate) fn bind(path: &Path, mode: u32) -> Result<(UnixListener, Bound), SocketError> {
    let failed = |doing| move |source| SocketError::File { doing, path: path.to_owned(), source };
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(failed("make the directory of"))?;
    }
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.file_type().is_socket() => fs::remove_file(path).map_err(failed("replace"))?,
        Ok(_) => return Err(SocketError::NotASocket(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("look at")(error)),
    }
    let listener = UnixListener::bind(path).map_err(failed("listen at"))?;
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed("set the mode of"))?;
    let identity = identity(path).map_err(failed("look at"))?;
    Ok((listener, Bound { path: path.to_owned(), identity }))
}

impl Drop for Bound {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_gives_way_and_a_file_does_not() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("deep/api.sock");
        let (first, bound) = bind(&path, 0o600).expect("new");
        drop(first);
        let (_second, again) = bind(&path, 0o666).expect("stale");
        drop(bound);
        let mode = fs::metadata(&path).expect("the newer one is still there").permissions().mode();
        assert_eq!(mode & 0o777, 0o666);
        drop(again);
        assert!(!path.exists());
        fs::write(&path, "precious").expect("file");
        assert!(bind(&path, 0o600).expect_err("not a socket").to_string().contains("not a socket"));
        assert!(path.exists());
    }
}
