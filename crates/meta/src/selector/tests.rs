//! Parsing, matching, printing of selectors.

use super::*;

#[test]
fn labels_parse_and_print() {
    for (text, want) in [
        ("", ""),
        ("a=b", "a=b"),
        ("a == b , c!=d", "a=b,c!=d"),
        ("z,y,!x", "!x,y,z"),
        ("x in (foo,,baz),y,z notin ()", "x in (,baz,foo),y,z notin ()"),
        ("a in (in,notin)", "a in (in,notin)"),
        ("in,notin", "in,notin"),
        ("a>1,b<2", "a>1,b<2"),
        ("a=", "a="),
        ("a!=,b", "a!=,b"),
    ] {
        let s = Selector::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(s.to_string(), want, "{text}");
        assert_eq!(Selector::parse(&s.to_string()).unwrap(), s);
    }
}

#[test]
fn label_errors_are_upstreams() {
    for (text, want) in [
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a,", "found '', expected: identifier after ','"),
        ("=a", "found '=', expected: !, identifier, or 'end of string'"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a=&", "unable to parse requirement: values[0][a]: Invalid value: \"&\": "),
        (
            "a>b",
            "unable to parse requirement: values[0]: Invalid value: \"b\": for 'Gt', 'Lt' operators, the value must be an integer",
        ),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("-a", "unable to parse requirement: <nil>: Invalid value: \"-a\": name part must consist of"),
    ] {
        let e = Selector::parse(text).expect_err(text);
        assert!(e.starts_with(want), "{text}: {e}");
    }
}

#[test]
fn labels_match() {
    let get = |k: &str| match k {
        "a" => Some("1"),
        "b" => Some(""),
        _ => None,
    };
    for (text, want) in [
        ("", true),
        ("a=1,b=", true),
        ("a=2", false),
        ("c!=x", true),
        ("c notin (x)", true),
        ("a notin (1)", false),
        ("c", false),
        ("!c,a", true),
        ("a>0,a<2", true),
        ("a>1", false),
        ("b>0", false),
    ] {
        assert_eq!(Selector::parse(text).unwrap().matches(get), want, "{text}");
    }
    assert!(!Selector { nothing: true, ..Selector::default() }.matches(get));
    assert_eq!(Selector::parse("a=1,b").unwrap().exact("a"), Some("1"));
}

#[test]
fn fields() {
    let s = FieldSelector::parse(r"spec.nodeName!=n,metadata.name==a\,b\=c\\,x=").unwrap();
    assert_eq!(s.to_string(), r"metadata.name=a\,b\=c\\,spec.nodeName!=n,x=");
    assert_eq!(s.exact("metadata.name"), Some(r"a,b=c\"));
    assert_eq!(s.exact("spec.nodeName"), None);
    assert!(s.matches(|f| if f == "metadata.name" { r"a,b=c\".into() } else { String::new() }));
    for (text, want) in [
        ("a", "invalid selector: 'a'; can't understand 'a'"),
        (r"a=\x", r"invalid field selector: invalid escape sequence: \x"),
        (r"a=\", r"invalid field selector: invalid escape sequence: \"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
    ] {
        assert_eq!(FieldSelector::parse(text), Err(want.to_owned()));
    }
}
