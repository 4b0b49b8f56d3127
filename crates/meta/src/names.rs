//! Name formats (apimachinery `pkg/util/validation`, `pkg/api/validation`). Each check returns upstream's sentences,
//! none for a good value.

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const LABEL_MSG: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
const SUBDOMAIN: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const SUBDOMAIN_MSG: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
const SUBDOMAIN_UNDERSCORE: &str = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*";
const SUBDOMAIN_UNDERSCORE_MSG: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character";
const LABEL_1035: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const LABEL_1035_MSG: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character";
const QUALIFIED: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const QUALIFIED_MSG: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const LABEL_VALUE_MSG: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const ENV: &str = "[-._a-zA-Z][-._a-zA-Z0-9]*";

/// `must be no more than N characters`.
pub fn max_len_error(n: usize) -> String {
    format!("must be no more than {n} characters")
}
/// The sentence of a failed pattern, with examples and the pattern as upstream prints it.
pub fn regex_error(msg: &str, pattern: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{msg} (regex used for validation is '{pattern}')");
    }
    let shown: Vec<String> = examples.iter().map(|e| format!("'{e}', ")).collect();
    format!("{msg} (e.g. {}regex used for validation is '{pattern}')", shown.join(" or "))
}
/// `must be between LO and HI, inclusive`.
pub fn inclusive_range_error(lo: i64, hi: i64) -> String {
    format!("must be between {lo} and {hi}, inclusive")
}

