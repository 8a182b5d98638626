//! Whatever is read, by whoever wrote it: no panic, no flood, and every fault has a place.

use outis_detect::{Options, Partition, RuleSet, Source, lint, pack, replay};
use proptest::prelude::*;

use crate::compile;

#[test]
fn a_few_lines_cannot_grow_without_bound() {
    let doubling = |name: &str, each: fn(usize) -> String| {
        (1..40).map(each).fold(name.to_owned(), |text, line| text + &line)
    };
    let macros = doubling("- {macro: m0, condition: proc.name = a}\n", |n| {
        format!("- {{macro: m{n}, condition: m{0} and m{0}}}\n", n - 1)
    });
    let told = compile(&[&macros]).expect_err("too many").to_string();
    assert!(told.contains("1.yaml:17:") && told.contains("more than 200000 parts"), "{told}");
    assert_eq!(told.lines().count(), 1, "told once: {told}");
    let lists = doubling("- {list: l0, items: [a, b]}\n", |n| {
        format!("- {{list: l{n}, items: [l{0}, l{0}]}}\n", n - 1)
    });
    let told = compile(&[&lists]).expect_err("too many").to_string();
    assert!(told.contains("more than 100000 items"), "{told}");
    let many: String =
        (0..3_000).map(|n| format!("- {{macro: n{n}, condition: proc.name in (big)}}\n")).collect();
    let big = format!("- list: big\n  items: [{}]\n{many}", "a, ".repeat(1_000));
    assert!(compile(&[&big]).expect_err("too many").to_string().contains("more than 200000 parts"));
    let nested = format!("- macro: m\n  condition: {}proc.name = a{}\n", "(".repeat(300), ")".repeat(300));
    assert!(compile(&[&nested]).expect_err("too deep").to_string().contains("nests deeper"));
    let deep = "[".repeat(500);
    assert!(compile(&[&deep]).expect_err("too deep").to_string().contains("this is not YAML"));
    assert!(compile(&[&" ".repeat(5 << 20)]).expect_err("too long").to_string().contains("bytes"));
}

/// The shipped rules with some bytes changed: nearly right, which reaches furthest.
fn damaged() -> impl Strategy<Value = String> {
    const BITS: &[&str] = &[
        "", " ", "\n", "(", ")", "'", "\"", "%", "[", "]", "{", "}", ":", "-", ",", "=", "and ", "not ", "é",
        "\t", "*a", "&a ",
    ];
    let edit = (
        any::<proptest::sample::Index>(),
        0..6_usize,
        proptest::sample::select(BITS).prop_map(str::to_owned),
    );
    proptest::collection::vec(edit, 1..6).prop_map(|edits| {
        let mut text = pack().text;
        for (at, cut, put) in edits {
            let floor =
                |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            let at = at.index(text.len().max(1));
            text.replace_range(floor(at)..floor(at + cut).max(floor(at)), &put);
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_damaged_file_loads_or_says_where_it_is_wrong(text in damaged()) {
        let lines = text.lines().count() + 1;
        let report = lint(&[Source::new("x.yaml", text)], &Options::default());
        for found in report.faults.iter().chain(&report.notes) {
            prop_assert!(found.line as usize <= lines && found.line > 0 && found.column > 0, "{}", found);
            prop_assert!(!found.text.is_empty());
        }
    }

    #[test]
    fn any_recording_ends(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let rules = RuleSet::compile(&[], &Options::default()).expect("no rules");
        prop_assert!(replay(&rules, Partition::default(), &bytes[..]).filter(Result::is_err).count() <= 1);
    }
}
