//! Takes our directories off a node, says ready when they are gone, and waits to be ended: the last pod of an
//! uninstall.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, ensure};
use outis_server::health::{self, Readiness};
use outis_server::http::{Door, bind};

/// Runs until told to end.
pub(crate) async fn run(dirs: Vec<PathBuf>) -> Result<()> {
    let told = super::until_told()?;
    for dir in &dirs {
        // It runs as root with the node's directories in reach: only what is ours by name.
        let ours =
            dir.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("outis"));
        ensure!(ours, "{} is not one of our directories", dir.display());
    }
    let readiness = Readiness::awaiting(&["removed"]);
    let door = Door { name: "health", listener: bind("[::]:8081").await?, tls: None, counts: Arc::default() };
    let router = health::router(readiness.clone(), Arc::new(BTreeMap::new));
    let work = async {
        loop {
            match dirs.iter().try_for_each(|dir| remove(dir)) {
                Ok(()) => readiness.holds("removed"),
                Err(error) => readiness.fails("removed", error.to_string()),
            }
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        () = work => {}
        () = door.serve(router, told.cancelled()) => {}
    }
    Ok(())
}

fn remove(dir: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
