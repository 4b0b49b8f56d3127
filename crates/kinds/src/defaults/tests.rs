//! Defaulting, kind by kind: the object before and after.

use super::default_object;
use expect_test::{Expect, expect};
use meta::Value;
use meta::time::Timestamp;
use serde_json::json;

fn check(group: &str, version: &str, kind: &str, mut obj: Value, want: Expect) {
    let now = Timestamp { seconds: 1_700_000_000, nanos: 5 };
    default_object(group, version, kind, &mut obj, now);
    want.assert_eq(&obj.to_string());
}

#[test]
fn table_names_types_of_the_facts() {
    for (name, _) in super::LISTS.iter().copied().flatten() {
        assert!(schema::facts::type_named(name).is_some(), "{name}");
    }
    for (name, _) in super::VALUES {
        assert!(schema::facts::type_named(name).is_some(), "{name}");
    }
}
