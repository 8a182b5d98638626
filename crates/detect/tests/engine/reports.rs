//! What `outis detect lint` and `outis detect rules` print.

use outis_detect::{Options, lint};
use serde_json::json;

use crate::{rule, sources};

#[test]
fn a_report_tells_what_does_not_work_first() {
    let text = format!(
        "{}- {{rule: off, desc: d, output: o, priority: INFO, condition: proc.pid = 1, enabled: false}}\n\
                        - {{rule: late, desc: d, output: o, priority: INFO, condition: proc.env exists}}\n",
        rule("evt.type = open")
    );
    let report = lint(&sources(&[&text]), &Options::default());
    assert!(report.is_usable());
    assert_eq!(
        report.to_string(),
        "\
rule  1.yaml:2:9: off: disabled
rule  1.yaml:3:9: late: not active: no field proc.env
0 faults, 0 notes; 1 rules active, 1 disabled, 1 not active"
            .replace(":9:", ":")
    );
    let json = serde_json::to_value(&report.rules[2]).expect("JSON");
    assert_eq!(
        json,
        json!({
            "name": "late", "priority": "Informational", "tags": [], "description": "d", "file": "1.yaml", "line": 3,
            "state": "notActive", "missing": [{"kind": "field", "name": "proc.env"}], "events": [], "partial": [],
        })
    );
}

#[test]
fn a_report_of_faults_has_their_places() {
    let report = lint(&sources(&["- macro: m\n  condition: (x\n"]), &Options::default());
    assert!(!report.is_usable() && report.rules.is_empty());
    assert!(report.to_string().starts_with("fault 1.yaml:2:16: "), "{report}");
    let json = serde_json::to_value(&report.faults[0]).expect("JSON");
    assert_eq!((&json["file"], &json["line"], &json["column"]), (&json!("1.yaml"), &json!(2), &json!(16)));
}
