//! Upstream templates as Rego policies: the module and the parameters of each suite's constraints, and
//! the objects the suite says violate or not. Match rules and inventory are not part of it.

#![expect(clippy::disallowed_methods, reason = "a test reads fixtures; the engine reads nothing")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use outis_admission::scan::{documents, offline_review};
use outis_admission::{Fault, Judge, Limits, PolicySet};
use outis_model::Verdict;
use outis_model::review::{Operation, Review};
use serde_json::{Value, json};

/// Cases of suites whose template needs nothing but the request.
const CASES: usize = 105;
/// Templates there are, and those refused because they look at other objects or are not read yet.
const TEMPLATES: (usize, usize) = (30, 6);

fn conformance() -> PathBuf {
    std::env::var_os("OUTIS_CONFORMANCE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance"),
        PathBuf::from,
    )
}

fn read(path: &Path) -> Value {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut found = documents(&bytes, &path.display().to_string()).expect("a manifest");
    assert_eq!(found.len(), 1, "{} holds one object", path.display());
    found.remove(0).1
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The Rego of a template, wherever it stands in it.
fn rego(template: &Value) -> Option<(Value, Value)> {
    let target = &template["spec"]["targets"][0];
    let code = list(&target["code"]).iter().find(|code| code["engine"] == "Rego").map(|code| &code["source"]);
    let holder = if target["rego"].is_string() { target } else { code? };
    let libs = if holder["libs"].is_array() { holder["libs"].clone() } else { json!([]) };
    Some((holder["rego"].clone(), libs))
}

fn load(template: &Value, constraint: &Value) -> Result<Judge, Fault> {
    let (source, libs) = rego(template).expect("a template with Rego");
    let parameters = constraint["spec"]["parameters"].as_object().cloned().unwrap_or_default();
    let spec = json!({
        "mode": "enforce",
        "match": {"kinds": [{"kinds": ["*"]}], "operations": ["CREATE", "UPDATE", "DELETE", "CONNECT"]},
        "rego": {"source": source, "libs": libs, "version": "v0", "parameters": parameters},
    });
    let spec = serde_json::from_value(spec).expect("a specification");
    let (set, mut faults) = PolicySet::compile([("policy".parse().expect("a name"), 1, spec)]);
    faults.pop().map_or_else(|| Ok(Judge::new(&Arc::new(set))), Err)
}

/// The request of a case: the object's creation, or the request it is.
fn request(object: &Value) -> Review {
    if object["kind"] != "AdmissionReview" {
        return offline_review(object).expect("an object");
    }
    let request = &object["request"];
    let subject = if request["object"].is_object() { &request["object"] } else { &request["oldObject"] };
    let mut review = offline_review(subject).expect("an object");
    review.operation =
        request["operation"].as_str().unwrap_or("CREATE").parse::<Operation>().expect("an operation");
    review.object = Arc::new(request["object"].clone());
    review.old_object = Arc::new(request["oldObject"].clone());
    review.user = serde_json::from_value(request["userInfo"].clone()).unwrap_or_default();
    review
}

/// Whether what was found is what a case asserts.
fn holds(assertion: &Value, violations: &[String]) -> bool {
    let fits = |text: &&String| {
        assertion["message"]
            .as_str()
            .is_none_or(|pattern| regex::Regex::new(pattern).expect("a pattern").is_match(text))
    };
    let count = violations.iter().filter(fits).count();
    match &assertion["violations"] {
        Value::Number(number) => number.as_u64() == Some(count as u64),
        Value::Bool(wanted) => *wanted == (count > 0),
        Value::String(text) if text == "no" => count == 0,
        _ => count > 0,
    }
}

fn check(folder: &Path, suite: &Value, test: &Value) -> Result<usize, Fault> {
    let at = |value: &Value| folder.join(value.as_str().expect("a path"));
    let mut judge = load(&read(&at(&test["template"])), &read(&at(&test["constraint"])))?;
    for case in list(&test["cases"]) {
        let ruling = judge.review(&request(&read(&at(&case["object"]))), Limits::default()).outcome;
        let what = format!("{} {} {}", suite["metadata"]["name"], test["name"], case["name"]);
        assert!(ruling.findings.iter().all(|found| found.verdict == Verdict::Deny), "{what}: {ruling:?}");
        let texts: Vec<_> = ruling.findings.iter().map(|found| found.reason.text.clone()).collect();
        for assertion in list(&case["assertions"]) {
            assert!(holds(assertion, &texts), "{what}: {assertion} but {texts:?}");
        }
    }
    Ok(list(&test["cases"]).len())
}

#[test]
fn templates_that_need_nothing_but_the_request_give_the_verdicts_of_their_suites() {
    let root = conformance().join("gatekeeper");
    let Ok(folders) = std::fs::read_dir(&root) else {
        eprintln!("SKIPPED gatekeeper: {} is not there; set OUTIS_CONFORMANCE", root.display());
        return;
    };
    let (mut templates, mut refused, mut cases) = (0, 0, 0);
    for folder in folders {
        let folder = folder.expect("an entry").path();
        let suite = folder.join("suite.yaml");
        if !suite.exists() {
            continue;
        }
        let suite = read(&suite);
        templates += 1;
        let run = list(&suite["tests"]).iter().map(|test| check(&folder, &suite, test));
        match run.sum::<Result<usize, _>>() {
            Ok(run) => cases += run,
            Err(fault) => {
                let known = ["`data.inventory` is not available", "else cannot be used with set rules"];
                assert!(
                    known.iter().any(|text| fault.sentence.contains(text)),
                    "{}: {fault}",
                    folder.display()
                );
                refused += 1;
            }
        }
    }
    eprintln!("gatekeeper: {cases}/{CASES} cases, {refused} of {templates} templates refused at load");
    assert_eq!(((templates, refused), cases), (TEMPLATES, CASES));
}
