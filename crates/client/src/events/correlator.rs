//! What becomes of an event: written, counted with one before, combined with similar ones, or dropped as spam
//! (client-go `tools/record/events_cache.go`, with its numbers).

use k8s_openapi::api::core::v1::Event;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};

const CACHE: usize = 4096;
/// After this many different messages of one reason, within the interval, they are combined.
const SIMILAR: usize = 10;
const INTERVAL: i64 = 600;
/// Events of one source about one object: at once, and seconds for each one more.
const BURST: f64 = 25.0;
const REFILL: f64 = 300.0;

pub enum Verdict {
    Drop,
    Create(Box<Event>),
    Patch { event: Box<Event>, patch: Value },
}

#[derive(Default)]
pub struct Correlator {
    spam: Lru<Bucket>,
    similar: Lru<Similar>,
    seen: Lru<Seen>,
}

struct Bucket {
    tokens: f64,
    at: i64,
}
#[derive(Default)]
struct Similar {
    messages: BTreeSet<String>,
    at: i64,
}
#[derive(Clone, Default)]
struct Seen {
    name: String,
    count: i32,
    first: Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>,
}

/// A map of bounded size that forgets what was used longest ago.
struct Lru<V> {
    map: HashMap<String, (V, u64)>,
    order: BTreeMap<u64, String>,
    tick: u64,
}

impl<V> Default for Lru<V> {
    fn default() -> Self {
        Self { map: HashMap::new(), order: BTreeMap::new(), tick: 0 }
    }
}

impl<V> Lru<V> {
    fn entry(&mut self, key: &str, new: impl FnOnce() -> V) -> &mut V {
        self.tick += 1;
        if let Some((_, old)) = self.map.get(key) {
            self.order.remove(old);
        } else if self.map.len() >= CACHE
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.map.remove(&oldest);
        }
        self.order.insert(self.tick, key.to_owned());
        let e = self.map.entry(key.to_owned()).or_insert_with(|| (new(), 0));
        e.1 = self.tick;
        &mut e.0
    }
}

fn text(s: &Option<String>) -> &str {
    s.as_deref().unwrap_or_default()
}

fn source_and_object(e: &Event) -> String {
    let s = e.source.clone().unwrap_or_default();
    let o = &e.involved_object;
    [&s.component, &s.host, &o.kind, &o.namespace, &o.name, &o.uid, &o.api_version].map(text).join("\u{1}")
}

impl Correlator {
    /// Judges an event; answers the key to tell [`Correlator::written`].
    pub fn judge(&mut self, mut e: Event, now: i64) -> (String, Verdict) {
        let about = source_and_object(&e);
        let group = [&about, text(&e.type_), text(&e.reason), text(&e.reporting_component)].join("\u{1}");
        let message = text(&e.message).to_owned();
        let mut key = [&group, text(&e.involved_object.field_path), &message].join("\u{1}");

        let similar = self.similar.entry(&group, Similar::default);
        if now - similar.at > INTERVAL {
            similar.messages.clear();
        }
        similar.at = now;
        similar.messages.insert(message.clone());
        if similar.messages.len() >= SIMILAR {
            similar.messages.pop_first();
            e.message = Some(format!("(combined from similar events): {message}"));
            key = group;
        }

        let bucket = self.spam.entry(&about, || Bucket { tokens: BURST, at: now });
        bucket.tokens = (bucket.tokens + (now - bucket.at).max(0) as f64 / REFILL).min(BURST);
        bucket.at = now;
        let spam = bucket.tokens < 1.0;
        if !spam {
            bucket.tokens -= 1.0;
        }

        let seen = self.seen.entry(&key, Seen::default);
        if seen.count > 0 {
            e.metadata.name = Some(seen.name.clone());
            e.first_timestamp = seen.first.clone();
            e.count = Some(seen.count.saturating_add(1));
        }
        *seen = Seen {
            name: text(&e.metadata.name).to_owned(),
            count: e.count.unwrap_or(1),
            first: e.first_timestamp.clone(),
        };
        let verdict = if spam {
            Verdict::Drop
        } else if e.count > Some(1) {
            let patch = json!({ "count": e.count, "lastTimestamp": e.last_timestamp, "message": e.message });
            Verdict::Patch { event: Box::new(e), patch }
        } else {
            Verdict::Create(Box::new(e))
        };
        (key, verdict)
    }

    /// The server's answer, so that the next one of this kind is counted on it.
    pub fn written(&mut self, key: &str, e: &Event) {
        let seen = self.seen.entry(key, Seen::default);
        *seen = Seen {
            name: text(&e.metadata.name).to_owned(),
            count: e.count.unwrap_or(1),
            first: e.first_timestamp.clone(),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(reason: &str, message: &str) -> Event {
        Event {
            reason: Some(reason.into()),
            message: Some(message.into()),
            count: Some(1),
            ..Event::default()
        }
    }
    fn show(v: &Verdict) -> String {
        match v {
            Verdict::Drop => "drop".into(),
            Verdict::Create(e) => format!("create {}", text(&e.message)),
            Verdict::Patch { event, .. } => {
                format!("count {} {}", event.count.unwrap_or(0), text(&event.message))
            }
        }
    }

    #[test]
    fn same_similar_and_too_many() {
        let mut c = Correlator::default();
        let mut run = |reason: &str, message: &str, at| show(&c.judge(event(reason, message), at).1);
        assert_eq!(run("R", "same", 0), "create same");
        assert_eq!(run("R", "same", 1), "count 2 same");
        for i in 0..8 {
            assert_eq!(run("R", &format!("m{i}"), 2), format!("create m{i}"));
        }
        assert_eq!(run("R", "m8", 3), "create (combined from similar events): m8");
        assert_eq!(run("R", "m9", 3), "count 2 (combined from similar events): m9");
        assert_eq!(run("R", "m10", 700), "create m10", "the interval is over");
        let sent = (0..40).filter(|i| run("S", &i.to_string(), 701) != "drop").count();
        assert_eq!(sent, 25 - 13 + 2, "25 at once and one for each five minutes");
    }

    #[test]
    fn memory_is_bounded() {
        let mut l: Lru<()> = Lru::default();
        for i in 0..3 * CACHE {
            l.entry(&i.to_string(), || ());
        }
        assert_eq!((l.map.len(), l.order.len()), (CACHE, CACHE));
        assert!(l.map.contains_key(&(3 * CACHE - 1).to_string()));
    }
}