fn lower_alnum(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}
/// Non-empty, ends in `edge` characters on both sides, `inner` in between.
fn framed(s: &str, edge: fn(u8) -> bool, inner: fn(u8) -> bool) -> bool {
    match s.as_bytes() {
        [] => false,
        [one] => edge(*one),
        [first, mid @ .., last] => edge(*first) && edge(*last) && mid.iter().all(|b| inner(*b)),
    }
}
fn label_ok(s: &str) -> bool {
    framed(s, lower_alnum, |b| lower_alnum(b) || b == b'-')
}
fn subdomain_ok(s: &str) -> bool {
    s.split('.').all(label_ok)
}
fn name_ok(s: &str) -> bool {
    framed(s, |b| b.is_ascii_alphanumeric(), |b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}
fn check(errs: &mut Vec<String>, s: &str, max: usize, ok: bool, sentence: impl Fn() -> String) {
    if s.len() > max {
        errs.push(max_len_error(max));
    }
    if !ok {
        errs.push(sentence());
    }
}

pub fn is_dns1123_label(s: &str) -> Vec<String> {
    let mut e = Vec::new();
    check(&mut e, s, 63, label_ok(s), || {
        if subdomain_ok(s) {
            "must not contain dots".into()
        } else {
            regex_error(LABEL_MSG, LABEL, &["my-name", "123-abc"])
        }
    });
    e
}
pub fn is_dns1123_subdomain(s: &str) -> Vec<String> {
    let mut e = Vec::new();
    check(&mut e, s, 253, subdomain_ok(s), || regex_error(SUBDOMAIN_MSG, SUBDOMAIN, &["example.com"]));
    e
}
/// A subdomain whose labels may begin with and contain `_`.
pub fn is_dns1123_subdomain_with_underscore(s: &str) -> Vec<String> {
    let ok = s.split('.').all(|l| {
        framed(l.strip_prefix('_').unwrap_or(l), lower_alnum, |b| lower_alnum(b) || b"-_".contains(&b))
    });
    let mut e = Vec::new();
    check(&mut e, s, 253, ok, || {
        regex_error(SUBDOMAIN_UNDERSCORE_MSG, SUBDOMAIN_UNDERSCORE, &["example.com"])
    });
    e
}
/// `*.example.com`
pub fn is_wildcard_dns1123_subdomain(s: &str) -> Vec<String> {
    let mut e = Vec::new();
    check(&mut e, s, 253, s.strip_prefix("*.").is_some_and(subdomain_ok), || {
        regex_error(
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
            &format!("\\*\\.{SUBDOMAIN}"),
            &["*.example.com"],
        )
    });
    e
}
pub fn is_dns1035_label(s: &str) -> Vec<String> {
    let ok = label_ok(s) && s.as_bytes()[0].is_ascii_lowercase();
    let mut e = Vec::new();
    check(&mut e, s, 63, ok, || regex_error(LABEL_1035_MSG, LABEL_1035, &["my-name", "abc-123"]));
    e
}
/// `prefix/name` as label and annotation keys have it.
pub fn is_qualified_name(s: &str) -> Vec<String> {
    let bad = || regex_error(QUALIFIED_MSG, QUALIFIED, &["MyName", "my.name", "123-abc"]);
    let mut e = Vec::new();
    let name = match s.split_once('/') {
        None => s,
        Some((_, rest)) if rest.contains('/') => {
            return vec![format!(
                "a valid label key {} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
                bad()
            )];
        }
        Some((prefix, rest)) => {
            if prefix.is_empty() {
                e.push("prefix part must be non-empty".to_owned());
            } else {
                let sentences = is_dns1123_subdomain(prefix);
                e.extend(sentences.into_iter().map(|m| format!("prefix part {}", in_bytes(m))));
            }
            rest
        }
    };
    if name.is_empty() {
        e.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        e.push("name part must be no more than 63 bytes".to_owned());
    }
    if !name_ok(name) {
        e.push(format!("name part {}", bad()));
    }
    e
}
/// Label keys and values count bytes where names count characters.
fn in_bytes(sentence: String) -> String {
    match sentence.strip_suffix(" characters") {
        Some(s) => format!("{s} bytes"),
        None => sentence,
    }
}
/// A qualified name that has a prefix.
pub fn is_prefixed_qualified_name(s: &str) -> Vec<String> {
    let e = is_qualified_name(s);
    if e.is_empty() && !s.contains('/') {
        return vec!["must include a prefix (e.g. 'example.com/key')".to_owned()];
    }
    e
}
pub fn is_label_value(s: &str) -> Vec<String> {
    let mut e = Vec::new();
    check(&mut e, s, 63, s.is_empty() || name_ok(s), || {
        regex_error(LABEL_VALUE_MSG, &format!("({QUALIFIED})?"), &["MyValue", "my_value", "12345"])
    });
    e.into_iter().map(in_bytes).collect()
}
/// RBAC names: no `/`, `%`, `.` or `..`.
pub fn is_path_segment_name(s: &str) -> Vec<String> {
    if s == "." || s == ".." {
        return vec![format!("may not be '{s}'")];
    }
    is_path_segment_prefix(s)
}
/// What [`is_path_segment_name`] asks of a `generateName`.
pub fn is_path_segment_prefix(s: &str) -> Vec<String> {
    ["/", "%"].iter().filter(|c| s.contains(**c)).map(|c| format!("may not contain '{c}'")).collect()
}
/// What a `generateName` is checked as: a dash at its end stands for what will follow (upstream drops the character
/// before the dash as well).
pub fn mask_trailing_dash(s: &str) -> String {
    if s.len() > 1 && s.ends_with('-') {
        let mut cut = s.len() - 2;
        while !s.is_char_boundary(cut) {
            cut -= 1;
        }
        format!("{}a", &s[..cut])
    } else {
        s.to_owned()
    }
}
pub fn is_c_identifier(s: &str) -> Vec<String> {
    let b = s.as_bytes();
    let ok =
        !b.is_empty() && !b[0].is_ascii_digit() && b.iter().all(|c| c.is_ascii_alphanumeric() || *c == b'_');
    if ok {
        return Vec::new();
    }
    vec![regex_error(
        "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'",
        "[A-Za-z_][A-Za-z0-9_]*",
        &["my_name", "MY_NAME", "MyName"],
    )]
}
/// A number in a range, both ends included.
pub fn is_in_range(v: i64, lo: i64, hi: i64) -> Vec<String> {
    if (lo..=hi).contains(&v) { Vec::new() } else { vec![inclusive_range_error(lo, hi)] }
}
pub fn is_valid_port_num(v: i64) -> Vec<String> {
    is_in_range(v, 1, 65535)
}
/// User and group ids: 0 to 2^31-1.
pub fn is_valid_unix_id(v: i64) -> Vec<String> {
    is_in_range(v, 0, i64::from(i32::MAX))
}
/// IANA service names as ports have them.
pub fn is_valid_port_name(s: &str) -> Vec<String> {
    let mut e = Vec::new();
    if s.len() > 15 {
        e.push(max_len_error(15));
    }
    if s.is_empty() || !s.bytes().all(|b| lower_alnum(b) || b == b'-') {
        e.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !s.bytes().any(|b| b.is_ascii_lowercase()) {
        e.push("must contain at least one letter (a-z)".to_owned());
    }
    if s.contains("--") {
        e.push("must not contain consecutive hyphens".to_owned());
    }
    if s.starts_with('-') || s.ends_with('-') {
        e.push("must not begin or end with a hyphen".to_owned());
    }
    e
}
/// `25%`
pub fn is_valid_percent(s: &str) -> Vec<String> {
    if s.strip_suffix('%').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())) {
        return Vec::new();
    }
    vec![regex_error(
        "a valid percent string must be a numeric string followed by an ending '%'",
        "[0-9]+%",
        &["1%", "93%"],
    )]
}
pub fn is_http_header_name(s: &str) -> Vec<String> {
    if !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Vec::new();
    }
    vec![regex_error(
        "a valid HTTP header must consist of alphanumeric characters or '-'",
        "[-A-Za-z0-9]+",
        &["X-Header-Name"],
    )]
}
fn no_parent_directory(s: &str, e: &mut Vec<String>) {
    match s {
        "." => e.push("must not be '.'".to_owned()),
        ".." => e.push("must not be '..'".to_owned()),
        _ if s.starts_with("..") => e.push("must not start with '..'".to_owned()),
        _ => {}
    }
}
pub fn is_env_var_name(s: &str) -> Vec<String> {
    let mut e = Vec::new();
    let ok = !s.is_empty()
        && !s.as_bytes()[0].is_ascii_digit()
        && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    if !ok {
        e.push(regex_error(
            "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not start with a digit",
            ENV,
            &["my.env-name", "MY_ENV.NAME", "MyEnvName1"],
        ));
    }
    no_parent_directory(s, &mut e);
    e
}
/// Any printable ASCII but `=` (RelaxedEnvironmentVariableValidation, on by default).
pub fn is_relaxed_env_var_name(s: &str) -> Vec<String> {
    let mut e = Vec::new();
    if s.is_empty() {
        e.push("environment variable name must be non-empty".to_owned());
    }
    if s.bytes().any(|b| !(0x20..0x7f).contains(&b) || b == b'=') {
        e.push(
            "a valid environment variable name must consist only of printable ASCII characters other than '='"
                .to_owned(),
        );
    }
    e
}
/// Keys of ConfigMaps and Secrets.
pub fn is_config_map_key(s: &str) -> Vec<String> {
    let mut e = Vec::new();
    let ok = !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    check(&mut e, s, 253, ok, || {
        regex_error(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        )
    });
    no_parent_directory(s, &mut e);
    e
}
/// Reasons of conditions.
pub fn is_valid_condition_reason(s: &str) -> Vec<String> {
    let b = s.as_bytes();
    let ok = !b.is_empty()
        && b[0].is_ascii_alphabetic()
        && (b[b.len() - 1].is_ascii_alphanumeric() || b[b.len() - 1] == b'_')
        && b.iter().all(|c| c.is_ascii_alphanumeric() || b"_,:".contains(c));
    if ok {
        return Vec::new();
    }
    vec![regex_error(
        "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'",
        "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?",
        &["my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB"],
    )]
}
/// Five characters of upstream's safe alphabet, from `seed` bytes.
pub fn suffix(seed: [u8; 5]) -> String {
    const A: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    seed.iter().map(|b| A[usize::from(*b) % A.len()] as char).collect()
}
/// The name for a `generateName`: the base, cut to 58 bytes, and a suffix (apiserver `pkg/storage/names`).
pub fn generate(base: &str, seed: [u8; 5]) -> String {
    let mut end = base.len().min(58);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{}", &base[..end], suffix(seed))
}

#[cfg(test)]
mod tests;
