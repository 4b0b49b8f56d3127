//! The queues of a level: who waits, who is refused, who goes next.

use super::*;
use serde_json::json;

fn limited(shares: i64, more: Value) -> Config {
    let mut l = json!({"nominalConcurrencyShares": shares, "lendablePercent": 0, "limitResponse": {"type": "Reject"}});
    l.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Config::new(&json!({"metadata": {"uid": "u"}, "spec": {"type": "Limited", "limited": l}}))
}

fn queued(shares: i64, queues: i64, hand: i64, length: i64) -> Config {
    let q = json!({"queues": queues, "handSize": hand, "queueLengthLimit": length});
    limited(shares, json!({"limitResponse": {"type": "Queue", "queuing": q}}))
}

struct T(Levels<&'static str>);

impl T {
    fn new(total: usize, levels: Vec<(&str, Config)>) -> Self {
        let mut l = Levels::new(total);
        l.configure(levels.into_iter().map(|(n, c)| (n.into(), c)).collect());
        Self(l)
    }
    /// `+` seated, `.` waiting, or the reason of a refusal.
    fn enter(&mut self, level: &str, flow: u64, who: &'static str) -> &'static str {
        match self.0.enter(&level.into(), flow, || who, |w| w.starts_with("gone")) {
            Entry::Seated(_) => "+",
            Entry::Waiting => ".",
            Entry::Refused(why) => why.as_str(),
        }
    }
    fn leave(&mut self, level: &str) -> String {
        self.0.leave(&Place { level: level.into(), queue: None });
        let mut out = Vec::new();
        while let Some((p, w)) = self.0.next() {
            out.push(format!("{}:{w}", p.level));
        }
        out.join(" ")
    }
}

#[test]
fn shares_and_refusals() {
    // 10 seats: 4 for a, 6 for b.
    let mut t = T::new(10, vec![("a", limited(2, json!({}))), ("b", limited(3, json!({})))]);
    let got: String = (0..5).map(|_| t.enter("a", 0, "w")).collect::<Vec<_>>().join(" ");
    // The fifth uses a seat of b's that is free; what b keeps it still gets.
    assert_eq!(got, "+ + + + +");
    assert_eq!(
        (0..7).map(|_| t.enter("b", 0, "w")).collect::<Vec<_>>().join(" "),
        "+ + + + + + concurrency-limit"
    );
    // Nothing may be borrowed now.
    assert_eq!(t.enter("a", 0, "w"), "concurrency-limit");
    let limited_borrower = limited(2, json!({"borrowingLimitPercent": 0}));
    let mut t = T::new(10, vec![("a", limited_borrower), ("b", limited(3, json!({})))]);
    assert_eq!(
        (0..5).map(|_| t.enter("a", 0, "w")).collect::<Vec<_>>().join(" "),
        "+ + + + concurrency-limit"
    );
}

#[test]
fn the_exempt_pass() {
    let exempt = Config::new(&json!({"spec": {"type": "Exempt"}}));
    let mut t = T::new(1, vec![("e", exempt), ("b", limited(1, json!({})))]);
    assert_eq!(t.enter("b", 0, "w"), "+");
    assert_eq!((0..50).filter(|_| t.enter("e", 0, "w") == "+").count(), 50);
    assert_eq!(t.enter("b", 0, "w"), "concurrency-limit");
}

#[test]
fn flows_take_turns() {
    let mut t = T::new(1, vec![("a", queued(1, 8, 1, 10))]);
    assert_eq!(t.enter("a", 0, "first"), "+");
    // Flow 1 floods, flow 2 has one request.
    for w in ["one", "one", "one", "one"] {
        assert_eq!(t.enter("a", 1, w), ".");
    }
    assert_eq!(t.enter("a", 2, "two"), ".");
    let order: Vec<String> = (0..6).map(|_| t.leave("a")).collect();
    assert_eq!(order, ["a:one", "a:two", "a:one", "a:one", "a:one", ""]);
}

#[test]
fn queues_have_an_end() {
    let mut t = T::new(1, vec![("a", queued(1, 1, 1, 2))]);
    let got: Vec<_> = ["x", "gone 1", "y", "z"].map(|w| t.enter("a", 0, w)).to_vec();
    // The third takes the place of one that nobody waits for any more.
    assert_eq!(got, ["+", ".", ".", "."]);
    assert_eq!(t.enter("a", 0, "q"), "queue-full");
    let mut out = String::new();
    t.0.metrics(&mut out);
    assert!(
        out.contains(
            "apiserver_flowcontrol_rejected_requests_total{priority_level=\"a\",reason=\"queue-full\"} 1\n"
        ),
        "{out}"
    );
    assert!(
        out.contains("apiserver_flowcontrol_current_inqueue_requests{priority_level=\"a\"} 2\n"),
        "{out}"
    );
    t.0.purge("a", "time-out", |w| *w == "y");
    assert_eq!(t.leave("a"), "a:z");
}

#[test]
fn the_poorer_level_comes_first() {
    let mut t = T::new(4, vec![("a", queued(1, 1, 1, 9)), ("b", queued(1, 1, 1, 9))]);
    for _ in 0..4 {
        assert_eq!(t.enter("a", 0, "a"), "+");
    }
    // Two of a's are borrowed, but b's own seats are its own.
    assert_eq!(
        [t.enter("b", 0, "b"), t.enter("b", 0, "b"), t.enter("b", 0, "b"), t.enter("a", 0, "a")],
        ["+", "+", ".", "."]
    );
    assert_eq!([t.leave("a"), t.leave("a"), t.leave("b")], ["", "", "b:b"]);
}

#[test]
fn a_new_configuration_keeps_who_waits() {
    let mut t = T::new(1, vec![("a", queued(1, 4, 1, 9))]);
    for (i, w) in ["x", "y", "z"].into_iter().enumerate() {
        t.enter("a", i as u64, w);
    }
    t.0.configure(vec![("a".into(), limited(1, json!({})))]);
    assert_eq!(t.enter("a", 0, "q"), "concurrency-limit");
    t.0.configure(vec![("b".into(), limited(1, json!({})))]);
    assert_eq!([t.leave("a"), t.leave("a")], ["a:y", "a:z"]);
}

#[test]
fn hands() {
    for flow in [0, 1, 12345, u64::MAX] {
        let mut h = hand(flow, 64, 6);
        h.sort_unstable();
        h.dedup();
        assert_eq!(h.len(), 6, "{flow}");
        assert!(h.iter().all(|c| *c < 64));
    }
    // apiserver pkg/util/shufflesharding: 0 deals the first cards in order.
    assert_eq!(hand(0, 8, 3), [0, 1, 2]);
}
