use proptest::prelude::*;
use serde_json::json;

use super::*;

fn check(text: &str, expected: &[(&str, Value)]) {
    let found = documents(text.as_bytes(), "f.yaml").unwrap_or_else(|error| panic!("{text}: {error}"));
    let found: Vec<_> = found.into_iter().map(|(place, value)| (place.to_string(), value)).collect();
    let expected: Vec<_> =
        expected.iter().map(|(place, value)| ((*place).to_owned(), value.clone())).collect();
    assert_eq!(found, expected, "{text}");
}

#[test]
fn documents_keep_their_lines() {
    check(
        "kind: A\n---\n# comment\n\nkind: B\n---\n---\nkind: C\n...\n",
        &[
            ("f.yaml:1", json!({"kind": "A"})),
            ("f.yaml:5", json!({"kind": "B"})),
            ("f.yaml:8", json!({"kind": "C"})),
        ],
    );
    check(
        "---\nkind: A\n--- # next\nkind: B\n",
        &[("f.yaml:2", json!({"kind": "A"})), ("f.yaml:4", json!({"kind": "B"}))],
    );
    check("{\"kind\": \"A\", \"n\": 1}", &[("f.yaml:1", json!({"kind": "A", "n": 1}))]);
    check("", &[]);
    check("# nothing\n---\n", &[]);
}

#[test]
fn a_separator_within_a_text_is_text() {
    check(
        "kind: A\ntext: |\n  a\n  ---\n  b\n",
        &[("f.yaml:1", json!({"kind": "A", "text": "a\n---\nb\n"}))],
    );
}

#[test]
fn lists_are_unrolled() {
    check(
        "kind: List\napiVersion: v1\nitems:\n- kind: A\n- kind: B\n",
        &[("f.yaml:1 (item 0)", json!({"kind": "A"})), ("f.yaml:1 (item 1)", json!({"kind": "B"}))],
    );
    check("kind: PodList\nitems: []\n", &[]);
}

#[test]
fn what_cannot_be_read_is_named_with_its_place() {
    let fault = |bytes: &[u8]| documents(bytes, "f.yaml").expect_err("not a manifest").to_string();
    assert!(fault(b"kind: A\n---\na: [\n").starts_with("f.yaml:3: cannot read the document"));
    assert!(fault(&[0xff, 0xfe]).contains("not UTF-8"));
    assert_eq!(
        offline_review(&json!({"kind": "Pod"})).expect_err("no version").to_string(),
        "the document has no apiVersion, so it is no Kubernetes object"
    );
    assert!(offline_review(&json!([1])).is_err());
}

#[test]
fn a_review_is_the_creation_of_the_object() {
    let review = |object: Value| offline_review(&object).expect("an object");
    let deployment =
        review(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}}));
    assert_eq!((deployment.kind.group.as_str(), deployment.namespace.as_str()), ("apps", "default"));
    assert_eq!(
        review(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "b"}})).namespace,
        "b"
    );
    assert_eq!(
        review(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}})).namespace,
        ""
    );
    assert_eq!(
        review(json!({"apiVersion": "x.io/v1", "kind": "Thing", "metadata": {"name": "a"}})).namespace,
        ""
    );
}

#[test]
fn a_live_object_lies_where_it_says_and_its_namespace_is_known() {
    let shop = Arc::new(json!({"metadata": {"name": "shop", "labels": {"tier": "a"}}}));
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "shop"}});
    let review = live_review(&pod, Arc::clone(&shop)).expect("an object");
    assert_eq!((review.namespace.as_str(), &review.namespace_object), ("shop", &shop));
    let foreign = json!({"apiVersion": "v1", "kind": "SomethingOfNoNamespace", "metadata": {"name": "x"}});
    assert_eq!(live_review(&foreign, Arc::default()).expect("an object").namespace, "");
}

proptest! {
    #[test]
    fn reading_any_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = documents(&bytes, "f");
    }

    #[test]
    fn reading_anything_like_yaml_never_panics(text in "[-a{}\\[\\]:#|>&*!%@ \n\"']{0,120}") {
        for (_, value) in documents(text.as_bytes(), "f").unwrap_or_default() {
            let _ = offline_review(&value);
        }
    }
}
