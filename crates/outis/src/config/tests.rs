use std::collections::BTreeMap;
use std::io::Write;

use super::*;

fn reader(flags: &[(&'static str, &str)], environment: &[(&str, &str)], file: Option<&str>) -> Reader {
    let mut held = tempfile::NamedTempFile::new().expect("temporary file");
    held.write_all(file.unwrap_or_default().as_bytes()).expect("written");
    let flags = flags.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    let environment: BTreeMap<String, String> =
        environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Reader::new(
        WebhookSettings::TABLE,
        flags,
        |name| environment.get(name).cloned(),
        file.map(|_| held.path()),
    )
    .expect("readable")
}

#[test]
fn flags_win_over_environment_over_file() {
    let file = Some("policy-dir: /from-file\nserving-dir: /from-file\nworkers: 3\n");
    let flags = [("policy-dir", "/from-flag")];
    let environment = [("OUTIS_POLICY_DIR", "/from-env"), ("OUTIS_SERVING_DIR", "/from-env")];
    let config = WebhookConfig::read(reader(&flags, &environment, file)).expect("sound");
    assert_eq!(config.policies.as_deref(), Some(std::path::Path::new("/from-flag")));
    assert_eq!(config.serving.to_str(), Some("/from-env"));
    assert_eq!(config.workers, 3);
    assert_eq!(config.address.port(), 9443, "the default");
}

#[test]
fn the_canary_listens_where_the_manifests_say() {
    use outis_cluster::manifests::{CANARY_DENIED, CANARY_OPEN};
    let config = WebhookConfig::read(reader(&[], &[], None)).expect("sound");
    assert_eq!((config.canary_open.port(), config.canary_denied.port()), (CANARY_OPEN, CANARY_DENIED));
}

#[test]
fn all_faults_are_told_together() {
    let file = Some("polcy-dir: /x\n");
    let told = WebhookConfig::read(reader(&[("address", "here")], &[("OUTIS_WORKERS", "many")], file))
        .expect_err("faulty")
        .to_string();
    for part in [
        "unknown key \"polcy-dir\"",
        "known are address, health-address",
        "workers: \"many\" (from OUTIS_WORKERS)",
        "address: \"here\" (from --address)",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn a_file_that_is_no_map_is_told_by_name() {
    let mut held = tempfile::NamedTempFile::new().expect("temporary file");
    held.write_all(b"- a\n").expect("written");
    let told = Reader::new(WebhookSettings::TABLE, BTreeMap::new(), |_| None, Some(held.path()))
        .err()
        .expect("faulty");
    assert!(told.to_string().contains("is not a YAML map of settings"), "{told}");
}
