//! The controller: owns the store and the authority, sees the whole cluster, answers agents, webhooks and people.

mod attendance;
mod ca;
mod canary;
mod configuration;
mod effects;
mod house;
mod intake;
mod library;
mod losses;
mod owner;
mod parked;
mod registration;
mod registry;
mod rotation;
mod rules;
mod serving;
mod tokens;
mod unjudged;
mod watchdog;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use arc_swap::ArcSwap;
use futures::StreamExt;
use futures::stream::BoxStream;
use kube::Client;
use kube::api::Api;
use kube::runtime::watcher::Config as Watch;
use outis_cluster::follow;
use outis_cluster::lease::{Fence, Held, RENEW};
use outis_identity::tls::{Credential, Trust};
use outis_identity::{Key, Leaf, attest};
use outis_model::effect::{Effect, Resource};
use outis_model::input::Change;
use outis_model::snapshot::Kind;
use outis_model::{Input, Timestamp};
use outis_server::health::{self, Readiness};
use outis_server::http::{Door, bind};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::arguments::Cluster;
use crate::config::ControllerConfig;
use crate::network::Enforcement;
use house::House;
use owner::{Fresh, World};

/// How long our own certificate lives, in seconds.
const OWN: i64 = 24 * 3600;
/// How often the owner looks at the clock.
const TICK: Duration = Duration::from_secs(2);

/// Runs until told to end.
pub(crate) async fn run(config: ControllerConfig, cluster: &Cluster) -> Result<()> {
    let told = super::until_told()?;
    // Ports first: one in use is told before anything else starts.
    let link = bind(&config.link.to_string()).await?;
    let api = bind(&config.api.to_string()).await?;
    let health_door = bind(&config.health.to_string()).await?;
    let readiness = Readiness::awaiting(&["lease", "store", "authority", "cluster"]);
    let counters: Counters = Arc::default();
    let door = Door { name: "health", listener: health_door, tls: None, counts: Arc::default() };
    let shown = Arc::clone(&counters);
    let router = health::router(
        readiness.clone(),
        Arc::new(move || shown.load().as_ref().as_ref().map_or_else(BTreeMap::new, |read| read())),
    );
    let (over, health_told) = (told.clone(), told.clone());
    let served = tokio::spawn(async move { door.serve(router, health_told.cancelled()).await });
    let client = outis_cluster::client(cluster.kubeconfig.as_deref(), cluster.context.as_deref()).await?;
    let fence = Fence::new(&client, config.namespace.as_str(), "outis-controller", &config.pod);
    tokio::select! {
        held = take(&fence, &readiness) => held?,
        () = over.cancelled() => return Ok(()),
    }
    let worked = tokio::select! {
        worked = work(&config, client, &fence, &readiness, &counters, Doors { link, api }, &told) => worked,
        lost = keep(&fence) => Err(lost),
    };
    told.cancel();
    // The next controller need not wait for a lease that nobody renews.
    let _ = tokio::time::timeout(Duration::from_secs(3), fence.release()).await;
    let _ = served.await;
    worked
}

type Counters = Arc<ArcSwap<Option<health::Counters>>>;

