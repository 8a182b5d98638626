//! The volume driver's mode: alone in its container, because mount propagation takes a privileged one.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use outis_server::csi::{self, Config, Registration};
use outis_server::health::{self, Readiness};
use outis_server::http::{Door, bind};
use tokio::sync::watch;

use crate::config::CsiConfig;

/// Runs until told to end.
pub(crate) async fn run(config: CsiConfig) -> Result<()> {
    let told = super::until_told()?;
    let door = Door {
        name: "health",
        listener: bind(&config.health.to_string()).await?,
        tls: None,
        counts: Arc::default(),
    };
    let readiness = Readiness::awaiting(&["kubelet"]);
    let (status, mut registered) = watch::channel(Registration::Waiting);
    let seen = readiness.clone();
    tokio::spawn(async move {
        while registered.changed().await.is_ok() {
            match &*registered.borrow_and_update() {
                Registration::Waiting => {}
                Registration::Registered => seen.holds("kubelet"),
                Registration::Refused(why) => seen.fails("kubelet", why.clone()),
            }
        }
    });
    let driver = Config {
        node: config.node.to_string(),
        version: env!("CARGO_PKG_VERSION").into(),
        kubelet: config.kubelet,
        sockets: config.sockets,
    };
    let router = health::router(readiness, Arc::new(BTreeMap::new));
    // Beside, not instead: the driver takes its sockets and its directory along when it is told to end.
    let ended = told.clone();
    tokio::spawn(async move { door.serve(router, ended.cancelled()).await });
    csi::serve(driver, status, told.cancelled()).await.context("the volume driver broke")
}
