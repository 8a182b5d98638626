//! The controller as a process beside a real API server: what it answers to what administrators write, and what it
//! says when it cannot start. Needs `KUBECONFIG`; `cargo xtask test cluster` starts a control plane for it.

mod house;

use std::time::Duration;

use house::{Running, eventually, outis};
use kube::api::{Api, DynamicObject};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt};
use outis_cluster::apply::Applier;
use serde_json::{Value, json};

/// What the issue of a status may take.
const ANSWER: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_secs(30);

/// A kind of ours with its plural.
type Kind = (&'static str, &'static str);
const POLICY: Kind = ("AdmissionPolicy", "admissionpolicies");
const RULES: Kind = ("DetectionRules", "detectionrules");
const SETTINGS: Kind = ("Outis", "outises");

/// An API server with our definitions, and a client to it.
struct World {
    client: Client,
    applier: Applier,
}

impl World {
    async fn new() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = outis_cluster::client(None, None).await.expect("a cluster to test on: set KUBECONFIG");
        let applier = Applier::new(client.clone());
        let mut world = Self { client, applier };
        let printed = outis(&["crds"]);
        printed.ends(0, &[]);
        let definitions: Vec<Value> = serde_saphyr::from_multiple(&printed.out).expect("YAML");
        assert_eq!(definitions.len(), 3, "each has its test below");
        let home = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "outis-system"}});
        for object in definitions.into_iter().chain([home]) {
            let object = serde_json::from_value(object).expect("an object");
            world.applier.apply(&object).await.expect("taken");
        }
        world
    }

    /// Writes an object as `kubectl apply` would; gives its generation.
    async fn write(&mut self, kind: Kind, name: &str, spec: Value) -> i64 {
        let object = json!({"apiVersion": "outis.dev/v1alpha1", "kind": kind.0, "metadata": {"name": name}, "spec": spec});
        let object = serde_json::from_value(object).expect("an object");
        // A new definition is served after a moment.
        let what = format!("{} {name} is taken", kind.0);
        let taken = eventually(SOON, &what, async || self.applier.apply(&object).await.ok()).await;
        taken.1.metadata.generation.expect("it has one")
    }

    fn api(&self, kind: Kind) -> Api<DynamicObject> {
        let gvk = GroupVersionKind::gvk("outis.dev", "v1alpha1", kind.0);
        Api::all_with(self.client.clone(), &ApiResource::from_gvk_with_plural(&gvk, kind.1))
    }

    /// What the controller says of this generation: `status reason: message`.
    async fn answer(&self, kind: Kind, name: &str, generation: i64) -> String {
        let api = self.api(kind);
        let condition = async || {
            let found = api.get(name).await.ok()?;
            let conditions = found.data.pointer("/status/conditions")?.as_array()?.clone();
            conditions
                .into_iter()
                .find(|found| found["type"] == "Accepted" && found["observedGeneration"] == json!(generation))
        };
        let what = format!("{} {name} has an answer for generation {generation}", kind.0);
        let found = eventually(ANSWER, &what, condition).await;
        let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
        format!("{} {}: {}", text("status"), text("reason"), text("message"))
    }

    /// The row `kubectl get -o wide` shows: names of columns, and their cells.
    async fn row(&self, kind: Kind, name: &str) -> Vec<(String, Value)> {
        let request = http::Request::get(format!("/apis/outis.dev/v1alpha1/{}/{name}", kind.1))
            .header("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
            .body(vec![])
            .expect("a request");
        let table: Value = self.client.request(request).await.expect("a table");
        let columns = table["columnDefinitions"].as_array().expect("columns");
        let names = columns.iter().map(|column| column["name"].as_str().unwrap_or_default().to_owned());
        names.zip(table["rows"][0]["cells"].as_array().expect("cells").iter().cloned()).collect()
    }

    /// Every column of an object is filled; these with this.
    async fn shows(&self, kind: Kind, name: &str, expected: &[(&str, Value)]) {
        let row = self.row(kind, name).await;
        assert!(row.iter().all(|(_, cell)| !cell.is_null() && cell != ""), "{row:?}");
        for (column, cell) in expected {
            assert!(
                row.iter().any(|(name, found)| name == column && found == cell),
                "{column} is not {cell}: {row:?}"
            );
        }
    }

    async fn delete(&self, kind: Kind, name: &str) {
        self.api(kind).delete(name, &Default::default()).await.expect("deleted");
    }
}

/// Arguments of a controller with this store. All are the same one to the Lease.
fn arguments(store: &tempfile::TempDir) -> Vec<String> {
    let kubeconfig = std::env::var("KUBECONFIG").expect("set KUBECONFIG");
    let kubeconfig = std::fs::canonicalize(kubeconfig).expect("one file");
    let doors = ["link", "api", "health"].map(|door| format!("--{door}-address=127.0.0.1:0"));
    ["controller".to_owned(), "--pod=beside".into()]
        .into_iter()
        .chain(doors)
        .chain([
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--store-dir={}", store.path().display()),
        ])
        .collect()
}