/// Waits until we are the one controller.
async fn take(fence: &Fence, readiness: &Readiness) -> Result<()> {
    loop {
        match fence.hold(Timestamp::now()).await {
            Ok(Held::Ours) => {
                readiness.holds("lease");
                return Ok(());
            }
            Ok(Held::By(other)) => readiness.fails("lease", format!("held by {other}")),
            Err(kube::Error::Api(status)) if status.code == 403 || status.code == 404 => {
                bail!("cannot take the Lease: {}; is Outis installed in this namespace?", status.message)
            }
            Err(error) => readiness.fails("lease", error.to_string()),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Renews for ever; ends when somebody else holds the lease, or nobody knows for too long.
async fn keep(fence: &Fence) -> anyhow::Error {
    let mut renewed = tokio::time::Instant::now();
    loop {
        tokio::time::sleep(RENEW).await;
        match fence.hold(Timestamp::now()).await {
            Ok(Held::Ours) => renewed = tokio::time::Instant::now(),
            Ok(Held::By(other)) => {
                return anyhow::anyhow!("{other} has taken the Lease; two controllers must not write");
            }
            // While the API server is away nobody can take the lease either.
            Err(error) => warn!(%error, silent = ?renewed.elapsed(), "The Lease cannot be renewed"),
        }
    }
}

/// Where components and people come in.
struct Doors {
    link: TcpListener,
    api: TcpListener,
}

async fn work(
    config: &ControllerConfig,
    client: Client,
    fence: &Fence,
    readiness: &Readiness,
    counters: &Counters,
    Doors { link, api }: Doors,
    told: &CancellationToken,
) -> Result<()> {
    let (log, state) = house::open(config.store.clone()).await?;
    match log.damage() {
        None => readiness.holds("store"),
        Some(damage) => readiness.fails("store", damage),
    }
    let settings = configuration::settings(&client);
    let spec = first(&settings).await?;
    let domain = spec.trust_domain.0.parse().context("the trust domain")?;
    let now = Timestamp::now();
    let found = ca::ready(&client, &config.namespace, &domain, &state, now).await?;
    let replay = tokens::guard(&state).await?;
    readiness.holds("authority");
    let (spec_sender, spec) = watch::channel(spec);
    let (inputs, received) = mpsc::channel(8192);
    let (asks, asked) = mpsc::channel(16);
    let (world_sender, world) = watch::channel(Arc::new(World::default()));
    let house = Arc::new(House {
        home: config.namespace.clone(),
        domain,
        log,
        state,
        authority: ArcSwap::from_pointee(found.authority),
        leaves: Mutex::default(),
        waiting: Mutex::default(),
        asks,
        settings: spec,
        world,
        inputs,
        since: now,
        known: Mutex::default(),
        refused: Mutex::default(),
        dropped: Mutex::default(),
        protections: Mutex::default(),
        measures: Mutex::default(),
        unjudged: Mutex::default(),
        resources: watch::Sender::new(Arc::from([])),
        client,
    });
    publish(&house);
    counters.store(Arc::new(Some(counted(Arc::clone(&house)))));
    let effects = effects::start(&house);
    let (credential, trust) = (Credential::default(), Trust::default());
    trust.set(&house.authority.load().roots())?;
    renew(&house, &credential)?;
    let parked = Arc::new(parked::Parked::open(&config.store).await?);
    let outside = fence.word().await.context("cannot read what the Lease says of the log")?;
    losses::tell(&house, outside.as_deref(), &parked).await;
    tokio::spawn(parked::filing(Arc::clone(&house), Arc::clone(&parked)));
    let desk = Arc::new(registry::Desk { house: Arc::clone(&house), replay, parked });
    let doors = outis_wire::Doors {
        registry: Arc::clone(&desk) as _,
        intake: Arc::new(intake::Reports(Arc::clone(&house))),
        sign: Arc::clone(&desk) as _,
        sink: desk,
        identify: Arc::new(|chain| outis_identity::tls::peer_id(chain).map_err(|error| error.to_string())),
        resources: {
            let house = Arc::clone(&house);
            Arc::new(move |_| house.resources.subscribe())
        },
    };
    let tls = outis_identity::tls::server(&credential, &trust)?;
    let orders = Arc::new(library::Orders(Arc::clone(&house)));
    let linked = outis_wire::serve(link, tls, outis_wire::Limits::default(), doors, told.cancelled());
    let shelves = Arc::new(library::Shelves(Arc::clone(&house)));
    let stamps = Arc::new(library::Stamps::new(Arc::clone(&house)));
    let people = Door {
        name: "api",
        listener: api,
        tls: Some(outis_identity::tls::plain_server(&credential)?),
        counts: Arc::default(),
    };
    info!(link = %config.link, api = %config.api, "Controller listens");
    tokio::spawn(canary::looking(Arc::clone(&house)));
    let keeper = rotation::Keeper::new(Arc::clone(&house), credential.clone(), trust, asked);
    tokio::spawn(keeper.run(found.unknown));
    tokio::spawn(configuration::Configuration::new(Arc::clone(&house), settings).run(spec_sender));
    tokio::spawn(renewing(Arc::clone(&house), credential));
    tokio::spawn(expiring(Arc::clone(&house)));
    let owning = own(&house, received, world_sender, effects, readiness);
    tokio::select! {
        served = linked => served.context("the link's door broke"),
        () = people.serve(outis_server::query::router(shelves, stamps, orders), told.cancelled()) => Ok(()),
        () = owning => bail!("the owner's task ended"),
        () = losses::keep_outside(&house, fence) => bail!("the task that keeps the log's head outside ended"),
    }
}

/// The settings as they are, or the defaults when there are none.
async fn first(settings: &outis_cluster::Watched<outis_api::Outis>) -> Result<outis_api::OutisSpec> {
    let mut changes = settings.changes();
    let seen = tokio::time::timeout(Duration::from_secs(20), changes.wait_for(|state| state.synced)).await;
    match seen {
        Ok(Ok(_)) => {
            Ok(settings.get(outis_api::outis::NAME).map(|found| found.spec.clone()).unwrap_or_default())
        }
        _ => bail!(
            "the settings (outises.outis.dev) cannot be read: {}",
            settings.state().stale.unwrap_or_else(|| "no answer within 20 s".into())
        ),
    }
}

/// The one loop that changes the world.
async fn own(
    house: &House,
    mut received: mpsc::Receiver<Input>,
    world: watch::Sender<Arc<World>>,
    effects: mpsc::Sender<Effect>,
    readiness: &Readiness,
) {
    let mut changes = observed(&house.client);
    let mut ticks = tokio::time::interval(TICK);
    let mut owned = World::default();
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            count = received.recv_many(&mut batch, 256) => if count == 0 { return },
            change = changes.next() => match change {
                Some(change) => batch.push(Input::Observed(change)),
                None => return,
            },
            _ = ticks.tick() => batch.push(Input::Tick(Timestamp::now())),
        }
        // What is ready already belongs to the same look at the world.
        while batch.len() < 512 {
            let Some(Some(change)) = futures::FutureExt::now_or_never(changes.next()) else { break };
            batch.push(Input::Observed(change));
        }
        for input in batch.drain(..) {
            let fresh = Fresh { now: Timestamp::now(), random: crate::chance::number() };
            for effect in owned.fold(input, fresh) {
                if effects.send(effect).await.is_err() {
                    return;
                }
            }
        }
        if owned.synced() {
            readiness.holds("cluster");
        }
        world.send_replace(Arc::new(owned.clone()));
    }
}

fn observed(client: &Client) -> BoxStream<'static, Change> {
    let pods = follow::changes(Api::all(client.clone()), Watch::default(), Kind::Pod, follow::pod);
    let namespaces =
        follow::changes(Api::all(client.clone()), Watch::default(), Kind::Namespace, follow::namespace);
    let nodes = follow::changes(Api::all(client.clone()), Watch::default(), Kind::Node, follow::node);
    futures::stream::select_all([pods.boxed(), namespaces.boxed(), nodes.boxed()]).boxed()
}

