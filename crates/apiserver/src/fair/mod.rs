//! Priority and fairness: nobody's flood keeps others out (apiserver `pkg/util/flowcontrol`).
//!
//! Each request is classified by the FlowSchemas, gets a seat of its priority level or waits in a queue for one, for a
//! quarter of the request timeout at most.

pub mod classify;
mod follow;
mod levels;

use crate::request::RequestInfo;
use arc_swap::ArcSwap;
use classify::Schema;
pub use follow::{follow, load};
use levels::{Config, Entry, Levels, Place};
use meta::{UserInfo, Value};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// What a request was classified as.
#[derive(Clone, Debug)]
pub struct Class {
    level: Arc<str>,
    flow: u64,
    /// For the headers of the answer; empty before the configuration is there.
    pub schema_uid: String,
    pub level_uid: String,
}

/// The gate that requests pass.
pub struct Fair {
    schemas: ArcSwap<Vec<Schema>>,
    levels: Mutex<Levels<oneshot::Sender<Seat>>>,
    limited: bool,
    wait: Duration,
}

/// A place among the requests in flight; given back when dropped.
pub struct Seat {
    fair: Arc<Fair>,
    place: Option<Place>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(p) = self.place.take() {
            self.fair.leave(&p);
        }
    }
}

const CATCH_ALL: &str = "catch-all";
const EXEMPT: &str = "exempt";

impl Fair {
    /// `seats` 0: nobody waits. `timeout`: of requests.
    pub fn new(seats: usize, timeout: Duration) -> Arc<Self> {
        let fair = Self {
            schemas: ArcSwap::default(),
            levels: Mutex::new(Levels::new(seats)),
            limited: seats > 0,
            wait: timeout / 4,
        };
        fair.configure(&[], &[]);
        Arc::new(fair)
    }

