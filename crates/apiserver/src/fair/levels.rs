//! Priority levels: seats, queues, and whose turn it is. A state machine without clock or tasks; what waits is a value
//! that the caller wakes.
//!
//! Each limited level has its share of the server's seats. The lendable part of it is used by whoever needs it while its
//! owner does not; the rest is kept free for the owner. Within a level each flow may use a hand of queues (shuffle
//! sharding), and queues take turns by how much they were served.

use meta::Value;
use meta::object::ObjectExt;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What a PriorityLevelConfiguration says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub uid: String,
    pub exempt: bool,
    pub shares: i64,
    lendable_percent: i64,
    borrowing_percent: Option<i64>,
    /// Queues, hand size, length of a queue; none: what finds no seat is turned away.
    queuing: Option<(usize, usize, usize)>,
}

impl Config {
    pub fn new(v: &Value) -> Self {
        let exempt = v.str_at("spec.type") == "Exempt";
        let at = |p: &str| v.i64_at(&format!("spec.{}.{p}", if exempt { "exempt" } else { "limited" }));
        let n = |p: &str, default: i64| {
            let n = v.i64_at(&format!("spec.limited.limitResponse.queuing.{p}")).unwrap_or(default);
            usize::try_from(n.max(1)).unwrap_or(1)
        };
        let queues = v.str_at("spec.limited.limitResponse.type") == "Queue";
        Self {
            uid: v.uid().to_owned(),
            exempt,
            shares: at("nominalConcurrencyShares").unwrap_or(if exempt { 0 } else { 30 }).max(0),
            lendable_percent: at("lendablePercent").unwrap_or(0).clamp(0, 100),
            borrowing_percent: at("borrowingLimitPercent"),
            queuing: queues.then(|| (n("queues", 64), n("handSize", 8).min(15), n("queueLengthLimit", 50))),
        }
    }
    /// Before any configuration was read.
    pub fn mandatory(exempt: bool) -> Self {
        Self {
            uid: String::new(),
            exempt,
            shares: i64::from(!exempt),
            lendable_percent: 0,
            borrowing_percent: None,
            queuing: None,
        }
    }
}

/// Why a request was turned away, in upstream's words for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// No seat, and the level does not queue.
    Seats,
    Queue,
}

impl Full {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Seats => "concurrency-limit",
            Self::Queue => "queue-full",
        }
    }
}

/// What became of a request that came in.
#[derive(Debug, PartialEq, Eq)]
pub enum Entry {
    Seated(Place),
    Waiting,
    Refused(Full),
}

/// Where a request sits, to be given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub level: Arc<str>,
    queue: Option<usize>,
}

struct Queue<W> {
    waiting: VecDeque<W>,
    executing: usize,
    /// How much it was served, on the level's virtual clock.
    served: u64,
}

impl<W> Queue<W> {
    fn new() -> Self {
        Self { waiting: VecDeque::new(), executing: 0, served: 0 }
    }
}

struct Level<W> {
    config: Config,
    nominal: usize,
    /// Seats that nobody else may use.
    kept: usize,
    most: usize,
    queues: Vec<Queue<W>>,
    now: u64,
    executing: usize,
    waiting: usize,
    dispatched: u64,
    refused: BTreeMap<&'static str, u64>,
}

/// All levels. `W` is something that waits.
pub struct Levels<W> {
    total: usize,
    /// Seats taken by limited levels.
    executing: usize,
    levels: BTreeMap<Arc<str>, Level<W>>,
}

/// Cuts a hand of `size` cards out of `deck` (apiserver `pkg/util/shufflesharding`).
fn hand(mut flow: u64, deck: usize, size: usize) -> Vec<usize> {
    let size = size.min(deck);
    let mut rest = Vec::with_capacity(size);
    for i in 0..size {
        let d = (deck - i) as u64;
        rest.push((flow % d) as usize);
        flow /= d;
    }
    (0..size)
        .map(|i| {
            let mut card = rest[i];
            for j in (0..i).rev() {
                if card >= rest[j] {
                    card += 1;
                }
            }
            card
        })
        .collect()
}

