//! Pods: cgroups laid out as kubelets do, in the real hierarchies.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use outis_model::event::{Event, Place, What};
use outis_model::port::{Attest, Peer};
use outis_model::snapshot::{Container, Object, Pod, Snapshot};
use outis_node::{Attestor, Attribution, Cgroups, Hold, Sensor, SensorConfig};
use tokio::sync::watch;

use crate::house::{Ended, House, chain, config};

const UID: &str = "0b5e3c1a-8d2f-4c6b-9a7e-1f2d3c4b5a69";

/// A container's cgroup, removed with its handle.
struct Cgroup(PathBuf);

impl Cgroup {
    fn in_hierarchy(mounted: &str) -> Self {
        let top = Path::new(mounted).join(format!("outis-{}", std::process::id()));
        let inner = top.join("kubepods/burstable").join(format!("pod{UID}")).join("4e".repeat(32));
        fs::create_dir_all(&inner).unwrap();
        Self(inner)
    }

    /// A shell that moves into the cgroup and becomes the program.
    fn run(&self, program: &str) -> Ended {
        let script = format!("echo $$ > {}/cgroup.procs; exec {program}", self.0.display());
        Ended::run("sh", &["-c", &script], Path::new("/"))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for folder in self.0.ancestors().take(5) {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Where a v1 hierarchy and the v2 one are mounted.
fn mounted(kind: &str, option: &str) -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let found = mounts.lines().find(|line| {
        let columns: Vec<&str> = line.split(' ').collect();
        columns[2] == kind && columns[3].split(',').any(|one| one == option)
    });
    found.and_then(|line| line.split(' ').nth(1)).map(str::to_owned)
}

fn snapshot() -> Snapshot {
    let mut snapshot = Snapshot::default();
    let container = Container { name: "web".into(), image: "shop/web:2".into(), id: None, privileged: true };
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
        containers: vec![container],
        ready: true,
        ended: false,
    }));
    snapshot
}

/// Events of this execution and of what the process did before, told with their places.
async fn told(config: &SensorConfig, cgroup: &Cgroup, late: Option<Duration>) -> (Ended, Event) {
    let mut sensor = Sensor::start(config).unwrap_or_else(|error| panic!("{}", chain(&error)));
    let first = if late.is_some() { Snapshot::default() } else { snapshot() };
    let (tell, snapshots) = watch::channel(Arc::new(first));
    let hold = Hold { time: Duration::from_secs(10), ..Hold::default() };
    let mut attribution = Attribution::new(snapshots, sensor.own_cgroup(), hold);
    let mut ring = sensor.partitions().pop().unwrap();
    let child = cgroup.run("sleep 60");
    let mut ready = Vec::new();
    let work = async {
        loop {
            ring.events(&mut attribution, &mut ready).await.unwrap();
            // Others of this machine sleep, too.
            let ours = |event: &&Event| {
                event.task.pid == child.pid()
                    && event.task.comm == "sleep"
                    && matches!(event.what, What::Exec(_))
            };
            let found = ready.iter().find(ours);
            if let Some(found) = found {
                return found.clone();
            }
        }
    };
    let telling = async {
        if let Some(late) = late {
            let _ = tokio::time::timeout(late, std::future::pending::<()>()).await;
            tell.send_replace(Arc::new(snapshot()));
        }
        std::future::pending::<()>().await
    };
    let found = tokio::time::timeout(Duration::from_secs(5), async {
        tokio::select! { found = work => found, () = telling => unreachable!("waits for ever") }
    });
    let found = found.await.unwrap();
    (child, found)
}

fn check(event: &Event) {
    let Place::Container(workload) = &event.place else { panic!("{event:?}") };
    assert_eq!(workload.container.as_str(), "4e".repeat(32));
    assert_eq!(workload.container_name.as_deref(), Some("web"));
    assert_eq!(workload.image_repository.as_deref(), Some("shop/web"));
    assert!(workload.privileged);
    assert_eq!(workload.pod.as_ref().unwrap().name.as_str(), "web-1");
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_container_of_the_v1_hierarchy_is_told_with_its_pod() {
    let Some(at) = mounted("cgroup", "memory") else {
        return println!("SKIPPED v1 cgroups: not mounted here");
    };
    let cgroup = Cgroup::in_hierarchy(&at);
    let (_child, event) = told(&config(), &cgroup, None).await;
    check(&event);
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_container_of_the_v2_hierarchy_is_told_with_its_pod_which_comes_late() {
    let Some(at) = mounted("cgroup2", "rw") else { return println!("SKIPPED v2 cgroups: not mounted here") };
    let cgroup = Cgroup::in_hierarchy(&at);
    let config = SensorConfig { cgroups: Cgroups::V2, ..config() };
    let (_child, event) = told(&config, &cgroup, Some(Duration::from_millis(200))).await;
    check(&event);
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_process_of_a_pod_is_attested_and_one_of_the_node_is_not() {
    let Some(at) = mounted("cgroup", "memory").or_else(|| mounted("cgroup2", "rw")) else {
        return println!("SKIPPED attestation: no cgroups here");
    };
    let mut house = House::start();
    let cgroup = Cgroup::in_hierarchy(&at);
    let child = cgroup.run("sleep 60");
    house.until(|event| event.task.pid == child.pid() && event.task.comm == "sleep").await;
    let (_tell, snapshots) = watch::channel(Arc::new(snapshot()));
    let attestor = Attestor::new(snapshots, "node-1".parse().unwrap());
    let caller = attestor.attest(&Peer { pid: child.pid(), pidfd: None }).await.unwrap();
    assert_eq!((caller.pod.name.as_str(), caller.container.unwrap().as_str()), ("web-1", &*"4e".repeat(32)));
    let own = attestor.attest(&Peer { pid: std::process::id(), pidfd: None }).await;
    assert_eq!(own.unwrap_err().to_string(), "the process runs in no pod");
}

/// Not a test of its own: looks at its own child from inside of a PID namespace.
#[tokio::test]
#[ignore = "needs root"]
async fn looks_from_inside() {
    if std::env::var_os("OUTIS_INSIDE").is_none() {
        return;
    }
    let mut house = House::start();
    let child = Ended::run("sleep", &["60"], Path::new("/"));
    let (event, exec) = house.exec(child.pid()).await;
    assert_eq!(exec.ancestors[0].pid, std::process::id());
    // Somebody outside goes on being busy.
    crate::house::eventually("doings outside are counted", || house.sensor.counts().foreign > 0).await;
    println!("INSIDE {} {} {}", event.task.pid, event.task.vpid, event.task.ppid == std::process::id());
}

#[tokio::test]
#[ignore = "needs root"]
async fn from_inside_of_a_pid_namespace_ids_are_its_own_and_the_rest_is_left_out() {
    let inside = Command::new("unshare")
        .args(["--pid", "--fork", "--mount-proc"])
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "pods::looks_from_inside", "--nocapture"])
        .env("OUTIS_INSIDE", "1")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let busy = tokio::task::spawn_blocking(move || inside.wait_with_output().unwrap());
    while !busy.is_finished() {
        drop(Ended::run("true", &[], Path::new("/")));
        tokio::task::yield_now().await;
    }
    let output = busy.await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.split_once("INSIDE ")).unwrap_or_else(|| panic!("{text}")).1;
    let told: Vec<&str> = line.split(' ').collect();
    assert_eq!(told[0], told[1], "as the namespace has it");
    assert!(told[0].parse::<u32>().unwrap() < 1000, "{line}");
    assert_eq!(told[2], "true");
}
