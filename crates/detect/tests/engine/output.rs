//! The output line, the fields, and the JSON other tools read.

use outis_detect::falco_json;
use outis_model::Timestamp;
use outis_model::alert::Match;
use serde_json::{Value, json};

use crate::sources;
use crate::world::World;

fn said(output: &str) -> Match {
    let text = format!(
        "- rule: it\n  desc: d\n  priority: WARNING\n  tags: [b, a]\n  condition: proc.name = sh\n  output: '{output}'\n"
    );
    let mut world = World::new(&sources(&[&text]));
    world.run("sh").in_pod().args(&["-c", "login --password hunter2"]).below(&["runc"]).go().said.remove(0)
}

#[test]
fn fields_are_put_into_the_line() {
    for (output, expected) in [
        ("%proc.name in %k8s.pod.name.", "sh in web-1."),
        ("100%% of %user.uid, %user.name", "100% of 0, root"),
        ("%proc.aname[1]/%proc.aname[2]", "runc/<NA>"),
        ("%fd.name %evt.rawres %nothing", "<NA> 0 %nothing"),
        ("%toupper(proc.name) %evt.type", "SH execve"),
        ("%no.such.field", "<NA>"),
        ("%proc.aname", "runc"),
        ("%container.privileged %proc.tty", "false 0"),
    ] {
        assert_eq!(said(output).output, expected, "{output}");
    }
}

#[test]
fn credentials_are_hidden_in_what_is_shown_and_compared_in_full() {
    let found = said("%proc.cmdline %proc.args %evt.args");
    assert!(!found.output.contains("hunter2") && found.output.contains("[redacted]"), "{}", found.output);
    let whole = serde_json::to_string(&found).expect("JSON");
    assert!(!whole.contains("hunter2"), "{whole}");
    let text = "- {rule: it, desc: d, output: o, priority: INFO, condition: proc.args contains hunter2}\n";
    let mut world = World::new(&sources(&[text]));
    assert_eq!(world.run("sh").args(&["--password", "hunter2"]).rules(), ["it"]);
}

#[test]
fn the_json_has_the_keys_other_tools_read() {
    let found = said("%proc.name ran %no.such");
    let time = Timestamp::from_nanosecond(1_800_000_000_000_000_001).expect("a time");
    let json = falco_json(&found, "node-1", time);
    let fields = json["output_fields"].as_object().expect("fields");
    assert_eq!(
        (&fields["proc.name"], &fields["no.such"], &fields["user.uid"]),
        (&json!("sh"), &Value::Null, &json!(0))
    );
    for suggested in
        ["evt.time", "container.id", "container.name", "container.image.repository", "k8s.ns.name"]
    {
        assert!(!fields[suggested].is_null(), "{suggested}");
    }
    let mut rest = json.clone();
    rest.as_object_mut().expect("an object").remove("output_fields");
    let expected = json!({
        "hostname": "node-1",
        "output": "08:00:00.000000001: Warning sh ran <NA>",
        "priority": "Warning",
        "rule": "it",
        "source": "syscall",
        "tags": ["a", "b"],
        "time": "2027-01-15T08:00:00.000000001Z",
    });
    assert_eq!(rest, expected);
}