impl<W> Levels<W> {
    pub fn new(total: usize) -> Self {
        Self { total, executing: 0, levels: BTreeMap::new() }
    }

    /// Takes a new configuration. Requests that sit or wait go on under it; levels that are gone stay until they are
    /// empty.
    pub fn configure(&mut self, configs: Vec<(Arc<str>, Config)>) {
        let sum: i64 = configs.iter().map(|(_, c)| c.shares).sum::<i64>().max(1);
        let total = i64::try_from(self.total).unwrap_or(i64::MAX);
        self.levels.retain(|n, l| l.executing + l.waiting > 0 || configs.iter().any(|(c, _)| c == n));
        for (name, config) in configs {
            let up = |a: i64, b: i64| usize::try_from((a.saturating_mul(b) + sum - 1) / sum).unwrap_or(0);
            let nominal = up(total, config.shares);
            let part = |p: i64| (nominal as i64).saturating_mul(p).saturating_add(50) / 100;
            let kept = nominal.saturating_sub(usize::try_from(part(config.lendable_percent)).unwrap_or(0));
            let most = config
                .borrowing_percent
                .map_or(self.total.max(nominal), |p| nominal + usize::try_from(part(p.max(0))).unwrap_or(0));
            let level = self.levels.entry(name).or_insert_with(|| Level {
                config: config.clone(),
                nominal,
                kept,
                most,
                queues: Vec::new(),
                now: 0,
                executing: 0,
                waiting: 0,
                dispatched: 0,
                refused: BTreeMap::new(),
            });
            (level.nominal, level.kept, level.most) = (nominal, kept, most);
            let queues = config.queuing.map_or(0, |q| q.0);
            // A level that does not queue any more lets those go on waiting that do.
            let queues = if level.waiting > 0 { queues.max(1) } else { queues };
            if level.queues.len() != queues {
                let old: Vec<Queue<W>> = std::mem::take(&mut level.queues);
                level.queues = (0..queues).map(|_| Queue::new()).collect();
                for (i, w) in old.into_iter().flat_map(|q| q.waiting).enumerate() {
                    level.queues[i % queues].waiting.push_back(w);
                }
            }
            level.config = config;
        }
    }

    pub fn uid(&self, level: &str) -> Option<&str> {
        self.levels.get(level).map(|l| l.config.uid.as_str())
    }

    fn may_start(&self, l: &Level<W>) -> bool {
        l.config.exempt || l.executing < l.kept || (l.executing < l.most && self.executing < self.total)
    }

    /// A request of a flow comes in. `wait` makes the thing to keep when it has to wait; `gone` tells those that nobody
    /// waits for any more.
    pub fn enter(
        &mut self,
        level: &Arc<str>,
        flow: u64,
        wait: impl FnOnce() -> W,
        gone: impl Fn(&W) -> bool,
    ) -> Entry {
        let Some(l) = self.levels.get(level) else {
            // Its configuration went this moment.
            return Entry::Seated(Place { level: level.clone(), queue: None });
        };
        let free = l.waiting == 0 && self.may_start(l);
        let Some(l) = self.levels.get_mut(level) else { return Entry::Refused(Full::Seats) };
        let queue = match l.config.queuing {
            Some((n, size, _)) if !l.config.exempt => {
                let busy = |i: &usize| l.queues.get(*i).map_or(0, |q| q.waiting.len() + q.executing);
                hand(flow, n, size).into_iter().min_by_key(busy)
            }
            _ => None,
        };
        if free {
            if let Some(q) = queue.and_then(|q| l.queues.get_mut(q)) {
                q.served = q.served.max(l.now) + 1;
            }
            return Entry::Seated(self.seat(level, queue));
        }
        let Some(i) = queue else {
            *l.refused.entry(Full::Seats.as_str()).or_default() += 1;
            return Entry::Refused(Full::Seats);
        };
        let most = l.config.queuing.map_or(1, |q| q.2);
        let (now, q) = (l.now, &mut l.queues[i]);
        if q.waiting.len() >= most {
            let before = q.waiting.len();
            q.waiting.retain(|w| !gone(w));
            l.waiting -= before - q.waiting.len();
        }
        if q.waiting.len() >= most {
            *l.refused.entry(Full::Queue.as_str()).or_default() += 1;
            return Entry::Refused(Full::Queue);
        }
        if q.waiting.is_empty() {
            q.served = q.served.max(now);
        }
        q.waiting.push_back(wait());
        l.waiting += 1;
        Entry::Waiting
    }

