//! What the fixtures of the golden test do not have. The right-hand sides are what sigs.k8s.io/yaml answers.

use super::*;
use serde_json::json;

fn read(s: &str) -> String {
    match decode(s.as_bytes()) {
        Ok(d) if d.strict.is_empty() => crate::json::to_string(&d.value),
        Ok(d) => format!("{} {:?}", crate::json::to_string(&d.value), d.strict),
        Err(e) => format!("E {e}"),
    }
}

#[test]
fn scalars() {
    for (text, want) in [
        ("a: yes", r#"{"a":true}"#),
        ("on: off", r#"{"true":false}"#),
        ("a: 0644", r#"{"a":420}"#),
        ("a: 0o17", r#"{"a":15}"#),
        ("a: 08", r#"{"a":8}"#),
        ("a: 0x1F", r#"{"a":31}"#),
        ("a: 0b11", r#"{"a":3}"#),
        ("a: 1_000", r#"{"a":1000}"#),
        ("a: 1e3", r#"{"a":1000}"#),
        ("a: 1.50", r#"{"a":1.5}"#),
        ("a: .5", r#"{"a":0.5}"#),
        ("a: 1.", r#"{"a":1}"#),
        ("a: 12e", r#"{"a":"12e"}"#),
        ("a: 1:30", r#"{"a":"1:30"}"#),
        ("a: 18446744073709551615", r#"{"a":18446744073709551615}"#),
        ("a: 2026-01-02", r#"{"a":"2026-01-02"}"#),
        ("a: ~", r#"{"a":null}"#),
        ("a:", r#"{"a":null}"#),
        ("a: 'yes'", r#"{"a":"yes"}"#),
        ("a: !!str 1", r#"{"a":"1"}"#),
        ("a: !!int \"1\"", r#"{"a":1}"#),
        ("a: !!binary aGk=", r#"{"a":"hi"}"#),
        ("a: !foo 1", r#"{"a":"1"}"#),
        ("1: a\n1.5: b\ntrue: c", r#"{"1":"a","1.5":"b","true":"c"}"#),
        ("a: |\n  x\n  y\n", r#"{"a":"x\ny\n"}"#),
        ("a: |\n  x", r#"{"a":"x"}"#),
        ("a: >-\n  x\n  y\n", r#"{"a":"x y"}"#),
        ("a: .inf", "E json: unsupported value: +Inf"),
        ("null: a", "E unsupported map key of type: nil"),
        ("a: !!int x", "E yaml: cannot decode !!str `x` as a !!int"),
        ("{\"a\": [1, \"b\"]}", r#"{"a":[1,"b"]}"#),
        ("", "null"),
        ("# only a comment\n", "null"),
    ] {
        assert_eq!(read(text), want, "{text}");
    }
}

#[test]
fn anchors_merges_duplicates() {
    assert_eq!(read("a: &x {b: 1}\nc: *x"), r#"{"a":{"b":1},"c":{"b":1}}"#);
    assert_eq!(
        read("a: &x {b: 1, c: 1}\nd: {c: 0, <<: *x, b: 2}"),
        "{\"a\":{\"b\":1,\"c\":1},\"d\":{\"b\":2,\"c\":1}} [\"yaml: unmarshal errors:\\n  line 2: key \\\"c\\\" already set in map\\n  line 2: key \\\"b\\\" already set in map\"]"
    );
    assert_eq!(read("a: &x {b: 1}\nb:\n  <<: [*x, {b: 2, d: 1}]"), r#"{"a":{"b":1},"b":{"b":1,"d":1}}"#);
    assert_eq!(
        read("a: 1\nb: 2\na: 3"),
        "{\"a\":3,\"b\":2} [\"yaml: unmarshal errors:\\n  line 3: key \\\"a\\\" already set in map\"]"
    );
    assert!(read("a: &x [*x]").starts_with("E yaml:"));
    assert!(read("a: *x").starts_with("E yaml: "));
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for i in 1..9 {
        let p = i - 1;
        bomb += &format!("a{i}: &a{i} [{}]\n", vec![format!("*a{p}"); 9].join(","));
    }
    assert_eq!(read(&bomb), "E yaml: document contains excessive aliasing");
    assert!(read(&"[".repeat(100_000)).starts_with("E yaml:"));
    assert!(read(&"- ".repeat(100_000)).starts_with("E yaml:"));
}

#[test]
fn streams() {
    let all = parse_all(b"a: 1\n---\n# nothing\n---\n{}\n---\nb: 2\n...\n").unwrap();
    assert_eq!(all, [json!({"a": 1}), json!({}), json!({"b": 2})]);
    assert!(parse_all(b"a: 1\n---\na: [").is_err());
    assert!(parse(b"\xff").is_err());
}

#[test]
fn writing() {
    let long = "word ".repeat(30);
    let v = json!({
        "b10": "yes", "b9": "1:30", "Z": "2026-01-02T15:04:05Z", "a": {}, "l": [], "n": null, "f": 1.5,
        "s": [[1, {"x": "y", "z": ["q"]}], "- a", "a: b", " lead", "é", "tab\t", "😀", "it's", ""],
        "t": "line\nnext\n", "u": "no newline\nat end", "w": " x\n\n", "long": long.trim(), "quoted": format!(": {}", long.trim()),
        "k\nk": 1, "": 2,
    });
    expect_test::expect![[r#"
        "": 2
        Z: "2026-01-02T15:04:05Z"
        a: {}
        b9: "1:30"
        b10: "yes"
        f: 1.5
        ? |-
          k
          k
        : 1
        l: []
        long: word word word word word word word word word word word word word word word word
          word word word word word word word word word word word word word word
        "n": null
        quoted: ': word word word word word word word word word word word word word word word
          word word word word word word word word word word word word word word word'
        s:
        - - 1
          - x: "y"
            z:
            - q
        - '- a'
        - 'a: b'
        - ' lead'
        - é
        - "tab\t"
        - "\U0001F600"
        - it's
        - ""
        t: |
          line
          next
        u: |-
          no newline
          at end
        w: |2+
           x

    "#]]
    .assert_eq(&to_string(&v));
    assert_eq!(parse(to_string(&v).as_bytes()).unwrap(), v);
}
