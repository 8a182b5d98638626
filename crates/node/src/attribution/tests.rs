use super::*;
use outis_model::event::{Task, What};
use outis_model::snapshot::{Container, Object, Pod};

const UID: &str = "0b5e3c1a-8d2f-4c6b-9a7e-1f2d3c4b5a69";

fn id(digits: &str) -> String {
    digits.repeat(32)
}

fn event(number: u64, cgroup: u64, path: &str) -> Decoded {
    let event = Event {
        stamp: number,
        time: jiff::Timestamp::UNIX_EPOCH,
        number,
        task: Task::default(),
        place: Place::Host,
        what: What::Exit { status: 0 },
    };
    Decoded { event, cgroup, cgroup_path: path.into() }
}

fn in_pod(number: u64, container: &str) -> Decoded {
    let first = container.bytes().map(u64::from).sum();
    event(number, first, &format!("/kubepods/burstable/pod{UID}/{container}"))
}

fn container(name: &str, id: Option<&str>) -> Container {
    let id = id.map(|id| id.parse().unwrap());
    Container { name: name.into(), image: format!("shop/{name}:1"), id, privileged: false }
}

fn pod(containers: Vec<Container>) -> Snapshot {
    let mut snapshot = Snapshot::default();
    snapshot.apply(Object::Pod(Pod {
        namespace: "shop".parse().unwrap(),
        name: "web-1".parse().unwrap(),
        uid: UID.parse().unwrap(),
        config_hash: None,
        node: Some("node-1".parse().unwrap()),
        service_account: "web".parse().unwrap(),
        addresses: vec![],
        host_network: false,
        labels: Default::default(),
        owner: None,
        containers,
        ready: true,
        ended: false,
    }));
    snapshot
}

struct House {
    attribution: Attribution,
    snapshots: watch::Sender<Arc<Snapshot>>,
    start: Instant,
    ready: Vec<Event>,
}

impl House {
    fn with(snapshot: Snapshot) -> Self {
        let (snapshots, receiver) = watch::channel(Arc::new(snapshot));
        let hold = Hold { time: Duration::from_secs(2), events: 3 };
        let attribution = Attribution::new(receiver, "", hold);
        Self { attribution, snapshots, start: Instant::now(), ready: vec![] }
    }

    fn take(&mut self, decoded: Decoded) {
        self.attribution.take(decoded, self.start, &mut self.ready);
    }

    fn release_after(&mut self, seconds: u64) {
        self.attribution.release(self.start + Duration::from_secs(seconds), &mut self.ready);
    }

    /// Number and place of what is ready.
    fn told(&mut self) -> Vec<(u64, String)> {
        self.ready.drain(..).map(|event| (event.number, words(&event.place))).collect()
    }
}

fn words(place: &Place) -> String {
    match place {
        Place::Host => "host".into(),
        Place::Unknown(reason) => reason.clone(),
        Place::Container(workload) => format!(
            "{}/{} {}",
            workload.pod.as_ref().map_or("-".into(), |pod| pod.name.to_string()),
            workload.container_name.as_deref().unwrap_or("-"),
            workload.image_repository.as_deref().unwrap_or("-"),
        ),
    }
}

#[test]
fn a_known_container_is_told_at_once() {
    let mut house =
        House::with(pod(vec![container("web", Some(&id("4e"))), container("log", Some(&id("5f")))]));
    house.take(in_pod(1, &id("4e")));
    house.take(in_pod(2, &id("5f")));
    house.take(event(3, 9, "/system.slice/sshd.service"));
    assert_eq!(
        house.told(),
        [(1, "web-1/web shop/web".into()), (2, "web-1/log shop/log".into()), (3, "host".into())]
    );
}

#[test]
fn the_only_container_needs_no_id() {
    let mut house = House::with(pod(vec![container("web", None)]));
    house.take(in_pod(1, &id("4e")));
    assert_eq!(house.told(), [(1, "web-1/web shop/web".into())]);
}

#[test]
fn events_of_a_new_pod_wait_in_order_for_it() {
    let mut house = House::with(Snapshot::default());
    house.take(in_pod(1, &id("4e")));
    house.take(event(2, 9, "/init.scope"));
    house.take(in_pod(3, &id("4e")));
    assert_eq!(house.told(), [(2, "host".into())]);
    assert_eq!(house.attribution.held().waiting, 2);
    house.snapshots.send_replace(Arc::new(pod(vec![container("web", None)])));
    house.take(in_pod(4, &id("4e")));
    let web = || "web-1/web shop/web".to_owned();
    assert_eq!(house.told(), [(1, web()), (3, web()), (4, web())]);
}

#[test]
fn an_id_is_waited_for_when_there_are_several_containers() {
    let mut house = House::with(pod(vec![container("web", None), container("log", None)]));
    house.take(in_pod(1, &id("4e")));
    assert_eq!(house.told(), []);
    let named = vec![container("web", Some(&id("4e"))), container("log", None)];
    house.snapshots.send_replace(Arc::new(pod(named)));
    house.release_after(1);
    assert_eq!(house.told(), [(1, "web-1/web shop/web".into())]);
}

#[test]
fn after_the_bound_events_go_on_with_a_reason_and_never_wait_again() {
    let mut house = House::with(Snapshot::default());
    house.take(in_pod(1, &id("4e")));
    assert_eq!(house.attribution.due(), Some(house.start + Duration::from_secs(2)));
    house.release_after(2);
    house.take(in_pod(2, &id("4e")));
    let reason = || format!("the API server told of no pod with the UID {UID} in time");
    assert_eq!(house.told(), [(1, reason()), (2, reason())]);
    assert_eq!(house.attribution.held(), Held { waiting: 0, dropped: 0, unknown: 1 });
    house.snapshots.send_replace(Arc::new(pod(vec![container("web", None)])));
    house.take(in_pod(3, &id("4e")));
    assert_eq!(house.told(), [(3, "web-1/web shop/web".into())]);
}

#[test]
fn a_sandbox_is_told_with_its_pod_and_no_name() {
    let mut house = House::with(pod(vec![container("web", Some(&id("4e")))]));
    house.take(in_pod(1, &id("aa")));
    house.release_after(2);
    assert_eq!(house.told(), [(1, "web-1/- -".into())]);
}

#[test]
fn too_many_waiting_events_are_dropped_and_counted() {
    let mut house = House::with(Snapshot::default());
    (0..5).for_each(|number| house.take(in_pod(number, &id("4e"))));
    house.release_after(2);
    assert_eq!(house.told().len(), 3);
    assert_eq!(house.attribution.held().dropped, 2);
}

#[test]
fn a_container_without_kubernetes_is_told_at_once() {
    let mut house = House::with(Snapshot::default());
    house.take(event(1, 7, &format!("/docker/{}", id("4e"))));
    assert_eq!(house.told(), [(1, "-/- -".into())]);
}
