//! What a review costs on one thread, request to ruling, parsing of the request's JSON apart.
//!
//! `cargo run -p outis-admission --example bench_admission [ROUNDS]`. Pods differ from round to round
//! and half of them violate; the number of evaluations is asserted, so that nothing is measured that
//! does not happen.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock; the engine does not")]

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use outis_admission::scan::offline_review;
use outis_admission::{Judge, Limits, PolicySet};
use outis_api::AdmissionPolicySpec;
use outis_model::PolicyName;
use outis_model::review::Review;
use serde_json::{Value, json};

const PODS: usize = 1_000;

fn pod(index: usize) -> Value {
    let good = index.is_multiple_of(2);
    let container = |name: String| {
        json!({
            "name": name,
            "image": format!("{}/team-{}/app:{index}", if good { "registry.example" } else { "elsewhere" }, index % 7),
            "resources": {"limits": {"cpu": "500m", "memory": "256Mi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
            "env": (0..8).map(|n| json!({"name": format!("V{n}"), "value": "x"})).collect::<Vec<_>>(),
            "ports": [{"containerPort": 8080, "name": "http"}],
            "securityContext": {"allowPrivilegeEscalation": !good, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": good},
        })
    };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("pod-{index}"), "namespace": "shop", "labels": {"app": "shop", "tier": "web"}},
        "spec": {
            "containers": (0..2 + index % 2).map(|n| container(format!("c{n}"))).collect::<Vec<_>>(),
            "initContainers": [container("init".into())],
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        },
    })
}

fn rego(index: usize) -> Value {
    let bodies = [
        "not startswith(c.image, input.parameters.registry)\nmsg := sprintf(\"image %v\", [c.image])",
        "not c.resources.limits.memory\nmsg := sprintf(\"container %v has no memory limit\", [c.name])",
        "c.securityContext.privileged\nmsg := sprintf(\"container %v is privileged\", [c.name])",
        "c.securityContext.allowPrivilegeEscalation\nmsg := sprintf(\"container %v may gain privileges\", [c.name])",
        "count({e | some e in c.env; e.name == \"SECRET\"}) > 0\nmsg := sprintf(\"container %v has a secret\", [c.name])",
    ];
    let body = bodies[index % bodies.len()];
    let source = format!(
        "package p{index}\nviolation contains {{\"msg\": msg}} if {{\nsome c in containers\n{body}\n}}\n\
         containers contains c if some c in input.review.object.spec.containers\n\
         containers contains c if some c in input.review.object.spec.initContainers\n"
    );
    json!({"mode": "enforce", "rego": {"source": source, "parameters": {"registry": "registry.example/"}}})
}

fn cel(index: usize) -> Value {
    let expressions = [
        "variables.all.all(c, c.image.startsWith(params.registry))",
        "variables.all.all(c, has(c.resources.limits) && has(c.resources.limits.memory))",
        "variables.all.all(c, quantity(c.resources.limits.memory).compareTo(quantity('1Gi')) <= 0)",
        "!variables.all.exists(c, has(c.securityContext.privileged) && c.securityContext.privileged)",
        "object.metadata.labels.exists(l, l == 'app')",
    ];
    json!({"mode": "enforce", "cel": {
        "variables": [{"name": "all", "expression": "object.spec.containers + object.spec.initContainers"}],
        "validations": [{"expression": expressions[index % expressions.len()]}],
        "params": {"registry": "registry.example/"},
    }})
}

fn measure(what: &str, specs: Vec<Value>, reviews: &[Review], rounds: usize) -> Result<(), Box<dyn Error>> {
    let policies = specs.into_iter().enumerate().map(|(index, spec)| {
        Ok((
            format!("p{index}").parse::<PolicyName>()?,
            1,
            serde_json::from_value::<AdmissionPolicySpec>(spec)?,
        ))
    });
    let policies = policies.collect::<Result<Vec<_>, Box<dyn Error>>>()?;
    let count = policies.len();
    let start = Instant::now();
    let (set, faults) = PolicySet::compile(policies);
    assert!(faults.is_empty(), "{faults:?}");
    let loaded = start.elapsed();
    let start = Instant::now();
    let mut judge = Judge::new(&Arc::new(set));
    let ready = start.elapsed();
    let mut times = Vec::with_capacity(rounds);
    let mut findings = 0;
    for round in 0..rounds {
        let review = &reviews[round % reviews.len()];
        let start = Instant::now();
        let ruling = judge.review(review, Limits::default()).outcome;
        times.push(start.elapsed());
        assert_eq!(ruling.evaluated as usize, count, "every policy must be asked");
        findings += ruling.findings.len();
    }
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 1000).min(times.len() - 1)].as_secs_f64() * 1e6;
    let mean = times.iter().sum::<std::time::Duration>().as_secs_f64() * 1e6 / times.len() as f64;
    println!(
        "{what:<24} {count:>3} policies  mean {mean:>7.1} us  p50 {:>7.1}  p99 {:>7.1}  findings/review {:>5.2}  load {:>6.1} ms  worker {:>5.1} ms",
        at(500),
        at(990),
        findings as f64 / rounds as f64,
        loaded.as_secs_f64() * 1e3,
        ready.as_secs_f64() * 1e3,
    );
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let rounds = std::env::args().nth(1).map_or(Ok(20_000), |text| text.parse())?;
    let reviews = (0..PODS).map(|index| offline_review(&pod(index))).collect::<Result<Vec<_>, _>>()?;
    let restricted = || json!({"mode": "enforce", "podSecurity": {"level": "restricted"}});
    measure("Pod Security restricted", vec![restricted()], &reviews, rounds)?;
    measure("Rego", vec![rego(0)], &reviews, rounds)?;
    measure("Rego", (0..30).map(rego).collect(), &reviews, rounds)?;
    measure("CEL", vec![cel(0)], &reviews, rounds)?;
    measure("CEL", (0..30).map(cel).collect(), &reviews, rounds)?;
    let all = (0..15).flat_map(|index| [rego(index), cel(index)]).chain([restricted()]).collect();
    measure("all three", all, &reviews, rounds)
}
