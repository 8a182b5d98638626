use proptest::prelude::*;

use super::*;

fn printed(text: &str) -> String {
    parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}")).to_string()
}

fn refused(text: &str) -> (usize, String) {
    let error = parse(text).expect_err(text);
    (error.at, error.text)
}

#[test]
fn and_binds_closer_than_or() {
    assert_eq!(printed("a and b or not c and d"), "(a and b) or (not c and d)");
    assert_eq!(printed("a and (b or c)"), "a and (b or c)");
    assert_eq!(printed("not not(a)and(b)"), "not not a and b");
}

#[test]
fn odd_spellings_that_rule_files_use() {
    assert_eq!(printed("proc.cmdline= \"sh -c x\""), "proc.cmdline = \"sh -c x\"");
    assert_eq!(printed("proc.name!='sshd'"), "proc.name != \"sshd\"");
    assert_eq!(printed("proc.aname[2]=qualys-cloud-ag"), "proc.aname[2] = qualys-cloud-ag");
    assert_eq!(printed("fd.num=-1 and proc.duration<=5"), "fd.num = -1 and proc.duration <= 5");
    assert_eq!(printed("fd.name startswith /etc/"), "fd.name startswith /etc/");
    assert_eq!(
        printed("proc.pname in (runc:[0:PARENT],\"puma reactor\" , )"),
        "proc.pname in (runc:[0:PARENT], \"puma reactor\")"
    );
    assert_eq!(printed("proc.pname exists"), "proc.pname exists");
    assert_eq!(printed("fd.name in ()"), "fd.name in ()");
    assert_eq!(printed("tolower(proc.name) = val(proc.pname)"), "tolower(proc.name) = val(proc.pname)");
    assert_eq!(printed("evt.arg['a]b'] = 1"), "evt.arg[\"a]b\"] = 1");
    assert_eq!(printed(r#"proc.args regex "a\d+\"b\\""#), r#"proc.args regex "a\\d+\"b\\""#);
}

#[test]
fn a_fault_says_where_and_what() {
    assert_eq!(
        refused("a and"),
        (5, "a field, a macro, `not` or a parenthesis should stand here, not its end".into())
    );
    assert!(refused("(a or b").1.contains("closing parenthesis"));
    let (at, text) = refused("proc.name like x");
    assert_eq!(at, 10);
    assert!(
        text.starts_with("an operator should stand behind `proc.name`, not \"like\"; there are exists = !="),
        "{text}"
    );
    assert!(refused("proc.name = ").1.contains("a value should stand behind `=`"));
    assert!(refused("proc.name = \"x").1.contains("not closed"));
    assert!(refused("proc.aname[2 = x").1.contains("`]` should close"));
    assert!(refused("a b").1.contains("should end here"));
    assert!(refused("name = x").1.contains("a class and a name"));
    assert!(refused("proc.name in (a b)").1.contains("`,` or `)`"));
    assert!(refused(&"(".repeat(1000)).1.contains("nests deeper"));
    assert!(refused(&"not ".repeat(1000)).1.contains("nests deeper"));
    assert!(refused(&format!("{}proc.name) = x", "tolower(".repeat(1000))).1.contains("nests deeper"));
}

#[test]
fn items_of_lists_lose_their_quotes() {
    assert_eq!(unquote("\"75-system-updat\""), "75-system-updat");
    assert_eq!(unquote(r#""sh -c node -e \"require('nan')\"""#), r#"sh -c node -e "require('nan')""#);
    assert_eq!(unquote("runc:[1:CHILD]"), "runc:[1:CHILD]");
    assert_eq!(unquote("\"a\" b"), "\"a\" b");
}

fn word() -> impl Strategy<Value = Word> {
    prop_oneof![
        "[a-z/:*.0-9-]{1,8}".prop_map(|text| Word { text, quoted: false, at: At(0) }),
        "[a-z \"'\\\\(),=\\[\\]]{0,8}".prop_map(|text| Word { text, quoted: true, at: At(0) }),
    ]
}

fn operand() -> impl Strategy<Value = Operand> {
    let field = ("[a-z]{2,5}\\.[a-z]{2,5}", proptest::option::of("[a-z0-9]{1,3}"))
        .prop_map(|(name, arg)| Operand::Field { name, arg, at: At(0) });
    field.prop_recursive(2, 4, 1, |inner| {
        (0..Transform::ALL.len(), inner)
            .prop_map(|(n, inner)| Operand::Transform(Transform::ALL[n].1, Box::new(inner)))
    })
}

fn check() -> impl Strategy<Value = Expr> {
    (operand(), 0..Op::ALL.len(), proptest::collection::vec(word(), 1..4), proptest::option::of(operand()))
        .prop_map(|(left, op, mut words, other)| {
            let op = Op::ALL[op].1;
            let right = match (op, other) {
                (Op::Exists, _) => Right::Nothing,
                (op, _) if op.takes_list() => Right::Many(words),
                (_, Some(other @ Operand::Transform(..))) => Right::Operand(other),
                _ => Right::One(words.remove(0)),
            };
            Expr::Check(Check { left, op, right, at: At(0) })
        })
}

fn expr() -> impl Strategy<Value = Expr> {
    let leaf = prop_oneof![check(), "m_[a-z]{1,5}".prop_map(|name| Expr::Macro(name, At(0)))];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Expr::And),
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Expr::Or),
            inner.prop_map(|one| Expr::Not(Box::new(one))),
        ]
    })
}

proptest! {
    #[test]
    fn parse_after_print_is_identity(expr in expr()) {
        prop_assert_eq!(parse(&expr.to_string()), Ok(expr));
    }

    #[test]
    fn no_text_makes_it_panic(text in "([a-z.()\\[\\]\"'=<>!, \\\\]|and |or |not |in |proc\\.name ){0,40}|\\PC{0,60}") {
        if let Err(error) = parse(&text) {
            prop_assert!(error.at <= text.len());
        }
        let _ = unquote(&text);
    }
}
