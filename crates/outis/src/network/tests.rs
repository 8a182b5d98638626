use super::*;

fn name(node: &str) -> NodeName {
    node.parse().expect("name")
}

/// `open denied`, each `+` when it answered and `-` when not.
fn probe(node: &str, address: &str, ports: &str) -> Probe {
    let reach = |mark: &str| match mark {
        "+" => Reach::Answered,
        _ => Reach::Silent("nothing within 2 s".into()),
    };
    let (open, denied) = ports.split_at(1);
    Probe {
        node: name(node),
        pod: "outis-webhook-a".parse().expect("name"),
        address: address.parse().expect("address"),
        open: reach(open),
        denied: reach(denied),
    }
}

fn of(ports: &[&str]) -> Vec<Probe> {
    let addresses = ["10.0.0.1", "fd00::1", "10.0.0.2", "fd00::2"];
    ports.iter().zip(addresses).map(|(ports, address)| probe("n1", address, ports)).collect()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("time")
}

/// Looks at node n1 one after the other; after each, the verdict in force.
fn after(network: &mut Network, looks: &[&str]) -> Vec<Enforcement> {
    let one = |ports: &&str| {
        let probes = if ports.is_empty() { vec![] } else { of(&[ports]) };
        network.look(&[name("n1")], &probes, at(1));
        network.nodes()[0].enforcement
    };
    looks.iter().map(one).collect()
}

#[test]
fn a_look_proves_what_its_ports_say() {
    use Enforcement::{Enforced, Nobody, NotProbed, Partly, Unknown};
    for (ports, expected, first) in [
        (&[][..], NotProbed, "no webhook pod is ready there"),
        (&["++"], Nobody, "a port of outis-webhook-a at 10.0.0.1 answered that no policy allows"),
        (&["+-"], Enforced, "only the allowed port of outis-webhook-a at 10.0.0.1 answered"),
        (
            &["--"],
            Unknown,
            "the allowed port of outis-webhook-a at 10.0.0.1 did not answer: nothing within 2 s",
        ),
        // Somebody else's policy may shut the port we opened: that proves nothing of ours.
        (&["-+"], Unknown, "the allowed port of"),
        (&["+-", "+-", "+-", "+-"], Enforced, "only the allowed port"),
        // Enforced for IPv4 and not for IPv6 is not enforced.
        (&["+-", "++"], Partly, "a port of outis-webhook-a at fd00::1 answered"),
        (&["++", "--"], Nobody, "a port of"),
        // One address that cannot be reached leaves the node unproved.
        (&["+-", "--"], Unknown, "the allowed port of outis-webhook-a at fd00::1 did not answer"),
    ] {
        let verdict = judge(&of(ports));
        assert_eq!(verdict.outcome, expected, "{ports:?}");
        assert!(verdict.because[0].text.starts_with(first), "{ports:?}: {}", verdict.because[0].text);
        assert_eq!(verdict.because.len(), ports.len().max(1), "{ports:?}");
    }
}

#[test]
fn a_verdict_changes_when_three_looks_in_a_row_agree() {
    use Enforcement::{Enforced, Nobody, NotProbed, Unknown};
    let mut network = Network::default();
    assert_eq!(after(&mut network, &["++", "++", "++"]), [NotProbed, NotProbed, Nobody]);
    assert_eq!(after(&mut network, &["+-", "+-", "++"]), [Nobody; 3], "not in a row");
    assert_eq!(after(&mut network, &["+-", "--", "+-", "+-"]), [Nobody; 4], "not the same");
    assert_eq!(after(&mut network, &["+-"]), [Enforced]);
    assert_eq!(after(&mut network, &["--", "--", "--"]), [Enforced, Enforced, Unknown]);
    assert_eq!(after(&mut network, &["", "", ""]), [Unknown, Unknown, NotProbed], "its pod is elsewhere");
}