/// A controller that answers, until it is dropped.
async fn controller(store: &tempfile::TempDir) -> Running {
    let arguments = arguments(store);
    let running = Running::start(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    running.says("Controller listens").await;
    running
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster"]
async fn an_admission_policy_is_answered_for_each_generation() {
    let (mut world, store) = (World::new().await, tempfile::tempdir().expect("dir"));
    let _controller = controller(&store).await;
    let sound = |level: &str| json!({"podSecurity": {"level": level}});
    let first = world.write(POLICY, "answered", sound("baseline")).await;
    assert_eq!(world.answer(POLICY, "answered", first).await, "True Compiled: in force as written");
    let row = [("Engine", json!("podSecurity")), ("Mode", json!("observe")), ("Accepted", json!("True"))];
    world.shows(POLICY, "answered", &row).await;
    let mut last = first;
    for (engine, broken, place) in [
        (
            "rego",
            json!({"source": "package x\n\nviolation contains {\"msg\": m} if {\n  m := nothing(1)\n}\n"}),
            "nothing",
        ),
        (
            "cel",
            json!({"validations": [{"expression": "object.metadata.name =="}]}),
            "cel.validations[0].expression:1:24: ",
        ),
    ] {
        let generation = world.write(POLICY, "answered", json!({engine: broken})).await;
        let told = world.answer(POLICY, "answered", generation).await;
        assert!(
            told.starts_with("False CannotCompile: policy \"answered\": ") && told.contains(place),
            "{told}"
        );
        let row = [("Engine", json!(engine)), ("Accepted", json!("False"))];
        world.shows(POLICY, "answered", &row).await;
        assert!(generation > last, "{generation} after {last}");
        last = generation;
    }
    let next = world.write(POLICY, "answered", sound("restricted")).await;
    assert!(next > last, "{next} after {last}");
    assert_eq!(world.answer(POLICY, "answered", next).await, "True Compiled: in force as written");
    world.delete(POLICY, "answered").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster"]
async fn detection_rules_are_answered_for_each_generation() {
    let (mut world, store) = (World::new().await, tempfile::tempdir().expect("dir"));
    let _controller = controller(&store).await;
    let rules = |condition: &str| json!({"rules": format!("- rule: mine\n  desc: d\n  condition: {condition}\n  output: o\n  priority: INFO\n")});
    let sound = "evt.type = execve and proc.name = nc";
    let first = world.write(RULES, "answered", rules(sound)).await;
    let told = world.answer(RULES, "answered", first).await;
    assert_eq!(told, "True Compiled: 1 rules active, 0 not active");
    let row = [("Rules", json!(1)), ("Not active", json!(0)), ("Accepted", json!("True"))];
    world.shows(RULES, "answered", &row).await;
    let second = world.write(RULES, "answered", rules("evt.type = execve and")).await;
    let told = world.answer(RULES, "answered", second).await;
    assert!(told.starts_with("False CannotCompile: detectionrules/answered:3:35: "), "{told}");
    world.shows(RULES, "answered", &[("Accepted", json!("False"))]).await;
    let third = world.write(RULES, "answered", rules(sound)).await;
    assert!(first < second && second < third);
    assert_eq!(world.answer(RULES, "answered", third).await, "True Compiled: 1 rules active, 0 not active");
    world.delete(RULES, "answered").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster"]
async fn the_settings_are_answered_for_each_generation() {
    let (mut world, store) = (World::new().await, tempfile::tempdir().expect("dir"));
    let _controller = controller(&store).await;
    let mut last = 0;
    for days in [20, 21] {
        let spec = json!({"trustDomain": "cluster.local", "retention": {"days": days}});
        let generation = world.write(SETTINGS, "cluster", spec).await;
        assert!(generation > last);
        last = generation;
        assert_eq!(world.answer(SETTINGS, "cluster", generation).await, "True TakenOver: in force");
    }
    let row = [("Trust Domain", json!("cluster.local")), ("Accepted", json!("True"))];
    world.shows(SETTINGS, "cluster", &row).await;
    let found = world.api(SETTINGS).get("cluster").await.expect("there");
    assert_eq!(found.name_any(), outis_api::outis::NAME);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster"]
async fn a_controller_does_not_start_on_a_store_that_is_locked_or_newer() {
    let (_world, store) = (World::new().await, tempfile::tempdir().expect("dir"));
    let path = store.path().display();
    let arguments = arguments(&store);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let held = outis_store::State::open(store.path()).expect("a new one");
    let locked = format!("error: cannot open the state in {path}: ");
    outis(&arguments).fails(2, &[&locked, "is in use by another process; the store has one owner - stop it"]);
    drop(held);
    std::fs::write(store.path().join("FORMAT"), "7\n").expect("written");
    let newer = format!(
        "error: cannot open the record log in {path}: {path} has format 7, this version reads up to 1"
    );
    outis(&arguments).fails(2, &[&newer, "use the newer version, or restore a backup"]);
    std::fs::write(store.path().join("FORMAT"), "1\n").expect("written");
    drop(controller(&store).await);
}
