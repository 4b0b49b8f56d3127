//! Times and ages.

use super::*;

#[test]
fn times() {
    for (text, want) in [
        ("2026-01-02T15:04:05Z", "2026-01-02T15:04:05Z"),
        ("2026-01-02T15:04:05.999Z", "2026-01-02T15:04:05Z"),
        ("2026-01-02T15:04:05+02:00", "2026-01-02T13:04:05Z"),
        ("2024-02-29T00:00:00-00:30", "2024-02-29T00:30:00Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
        ("1969-12-31T23:59:59Z", "1969-12-31T23:59:59Z"),
    ] {
        assert_eq!(Timestamp::parse_time(text).map(|t| t.rfc3339()).as_deref(), Ok(want));
    }
    let micro = Timestamp::parse_micro("2026-01-02T15:04:05.000120Z").unwrap();
    assert_eq!(micro.rfc3339_micro(), "2026-01-02T15:04:05.000120Z");
    assert!(Timestamp::parse("0001-01-01T00:00:00Z").unwrap().is_go_zero());
    let t = Timestamp { seconds: 1, nanos: 900_000_000 };
    assert_eq!(t.plus_millis(200), Timestamp { seconds: 2, nanos: 100_000_000 });
    assert_eq!(t.plus_millis(-1900), Timestamp { seconds: 0, nanos: 0 });
    assert_eq!(weekday(0), 4);
}

#[test]
fn errors_are_those_of_go() {
    for (text, want) in [
        ("x", r#"parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006""#),
        ("2026-13-01T00:00:00Z", r#"parsing time "2026-13-01T00:00:00Z": month out of range"#),
        ("2026-02-30T00:00:00Z", r#"parsing time "2026-02-30T00:00:00Z": day out of range"#),
        ("2026-01-02", r#"parsing time "2026-01-02" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T""#),
        ("2026-01-02T00:00:00Zx", r#"parsing time "2026-01-02T00:00:00Zx": extra text: "x""#),
    ] {
        assert_eq!(Timestamp::parse_time(text), Err(want.to_owned()));
    }
    assert_eq!(
        Timestamp::parse_micro("2026-01-02T00:00:00Z").unwrap_err(),
        r#"parsing time "2026-01-02T00:00:00Z" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "Z" as ".000000""#
    );
}

#[test]
fn ages() {
    let h = 3600;
    for (s, want) in [
        (-2, "<invalid>"),
        (-1, "0s"),
        (119, "119s"),
        (120, "2m"),
        (190, "3m10s"),
        (600, "10m"),
        (3 * h, "3h"),
        (3 * h + 60, "3h1m"),
        (8 * h + 60, "8h"),
        (49 * h, "2d1h"),
        (48 * h, "2d"),
        (200 * h, "8d"),
        (24 * h * 365 * 2, "2y"),
        (24 * h * 366 * 3, "3y3d"),
        (24 * h * 365 * 9, "9y"),
    ] {
        assert_eq!(human_duration(s), want, "{s}");
    }
    assert_eq!(short_human_duration(3 * 86_400), "3d");
}

#[test]
fn go_durations() {
    let second = 1_000_000_000;
    for (text, want) in [
        ("0", 0),
        ("10s", 10 * second),
        ("-1.5s", -3 * second / 2),
        ("1h30m", 5400 * second),
        ("100ms", second / 10),
        (".5s", second / 2),
        ("1.0000000001s", second),
    ] {
        assert_eq!(parse_duration(text), Ok(want), "{text}");
    }
    for (text, want) in [
        ("", "time: invalid duration \"\""),
        ("10", "time: missing unit in duration \"10\""),
        ("1x", "time: unknown unit \"x\" in duration \"1x\""),
        (".s", "time: invalid duration \".s\""),
        ("9999999999999h", "time: invalid duration \"9999999999999h\""),
    ] {
        assert_eq!(parse_duration(text), Err(want.to_owned()), "{text}");
    }
}
