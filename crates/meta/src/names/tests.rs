//! Tables of good and bad names.

use super::*;

#[test]
fn formats() {
    let long = "a".repeat(64);
    type Check = fn(&str) -> Vec<String>;
    let table: &[(Check, &[&str], &[&str])] = &[
        (is_dns1123_label, &["a", "a-b", "0", "a0"], &["", "-a", "a-", "A", "a_b", "a.b", &long]),
        (is_dns1123_subdomain, &["a", "a.b", "0.a-b"], &["", ".", "a..b", "-a", "a.", "A", "a_b"]),
        (is_dns1123_subdomain_with_underscore, &["_a.b", "a_b"], &["__a", "a_", "_", "a._"]),
        (is_wildcard_dns1123_subdomain, &["*.a", "*.a.b"], &["*", "*a", "a.*", "*.*.a", "*."]),
        (is_dns1035_label, &["a", "a0-b"], &["", "0a", "a-", "A", "a.b"]),
        (is_qualified_name, &["a", "A.b_c-d", "x.y/Z"], &["", "/a", "a/", "a/b/c", "X/a", "a b", "-a"]),
        (is_label_value, &["", "a", "A_b.c-1"], &["-a", "a-", "a b", &long]),
        (is_path_segment_name, &["system:a", ""], &[".", "..", "a/b", "a%b"]),
        (is_c_identifier, &["_a", "A1"], &["", "1a", "a-b"]),
        (is_valid_port_name, &["http", "a-1"], &["", "1", "-a", "a--b", "A", "a234567890123456"]),
        (is_valid_percent, &["0%", "100%"], &["", "%", "1", "-1%"]),
        (is_env_var_name, &["A", "a.b-C_1"], &["", "1a", "a b", "..", ".", "..a"]),
        (is_relaxed_env_var_name, &["1 a"], &["", "a=b", "é"]),
        (is_config_map_key, &["a", ".a", "a..b"], &["", ".", "..", "..a", "a/b"]),
        (is_valid_condition_reason, &["A", "a,b:c_"], &["", "1a", "a,", "a-b"]),
        (is_http_header_name, &["X-A"], &["", "a b"]),
    ];
    for (i, (f, good, bad)) in table.iter().enumerate() {
        for s in *good {
            assert_eq!(f(s), Vec::<String>::new(), "row {i}: {s:?}");
        }
        for s in *bad {
            assert!(!f(s).is_empty(), "row {i}: {s:?} must be refused");
        }
    }
}

#[test]
fn sentences() {
    assert_eq!(
        is_dns1123_label("A"),
        [
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
        ]
    );
    assert_eq!(is_dns1123_label("a.b"), ["must not contain dots"]);
    assert_eq!(
        is_qualified_name("/"),
        [
            "prefix part must be non-empty",
            "name part must be non-empty",
            "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
        ]
    );
    assert_eq!(is_valid_port_num(0), ["must be between 1 and 65535, inclusive"]);
    assert_eq!(mask_trailing_dash("ab-"), "aa");
    assert_eq!(mask_trailing_dash("é-"), "a");
    assert_eq!(mask_trailing_dash("-"), "-");
    assert_eq!(generate("web-", [0; 5]), "web-bbbbb");
    assert_eq!(generate(&"a".repeat(80), [0; 5]).len(), 63);
    assert_eq!(suffix([0, 26, 27, 255, 1]), "b9bhc".replace('h', &suffix([255; 5])[..1]));
}
