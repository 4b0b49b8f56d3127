//! The form of kinds that have none of their own: their fields, with names as words.

use super::Of;
use super::out::{Out, l};
use crate::error::Error;
use crate::print;
use serde_json::Value;

pub async fn describe(of: &Of<'_>, o: &mut Out) -> Result<(), Error> {
    l!(o, 0, "Name:\t{}", of.text("/metadata/name"));
    l!(o, 0, "Namespace:\t{}", of.namespace());
    o.notes(of.v);
    fields(of.v, 0, "", o);
    of.events(o).await;
    Ok(())
}

const SKIP: &[&str] = &[
    ".metadata.managedFields",
    ".metadata.name",
    ".metadata.namespace",
    ".metadata.labels",
    ".metadata.annotations",
];

fn fields(v: &Value, level: usize, at: &str, o: &mut Out) {
    for (k, v) in v.as_object().into_iter().flatten() {
        let here = format!("{at}.{k}");
        if SKIP.contains(&here.as_str()) {
            continue;
        }
        match v {
            Value::Object(_) => {
                l!(o, level, "{}:", title(k));
                fields(v, level + 1, &here, o);
            }
            Value::Array(a) => {
                l!(o, level, "{}:", title(k));
                for i in a {
                    if i.is_object() {
                        fields(i, level + 1, &here, o);
                    } else {
                        l!(o, level + 1, "{}", print::go(i));
                    }
                }
            }
            v => l!(o, level, "{}:\t{}", title(k), print::go(v)),
        }
    }
}

/// A field's name as words: `someField` is `Some Field`.
fn title(field: &str) -> String {
    if field.chars().any(|c| !c.is_alphabetic() && c != '-') {
        return field.to_owned();
    }
    let parts = split(field);
    let mut merged: Vec<String> = Vec::new();
    let mut i = 0;
    while i < parts.len() {
        let p = &parts[i];
        let shouts = p.chars().count() >= 2 && p.chars().all(|c| !c.is_alphabetic() || c.is_uppercase());
        match parts.get(i + 1) {
            Some(n) if shouts && n.starts_with(char::is_uppercase) => {
                merged.push(format!("{p}{n}"));
                i += 2;
            }
            _ => {
                merged.push(p.clone());
                i += 1;
            }
        }
    }
    let word = |p: String| {
        let upper = p.to_uppercase();
        if ["API", "URL", "UID", "GUID"].contains(&upper.as_str()) {
            upper
        } else if p.to_lowercase() == p {
            let mut c = p.chars();
            c.next().map(|f| f.to_uppercase().chain(c).collect()).unwrap_or_default()
        } else {
            p
        }
    };
    merged.into_iter().map(word).collect::<Vec<_>>().join(" ")
}

/// Runs of letters of one case; the last capital before small letters goes with them.
fn split(s: &str) -> Vec<String> {
    let class = |c: char| {
        if c.is_lowercase() {
            1
        } else if c.is_uppercase() {
            2
        } else {
            4
        }
    };
    let mut runs: Vec<(i32, String)> = Vec::new();
    for c in s.chars() {
        match runs.last_mut() {
            Some((k, r)) if *k == class(c) => r.push(c),
            _ => runs.push((class(c), c.to_string())),
        }
    }
    for i in 0..runs.len().saturating_sub(1) {
        if runs[i].0 == 2
            && runs[i + 1].0 == 1
            && let Some(c) = runs[i].1.pop()
        {
            runs[i + 1].1.insert(0, c);
        }
    }
    runs.into_iter().map(|(_, r)| r).filter(|r| !r.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles() {
        for (f, want) in [
            ("apiVersion", "API Version"),
            ("someField", "Some Field"),
            ("uid", "UID"),
            ("hostIP", "Host IP"),
            ("podIPs", "Pod I Ps"),
            ("IPAddress", "IPAddress"),
            ("x-y", "X - Y"),
            ("a.b", "a.b"),
            ("field1", "field1"),
        ] {
            assert_eq!(title(f), want, "{f}");
        }
    }
}
