//! Text of sets, their order, and the operations.

use super::*;
use expect_test::{Expect, expect};

fn set(text: &str) -> FieldSet {
    FieldSet::parse(text).unwrap()
}

#[test]
fn text_round_trips_in_upstreams_order() {
    let check = |text: &str, e: Expect| e.assert_eq(&set(text).to_json());
    check(
        r#"{"k:{\"port\":8080}":{},"k:{\"port\":443}":{".":{},"f:port":{}},"v:\"b\"":{},"v:1":{},"i:10":{},"i:2":{},"f:b":{},"f:a":{".":{}}}"#,
        expect![[
            r#"{"f:a":{},"f:b":{},"k:{\"port\":443}":{".":{},"f:port":{}},"k:{\"port\":8080}":{},"v:1":{},"v:\"b\"":{},"i:2":{},"i:10":{}}"#
        ]],
    );
    check(r#"{"k:{\"b\":1,\"a\":\"x<y\"}":{}}"#, expect![[r#"{"k:{\"a\":\"x\\u003cy\",\"b\":1}":{}}"#]]);
    check(r#"{"z:new":{},"f:a":{"z:new":{}}}"#, expect![[r#"{"f:a":{}}"#]]);
    check("{}", expect!["{}"]);
}

#[test]
fn what_is_no_set() {
    let check = |text: &str, e: Expect| e.assert_eq(&FieldSet::parse(text).unwrap_err().to_string());
    check(r#"{"f":{}}"#, expect!["parsing key as path element: key must be 2 characters long:"]);
    check(r#"{"foo":{}}"#, expect!["parsing key as path element: missing colon: foo"]);
    check(
        r#"{"i:x":{}}"#,
        expect![[r#"parsing key as path element: strconv.Atoi: parsing "x": invalid syntax"#]],
    );
    check(
        r#"{"k:[]":{}}"#,
        expect![[
            r#"parsing key as path element: invalid type: sequence, expected a map at line 1 column 0"#
        ]],
    );
    check("[]", expect!["expected an object, got []"]);
    let deep = format!("{}{}", r#"{"f:a":"#.repeat(100), "{}".to_owned() + &"}".repeat(100));
    assert!(FieldSet::parse(&deep).is_ok());
    let deep = format!("{}{}", r#"{"f:a":"#.repeat(4000), "{}".to_owned() + &"}".repeat(4000));
    assert!(FieldSet::parse(&deep).is_err());
}

#[test]
fn operations() {
    let a = || set(r#"{"f:a":{".":{},"f:b":{}},"f:c":{"f:d":{}},"f:e":{}}"#);
    let b = || set(r#"{"f:a":{},"f:c":{"f:d":{},"f:x":{}}}"#);
    let show = |s: FieldSet| s.paths().join(" ");
    expect![".a .e .a.b .c.d .c.x"].assert_eq(&show(a().union(b())));
    expect![".e .a.b"].assert_eq(&show(a().difference(&b())));
    expect![".e"].assert_eq(&show(a().recursive_difference(&b())));
    expect![".a .c.d"].assert_eq(&show(a().intersection(&b())));
    expect![".a.b .c.d"].assert_eq(&show(
        Filter::include(&["*.b", "c"]).apply(set(r#"{"f:a":{"f:b":{},"f:q":{}},"f:c":{"f:d":{}}}"#)),
    ));
    assert_eq!(a().len(), 4);
    assert!(a().contains(&[PathElement::field("c"), PathElement::field("d")]));
    assert!(!a().contains(&[PathElement::field("c")]));
}

#[test]
fn paths_as_text() {
    let s = set(
        r#"{"f:spec":{"f:ports":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{}},"f:finalizers":{"v:\"x\"":{}},"f:l":{"i:3":{}}}}"#,
    );
    expect![[r#".spec.finalizers[="x"] .spec.l[3] .spec.ports[port=80,protocol="TCP"]"#]]
        .assert_eq(&s.paths().join(" "));
}
