//! A component's link to the controller: believed both ways, kept up, its reports spooled while it is away.

pub(crate) mod bundle;
mod credential;
pub(crate) mod spool;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::Api;
use outis_identity::attest;
use outis_identity::tls::{Credential, Expected, Trust};
use outis_model::TrustDomain;
use outis_model::effect::Resource;
use outis_model::input::{Component, Health};
use outis_model::port::{Answer, TrustBundle};
use outis_wire::{Backoff, Controller, LinkState, Outbox, Receive, Signing, Uplink, UplinkParts};
use rustls::pki_types::ServerName;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::LinkConfig;
use credential::Own;

/// How often the controller hears of us.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// What a component sees of its link.
#[derive(Clone)]
pub(crate) struct Link {
    /// How it is.
    pub(crate) state: watch::Receiver<LinkState>,
    /// Roots of our trust domain, once known.
    pub(crate) bundle: watch::Receiver<Option<TrustBundle>>,
    /// Where certificates are asked for, once enrolled.
    pub(crate) signing: watch::Receiver<Option<Signing>>,
}

struct Ends {
    state: watch::Sender<LinkState>,
    bundle: watch::Sender<Option<TrustBundle>>,
    signing: watch::Sender<Option<Signing>>,
}

/// Keeps the link up until told to end.
pub(crate) fn start(
    config: LinkConfig,
    client: Client,
    outbox: Outbox,
    health: watch::Receiver<Health>,
    told: CancellationToken,
) -> Link {
    let ends = Ends {
        state: watch::Sender::new(LinkState::Starting),
        bundle: watch::Sender::new(None),
        signing: watch::Sender::new(None),
    };
    let link = Link {
        state: ends.state.subscribe(),
        bundle: ends.bundle.subscribe(),
        signing: ends.signing.subscribe(),
    };
    tokio::spawn(async move {
        let ends = Arc::new(ends);
        let mut backoff =
            Backoff::new(Duration::from_millis(500), Duration::from_secs(30), crate::chance::number() as u64);
        while !told.is_cancelled() {
            let attached = tokio::select! {
                attached = attach(&config, &client, &ends) => attached,
                () = told.cancelled() => return,
            };
            match attached {
                Ok(attached) => {
                    attached.run(&config, &outbox, &health, &ends, &told).await;
                    backoff.reset();
                }
                Err(error) => {
                    let why = crate::exit::chain(&error);
                    let wait = backoff.fail();
                    warn!(why, ?wait, "Not enrolled");
                    ends.state.send_replace(LinkState::Away { tries: backoff.failures(), why });
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = told.cancelled() => return,
                    }
                }
            }
        }
    });
    link
}

/// Everything that is known once enrolled.
struct Attached {
    own: Own,
    domain: TrustDomain,
    trust: Trust,
    controller: Controller,
    signing: Signing,
    component: Component,
}

/// The controller's roots, as it published them.
async fn trust(client: &Client, config: &LinkConfig) -> Result<TrustBundle> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), config.namespace.as_str());
    let found = maps
        .get("outis-trust")
        .await
        .context("the controller has not published its roots (ConfigMap outis-trust)")?;
    let data = found.data.unwrap_or_default();
    let held = |key: &str| data.get(key).with_context(|| format!("ConfigMap outis-trust has no {key}"));
    let trust_domain = held("trustDomain")?.parse().context("ConfigMap outis-trust: trustDomain")?;
    let roots = outis_identity::from_pem(held("bundle.pem")?.as_bytes())?;
    // A controller that replaces no roots says no version.
    let sequence = data.get("version").map_or("1", String::as_str);
    let sequence = sequence.parse().context("ConfigMap outis-trust: version")?;
    Ok(TrustBundle { trust_domain, roots, sequence })
}

async fn attach(config: &LinkConfig, client: &Client, ends: &Ends) -> Result<Attached> {
    let address = config.controller.clone().context("no controller was named")?;
    let bundle = trust(client, config).await?;
    let domain = bundle.trust_domain.clone();
    let (credential, trust) = (Credential::default(), Trust::default());
    trust.set(&bundle.roots)?;
    let expected = Expected::Ids(vec![attest::controller_id(&domain)]);
    let tls = outis_identity::tls::client(&credential, &trust, expected.clone())?;
    let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host).to_owned();
    let name = ServerName::try_from(host).with_context(|| format!("{address} is no host:port"))?;
    let controller = Controller { address, name, tls };
    let own = Own::ready(config, &controller, &credential, &bundle.roots).await?;
    let component =
        attest::component_of(&domain, &own.id).context("the controller gave us no component's identity")?;
    take_over(&ends.bundle, bundle);
    let signing = Signing::new(&controller)?;
    ends.signing.send_replace(Some(signing.clone()));
    info!(id = %own.id, until = %own.not_after, "Enrolled");
    Ok(Attached { own, domain, trust, controller, signing, component })
}

impl Attached {
    /// Runs the uplink until our certificate is due, or no longer taken; then it is time to enrol again.
    async fn run(
        mut self,
        config: &LinkConfig,
        outbox: &Outbox,
        health: &watch::Receiver<Health>,
        ends: &Arc<Ends>,
        told: &CancellationToken,
    ) {
        let uplink = Uplink::new(UplinkParts {
            controller: self.controller.clone(),
            component: self.component.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            outbox: outbox.clone(),
            receive: Arc::new(Taking {
                domain: self.domain.clone(),
                trust: self.trust.clone(),
                ends: Arc::clone(ends),
            }),
            health: health.clone(),
            heartbeat: HEARTBEAT,
            backoff: Backoff::new(
                Duration::from_millis(500),
                Duration::from_secs(15),
                crate::chance::number() as u64,
            ),
        });
        let mut state = uplink.state();
        let stop = CancellationToken::new();
        let running = uplink.run(stop.cancelled());
        tokio::pin!(running);
        loop {
            tokio::select! {
                () = &mut running => return,
                () = told.cancelled() => return stop.cancel(),
                changed = state.changed() => {
                    if changed.is_err() { return; }
                    let now = state.borrow_and_update().clone();
                    // After a while everything is looked at anew: the controller may have another authority by now,
                    // under which our certificate is none.
                    let look = matches!(&now, LinkState::Away { tries, .. } if *tries >= 6);
                    ends.state.send_replace(now);
                    if look {
                        return;
                    }
                }
                () = tokio::time::sleep(self.own.due()) => {
                    if let Err(error) = self.own.renew(config, &self.controller, &self.signing).await {
                        warn!(error = crate::exit::chain(&error), "Our certificate cannot be renewed yet");
                    }
                }
            }
        }
    }
}

/// Takes what the controller pushes.
struct Taking {
    domain: TrustDomain,
    trust: Trust,
    ends: Arc<Ends>,
}

impl Receive for Taking {
    fn receive(&self, resource: Resource) -> Answer<'_, Result<(), String>> {
        Box::pin(async move {
            if resource.name != bundle::NAME {
                return Err(format!("this version knows no resource {}", resource.name));
            }
            let bundle = bundle::read(&self.domain, &resource).map_err(|error| format!("{error:#}"))?;
            self.trust.set(&bundle.roots).map_err(|error| error.to_string())?;
            take_over(&self.ends.bundle, bundle);
            Ok(())
        })
    }
}

/// Hands a bundle on to whoever waits for one, if its roots are others.
fn take_over(bundles: &watch::Sender<Option<TrustBundle>>, bundle: TrustBundle) {
    bundles.send_if_modified(|held| {
        let new = held.as_ref().is_none_or(|held| held.roots != bundle.roots);
        if new {
            *held = Some(bundle);
        }
        new
    });
}