#[test]
fn a_change_is_told_once_with_its_reasons_and_what_was_proved_before() {
    let mut network = Network::default();
    let mut told = Vec::new();
    for ports in ["+-", "+-", "+-", "+-", "--", "--", "--", "++", "++", "++", "++"] {
        told.extend(network.look(&[name("n1")], &of(&[ports]), at(1)));
    }
    let shown: Vec<_> = told.iter().map(|one| (one.proved, one.verdict.outcome)).collect();
    use Enforcement::{Enforced, Nobody, Unknown};
    // What was proved is not forgotten while nobody could tell.
    assert_eq!(shown, [(None, Enforced), (Some(Enforced), Unknown), (Some(Enforced), Nobody)]);
    assert_eq!(told[2].verdict.because[0].code, "DeniedPortAnswered");
}

#[test]
fn a_verdict_holds_since_it_changed_and_its_reason_is_the_newest() {
    let mut network = Network::default();
    for second in 1..=5 {
        let probes = [probe("n1", &format!("10.0.0.{second}"), "++")];
        network.look(&[name("n1")], &probes, at(second));
    }
    let node = &network.nodes()[0];
    assert_eq!(node.since, at(3));
    assert!(node.note.contains("10.0.0.5"), "{}", node.note);
}

#[test]
fn a_node_that_is_gone_is_forgotten() {
    let mut network = Network::default();
    network.look(&[name("n1"), name("n2")], &[], at(1));
    network.look(&[name("n2")], &[], at(2));
    assert_eq!(network.nodes().len(), 1);
}

#[test]
fn the_summary_tells_what_is_wrong_first_and_where() {
    let sentence = |nodes: &[(&str, &str)]| {
        let mut network = Network::default();
        let names: Vec<NodeName> = nodes.iter().map(|(node, _)| name(node)).collect();
        let probes: Vec<Probe> = nodes
            .iter()
            .filter(|(_, ports)| !ports.is_empty())
            .map(|(node, ports)| probe(node, "10.0.0.1", ports))
            .collect();
        for _ in 0..AGREE {
            network.look(&names, &probes, at(1));
        }
        let (standing, text) = summary(&network.nodes(), "somebody");
        format!("{standing:?}: {text}")
    };
    assert_eq!(sentence(&[]), "Unknown: the canary has not looked at any node yet");
    assert_eq!(
        sentence(&[("a", "+-"), ("b", "+-")]),
        "Fine: somebody enforces NetworkPolicy on 2 of 2 nodes (probed)"
    );
    assert_eq!(
        sentence(&[("a", "+-"), ("b", "")]),
        "Fine: somebody enforces NetworkPolicy on 1 of 2 nodes (probed): a; \
         1 of 2 nodes not probed: b (no webhook pod is ready there)"
    );
    assert_eq!(
        sentence(&[("a", "+-"), ("b", "++"), ("c", "--")]),
        "Limited: nobody enforces NetworkPolicy on 1 of 3 nodes (probed): b; whether NetworkPolicy is enforced \
         cannot be told on 1 of 3 nodes: c (the allowed port of outis-webhook-a at 10.0.0.1 did not answer: \
         nothing within 2 s); somebody enforces NetworkPolicy on 1 of 3 nodes (probed): a"
    );
    assert_eq!(sentence(&[("a", "")]), "Unknown: 1 of 1 nodes not probed (no webhook pod is ready there)");
    let many: Vec<(String, &str)> = (0..9).map(|number| (format!("n{number}"), "++")).collect();
    let mut many: Vec<(&str, &str)> = many.iter().map(|(node, ports)| (node.as_str(), *ports)).collect();
    many.push(("z", "+-"));
    let told = sentence(&many);
    assert!(told.contains("on 9 of 10 nodes (probed): n0, n1, n2, n3, n4, ...;"), "{told}");
}

#[test]
fn until_the_first_verdict_it_says_how_far_it_is() {
    let mut network = Network::default();
    network.look(&[name("n1")], &of(&["++"]), at(1));
    let (standing, text) = summary(&network.nodes(), "somebody");
    assert_eq!(standing, Standing::Unknown);
    assert_eq!(text, "1 of 1 nodes not probed (1 of the 3 looks that must agree are done)");
}