/// What every component is to hold.
fn publish(house: &House) {
    let bundle = house.bundle();
    let body = crate::link::bundle::write(&bundle);
    house.resources.send_replace(Arc::from([Resource {
        name: crate::link::bundle::NAME.into(),
        version: bundle.sequence,
        body,
    }]));
}

/// A new certificate of our own.
fn renew(house: &House, credential: &Credential) -> Result<()> {
    let key = Key::generate()?;
    let dns = vec![format!("outis-controller.{}.svc", house.home)];
    let leaf = Leaf { id: attest::controller_id(&house.domain), dns, lifetime: OWN };
    let signed = house.authority.load().sign_own(&key, &leaf, Timestamp::now())?;
    credential.set(&signed.chain, key.pkcs8().reveal())?;
    Ok(())
}

async fn renewing(house: Arc<House>, credential: Credential) {
    loop {
        tokio::time::sleep(Duration::from_secs(OWN as u64 / 2)).await;
        match renew(&house, &credential) {
            Ok(()) => house.protection("certificate", true, "renewed"),
            Err(error) => house.protection(
                "certificate",
                false,
                format!("our own certificate cannot be renewed: {error:#}"),
            ),
        }
    }
}

/// Takes old days out of the log, once an hour.
async fn expiring(house: Arc<House>) {
    let mut hours = tokio::time::interval(Duration::from_secs(3600));
    loop {
        hours.tick().await;
        let days = house.settings.borrow().retention.days;
        let Ok(before) = Timestamp::from_second(Timestamp::now().as_second() - days * 86_400) else {
            continue;
        };
        match house.on_disk(move |log, _| log.expire(before)).await {
            Ok(0) => {}
            Ok(removed) => info!(removed, days, "Old days were taken out of the log"),
            Err(error) => warn!(%error, "Old days cannot be taken out of the log"),
        }
    }
}

fn counted(house: Arc<House>) -> health::Counters {
    Arc::new(move || {
        let status = library::status(&house);
        let mut counts = BTreeMap::from([
            ("outis_records_total".to_owned(), status.store.records),
            ("outis_nodes".to_owned(), status.nodes.len() as u64),
            (
                "outis_nodes_not_covered".to_owned(),
                status.nodes.iter().filter(|node| !node.covered).count() as u64,
            ),
            (
                "outis_components_linked".to_owned(),
                status.components.iter().filter(|one| one.up).count() as u64,
            ),
            ("outis_faults".to_owned(), status.faults().len() as u64),
        ]);
        let labelled = |name: &str, by: &str, map: &BTreeMap<String, u64>| {
            map.iter().map(|(key, value)| (format!("{name}{{{by}=\"{key}\"}}"), *value)).collect::<Vec<_>>()
        };
        counts.extend(Enforcement::ALL.map(|outcome| {
            let nodes = status.network.iter().filter(|node| node.enforcement == outcome).count();
            (format!("outis_network_nodes{{enforcement=\"{outcome}\"}}"), nodes as u64)
        }));
        counts.extend(labelled("outis_link_refused_total", "reason", &status.refused));
        counts.extend(labelled("outis_dropped_total", "what", &status.counters));
        counts.extend(house.measures.lock().unwrap_or_else(PoisonError::into_inner).clone());
        counts
    })
}
