//! What schedules mean, compared with upstream's parser by `examples/answer.rs` and its oracle as well.

use super::{Schedule, Zone};
use expect_test::{Expect, expect};
use meta::time::Timestamp;

/// The next four times, as the clocks of the zone show them and with their offset.
fn next(spec: &str, zone: &str, after: &str) -> String {
    let schedule = match Schedule::parse(spec) {
        Ok(s) => s,
        Err(e) => return e,
    };
    let zone = Zone::named(zone).expect("a zone");
    let mut at = Timestamp::parse(after).expect("a time");
    let mut out = Vec::new();
    for _ in 0..4 {
        let Some(n) = schedule.next(at, &zone) else {
            out.push("never".to_owned());
            break;
        };
        let offset = zone.offset(n.seconds);
        let local = n.plus_seconds(offset).rfc3339();
        out.push(format!("{}{:+}", local.trim_end_matches('Z'), offset / 3600));
        at = n;
    }
    out.join("\n")
}

fn check(spec: &str, want: Expect) {
    want.assert_eq(&next(spec, "UTC", "2024-02-28T23:58:30Z"));
}

#[test]
fn fields() {
    check(
        "* * * * *",
        expect![[r#"
        2024-02-28T23:59:00+0
        2024-02-29T00:00:00+0
        2024-02-29T00:01:00+0
        2024-02-29T00:02:00+0"#]],
    );
    check(
        "*/20 9-10 * * mon-FRI",
        expect![[r#"
        2024-02-29T09:00:00+0
        2024-02-29T09:20:00+0
        2024-02-29T09:40:00+0
        2024-02-29T10:00:00+0"#]],
    );
    // With both days given, either will do; with a star in one, both have to.
    check(
        "0 0 13 * 5",
        expect![[r#"
        2024-03-01T00:00:00+0
        2024-03-08T00:00:00+0
        2024-03-13T00:00:00+0
        2024-03-15T00:00:00+0"#]],
    );
    check(
        "0 0 */2 * 5",
        expect![[r#"
        2024-02-29T00:00:00+0
        2024-03-01T00:00:00+0
        2024-03-03T00:00:00+0
        2024-03-05T00:00:00+0"#]],
    );
    check(
        "0 0 29 2 *",
        expect![[r#"
        2024-02-29T00:00:00+0
        2028-02-29T00:00:00+0
        2032-02-29T00:00:00+0
        2036-02-29T00:00:00+0"#]],
    );
    check("0 0 30 2 *", expect!["never"]);
    check(",,, 0 1 1 *", expect!["never"]);
}

#[test]
fn descriptors() {
    check(
        "@yearly",
        expect![[r#"
        2025-01-01T00:00:00+0
        2026-01-01T00:00:00+0
        2027-01-01T00:00:00+0
        2028-01-01T00:00:00+0"#]],
    );
    check(
        "@every 1h30m",
        expect![[r#"
        2024-02-29T01:28:30+0
        2024-02-29T02:58:30+0
        2024-02-29T04:28:30+0
        2024-02-29T05:58:30+0"#]],
    );
    check(
        "@every 10ms",
        expect![[r#"
        2024-02-28T23:58:31+0
        2024-02-28T23:58:32+0
        2024-02-28T23:58:33+0
        2024-02-28T23:58:34+0"#]],
    );
}

#[test]
fn clock_changes() {
    let check = |spec: &str, after: &str, want: Expect| want.assert_eq(&next(spec, "Europe/Berlin", after));
    // An hour that does not exist is skipped.
    check(
        "30 2 * * *",
        "2024-03-30T00:00:00Z",
        expect![[r#"
        2024-03-30T02:30:00+1
        2024-04-01T02:30:00+2
        2024-04-02T02:30:00+2
        2024-04-03T02:30:00+2"#]],
    );
    // An hour that comes twice counts twice.
    check(
        "30 2 27 10 *",
        "2024-10-26T00:00:00Z",
        expect![[r#"
        2024-10-27T02:30:00+2
        2024-10-27T02:30:00+1
        2025-10-27T02:30:00+1
        2026-10-27T02:30:00+1"#]],
    );
    // A schedule's own zone wins.
    check(
        "TZ=America/New_York 0 0 * * *",
        "2024-06-01T00:00:00Z",
        expect![[r#"
        2024-06-01T06:00:00+2
        2024-06-02T06:00:00+2
        2024-06-03T06:00:00+2
        2024-06-04T06:00:00+2"#]],
    );
}

#[test]
fn errors() {
    for (spec, want) in [
        ("", expect!["empty spec string"]),
        ("* * * *", expect!["expected exactly 5 fields, found 4: [* * * *]"]),
        ("60 * * * *", expect!["end of range (60) above maximum (59): 60"]),
        ("* * 0 * *", expect!["beginning of range (0) below minimum (1): 0"]),
        ("* 5-3 * * *", expect!["beginning of range (5) beyond end of range (3): 5-3"]),
        ("*/0 * * * *", expect!["step of range should be a positive number: */0"]),
        ("1-2-3 * * * *", expect!["too many hyphens: 1-2-3"]),
        ("1/2/3 * * * *", expect!["too many slashes: 1/2/3"]),
        ("x * * * *", expect![[r#"failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax"#]]),
        ("@often", expect!["unrecognized descriptor: @often"]),
        ("@every 5", expect![[r#"failed to parse duration @every 5: time: missing unit in duration "5""#]]),
        (
            "TZ=Nowhere/City * * * * *",
            expect!["provided bad location Nowhere/City: unknown time zone Nowhere/City"],
        ),
        ("TZ=UTC", expect!["invalid schedule format: runtime error: slice bounds out of range [:-1]"]),
    ] {
        want.assert_eq(&Schedule::parse(spec).expect_err(spec));
    }
    assert!(Zone::named("europe/berlin").is_err(), "names are case-sensitive");
}