    fn levels<T>(&self, f: impl FnOnce(&mut Levels<oneshot::Sender<Seat>>) -> T) -> T {
        f(&mut self.levels.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the FlowSchemas and PriorityLevelConfigurations that there are.
    fn configure(&self, schemas: &[Value], levels: &[Value]) {
        use meta::object::ObjectExt;
        let mut configs: Vec<(Arc<str>, Config)> =
            levels.iter().map(|l| (l.name().into(), Config::new(l))).collect();
        for (name, exempt) in [(EXEMPT, true), (CATCH_ALL, false)] {
            if configs.iter().all(|(n, _)| **n != *name) {
                configs.push((name.into(), Config::mandatory(exempt)));
            }
        }
        let known = |s: &Schema| configs.iter().any(|(n, _)| *n == s.level);
        let mut schemas: Vec<Schema> = schemas.iter().map(Schema::new).filter(known).collect();
        classify::sort(&mut schemas);
        self.levels(|l| l.configure(configs));
        self.schemas.store(Arc::new(schemas));
    }

    pub fn classify(&self, info: &RequestInfo, user: &UserInfo) -> Class {
        let schemas = self.schemas.load();
        let (level, flow, schema_uid) = match schemas.iter().find(|s| s.matches(info, user)) {
            Some(s) => (s.level.clone(), s.flow(info, user), s.uid.clone()),
            None if user.in_group(meta::user::SYSTEM_MASTERS) => (EXEMPT.into(), 0, String::new()),
            None => (CATCH_ALL.into(), 0, String::new()),
        };
        let level_uid = self.levels(|l| l.uid(&level).unwrap_or("").to_owned());
        Class { level, flow, schema_uid, level_uid }
    }

    /// Waits for a seat; `None`: there is none, come again later.
    pub async fn enter(self: &Arc<Self>, class: &Class) -> Option<Seat> {
        let seat = |place: Place| Seat { fair: self.clone(), place: Some(place) };
        if !self.limited {
            return Some(Seat { fair: self.clone(), place: None });
        }
        let mut ticket = None;
        let entry = self.levels(|l| {
            let wait = || {
                let (tx, rx) = oneshot::channel();
                ticket = Some(rx);
                tx
            };
            l.enter(&class.level, class.flow, wait, oneshot::Sender::is_closed)
        });
        let rx = match (entry, ticket) {
            (Entry::Seated(p), _) => return Some(seat(p)),
            (Entry::Waiting, Some(rx)) => rx,
            _ => return None,
        };
        // The ticket is dropped here, so that it can be told from those that are still held.
        let waited = tokio::time::timeout(self.wait, rx).await;
        match waited {
            Ok(seat) => seat.ok(),
            Err(_) => {
                self.levels(|l| l.purge(&class.level, "time-out", oneshot::Sender::is_closed));
                None
            }
        }
    }

    fn leave(self: &Arc<Self>, p: &Place) {
        let mut missed = Vec::new();
        self.levels(|l| {
            l.leave(p);
            self.seat_next(l, &mut missed);
        });
        drop(missed);
    }

    /// Wakes all that may sit down now.
    fn seat_next(self: &Arc<Self>, l: &mut Levels<oneshot::Sender<Seat>>, missed: &mut Vec<Seat>) {
        while let Some((place, tx)) = l.next() {
            if let Err(mut seat) = tx.send(Seat { fair: self.clone(), place: Some(place) }) {
                // It went away meanwhile. Its seat must not be given back in its own drop: the lock is held here.
                if let Some(p) = seat.place.take() {
                    l.leave(&p);
                }
                missed.push(seat);
            }
        }
    }

    pub fn metrics(&self, out: &mut String) {
        self.levels(|l| l.metrics(out));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Query;
    use serde_json::json;

    fn pods() -> RequestInfo {
        RequestInfo::new(&http::Method::GET, "/api/v1/pods", &Query::default()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_seat_is_waited_for() {
        let fair = Fair::new(1, Duration::from_secs(60));
        let level = json!({"metadata": {"name": "l", "uid": "lu"}, "spec": {"type": "Limited", "limited": {
            "nominalConcurrencyShares": 100, "limitResponse": {"type": "Queue", "queuing": {"queues": 1, "handSize": 1, "queueLengthLimit": 2}}}}});
        let schema = json!({"metadata": {"name": "s", "uid": "su"}, "spec": {"priorityLevelConfiguration": {"name": "l"}, "rules": [{
            "subjects": [{"kind": "Group", "group": {"name": "*"}}],
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true}]}]}});
        fair.configure(&[schema], &[level]);
        let class = fair.classify(&pods(), &UserInfo::new("u", &[]));
        assert_eq!((class.schema_uid.as_str(), class.level_uid.as_str()), ("su", "lu"));
        let first = fair.enter(&class).await.unwrap();
        // One gives up at once, one gets the seat when it is free.
        drop(futures::FutureExt::now_or_never(fair.enter(&class)));
        let second = fair.enter(&class);
        tokio::pin!(second);
        assert!(futures::poll!(&mut second).is_pending());
        drop(first);
        let second = second.await.unwrap();
        // Nobody frees the seat: a quarter of the timeout.
        let before = tokio::time::Instant::now();
        assert!(fair.enter(&class).await.is_none());
        assert_eq!(before.elapsed().as_secs(), 15);
        drop(second);
        assert!(fair.enter(&class).await.is_some());
    }

    #[tokio::test]
    async fn masters_pass_before_anything_is_configured() {
        let fair = Fair::new(1, Duration::from_secs(60));
        let masters = fair.classify(&pods(), &UserInfo::new("u", &["system:masters"]));
        let other = fair.classify(&pods(), &UserInfo::new("u", &[]));
        let a = fair.enter(&other).await;
        assert!(a.is_some() && fair.enter(&other).await.is_none());
        let b = fair.enter(&masters).await;
        assert!(b.is_some() && fair.enter(&masters).await.is_some());
    }
}