    fn seat(&mut self, level: &Arc<str>, queue: Option<usize>) -> Place {
        if let Some(l) = self.levels.get_mut(level) {
            l.executing += 1;
            l.dispatched += 1;
            if !l.config.exempt {
                self.executing += 1;
            }
            if let Some(q) = queue.and_then(|q| l.queues.get_mut(q)) {
                q.executing += 1;
            }
        }
        Place { level: level.clone(), queue }
    }

    /// A seat is free again.
    pub fn leave(&mut self, p: &Place) {
        let Some(l) = self.levels.get_mut(&p.level) else { return };
        l.executing = l.executing.saturating_sub(1);
        if !l.config.exempt {
            self.executing = self.executing.saturating_sub(1);
        }
        if let Some(q) = p.queue.and_then(|q| l.queues.get_mut(q)) {
            q.executing = q.executing.saturating_sub(1);
        }
    }

    /// Who may sit down now; to be asked until there is none.
    pub fn next(&mut self) -> Option<(Place, W)> {
        // Those that have less than their share come first, then whoever borrows least.
        let level = self
            .levels
            .iter()
            .filter(|(_, l)| l.waiting > 0 && self.may_start(l))
            .min_by_key(|(_, l)| (l.executing >= l.nominal, l.executing * 1000 / l.nominal.max(1)))
            .map(|(n, _)| n.clone())?;
        let l = self.levels.get_mut(&level)?;
        let waiting = l.queues.iter_mut().enumerate().filter(|(_, q)| !q.waiting.is_empty());
        let (i, q) = waiting.min_by_key(|(_, q)| q.served)?;
        let w = q.waiting.pop_front()?;
        l.now = l.now.max(q.served);
        q.served += 1;
        l.waiting -= 1;
        Some((self.seat(&level, Some(i)), w))
    }

    /// Forgets those of a level that nobody waits for.
    pub fn purge(&mut self, level: &str, why: &'static str, gone: impl Fn(&W) -> bool) {
        let Some(l) = self.levels.get_mut(level) else { return };
        *l.refused.entry(why).or_default() += 1;
        for q in &mut l.queues {
            q.waiting.retain(|w| !gone(w));
        }
        l.waiting = l.queues.iter().map(|q| q.waiting.len()).sum();
    }

    /// In the text format of metrics.
    pub fn metrics(&self, out: &mut String) {
        use std::fmt::Write;
        type Number<W> = fn(&Level<W>) -> usize;
        let gauges: [(&str, &str, Number<W>); 4] = [
            ("nominal_limit_seats", "Seats that are a level's share.", |l| l.nominal),
            ("current_executing_requests", "Requests being answered.", |l| l.executing),
            ("current_executing_seats", "Seats taken.", |l| l.executing),
            ("current_inqueue_requests", "Requests that wait.", |l| l.waiting),
        ];
        // Writing to a string does not fail.
        for (name, help, number) in gauges {
            let name = format!("apiserver_flowcontrol_{name}");
            let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n");
            for (n, l) in &self.levels {
                let _ = writeln!(out, "{name}{{priority_level={n:?}}} {}", number(l));
            }
        }
        let name = "apiserver_flowcontrol_dispatched_requests_total";
        let _ = write!(out, "# HELP {name} Requests that got a seat.\n# TYPE {name} counter\n");
        for (n, l) in &self.levels {
            let _ = writeln!(out, "{name}{{priority_level={n:?}}} {}", l.dispatched);
        }
        let name = "apiserver_flowcontrol_rejected_requests_total";
        let _ = write!(out, "# HELP {name} Requests turned away.\n# TYPE {name} counter\n");
        for (n, l) in &self.levels {
            for (why, count) in &l.refused {
                let _ = writeln!(out, "{name}{{priority_level={n:?},reason={why:?}}} {count}");
            }
        }
    }
}

#[cfg(test)]
mod tests;
