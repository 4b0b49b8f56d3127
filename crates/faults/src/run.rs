//! One test: a subject, clients that load it in rounds, watches over all of them, and the judgement in the end.

use crate::client::{Client, Recorder, lock};
use crate::history::{Change, History, Item, Key, Log, Outcome, Rev, Span};
use crate::model::{self, Violation};
use crate::rng::Rng;
use crate::subject::Subject;
use crate::watcher::Watcher;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

const PREFIX: &str = "/registry/faults/";
const GROUPS: u64 = 4;
const KEYS: u64 = 10;
/// Operations that a client makes in one round, at most.
const MOST: u64 = 4000;
const SETTLE: Duration = Duration::from_secs(30);

pub struct Run {
    pub subject: Subject,
    pub recorder: Arc<Recorder>,
    seed: u64,
    round: u64,
    log: Log,
    /// Where clients and watches connect to: the subject, or what stands before it.
    port: u16,
    /// The past was compacted up to here.
    floor: Rev,
    watchers: Vec<Watcher>,
    history: History,
    violations: Vec<Violation>,
    pub clients: u64,
}

/// Clients at work, until they are told to stop.
pub struct Load {
    over: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    pub async fn stop(self) {
        self.over.store(true, Ordering::SeqCst);
        for t in self.tasks {
            // A panic there was printed; what it wrote down counts.
            let _ = t.await;
        }
    }
}

fn key(r: &mut Rng) -> Key {
    format!("{PREFIX}{}/{:02}", r.below(GROUPS), r.below(KEYS)).into()
}

fn put(key: Key) -> Change {
    Change { key, puts: true }
}

/// One operation of a client. What it is follows from the numbers alone; what it expects, from what it saw.
async fn step(c: &Client, r: &mut Rng, seen: &mut Rev) {
    let what = r.below(100);
    let k = key(r);
    let outcome = match what {
        0..35 => c.write(vec![put(k)], None, 0).await,
        35..60 => {
            // A read, and a change of what it showed: others may be between.
            let Outcome::Found(at, found) = c.read(Span::one(&k), 0).await else { return };
            *seen = at;
            let now = found.first().map_or(0, |kv| kv.modified);
            let puts = now == 0 || r.below(3) > 0;
            c.write(vec![Change { key: k.clone(), puts }], Some((k, now)), 0).await
        }
        60..68 => c.write(vec![Change { key: k, puts: false }], None, 0).await,
        68..78 => {
            let other = key(r);
            let mut changes = vec![put(k)];
            if changes[0].key != other {
                changes.push(put(other));
            }
            c.write(changes, None, 0).await
        }
        78..86 => c.read(Span::under(&format!("{PREFIX}{}/", r.below(GROUPS))), 0).await,
        86..92 => c.read(Span::under(PREFIX), 0).await,
        92..96 if *seen > 2 => {
            let at = r.between(2, seen.unsigned_abs());
            c.read(Span::under(PREFIX), i64::try_from(at).unwrap_or(0)).await
        }
        96..98 => {
            // A lease longer than any test: its key goes when it is revoked, and not otherwise.
            let Ok(id) = c.grant(3600).await else { return };
            let done = c.write(vec![put(k)], None, id).await;
            if r.below(3) > 0 {
                // Whether it was revoked is seen by whether the key is there.
                let _ = c.revoke(id).await;
            }
            done
        }
        _ => c.read(Span::one(&k), 0).await,
    };
    match outcome {
        Outcome::Done(rev) | Outcome::Found(rev, _) => *seen = (*seen).max(rev),
        // Whoever is refused, or finds nobody, waits a little.
        Outcome::Unknown(_) | Outcome::Refused(_) => {
            tokio::time::sleep(Duration::from_millis(r.between(5, 60))).await;
        }
        _ => {}
    }
}

impl Run {
    /// Starts the subject, and watches of everything and of each group.
    pub async fn start(mut subject: Subject, seed: u64) -> Result<Self, String> {
        let recorder = Recorder::new();
        subject.start(&recorder).await?;
        let port = subject.port;
        Self::through(subject, recorder, port, seed).await
    }

    /// The same with a subject that runs, through a port of something before it.
    pub async fn through(
        subject: Subject,
        recorder: Arc<Recorder>,
        port: u16,
        seed: u64,
    ) -> Result<Self, String> {
        let client = Client::new(subject.port, &recorder)?;
        let (base, keys) = client.range(&Span::all(), 0).await.map_err(|e| e.to_string())?;
        let log = Log { base, keys, events: Vec::new(), head: base };
        let mut run = Self {
            subject,
            recorder,
            seed,
            round: 0,
            log,
            port,
            floor: base,
            watchers: Vec::new(),
            history: History { dense: true, ..History::default() },
            violations: Vec::new(),
            clients: 8,
        };
        run.watch("everything".into(), Span::all(), base + 1, true);
        for g in 0..GROUPS {
            run.watch(format!("group {g}"), Span::under(&format!("{PREFIX}{g}/")), base + 1, false);
        }
        Ok(run)
    }

    pub fn watch(&mut self, name: String, keys: Span, from: Rev, previous: bool) {
        let w = Watcher::start(self.port, &self.recorder, name, keys, from, previous);
        self.watchers.push(w);
    }

    pub fn client(&self) -> Result<Client, String> {
        Client::new(self.port, &self.recorder)
    }

    /// Forgets what is older than what was accounted for last.
    pub async fn compact(&mut self) -> Result<(), String> {
        let to = self.log.head;
        if to > self.floor {
            Client::new(self.subject.port, &self.recorder)?.compact(to).await.map_err(|e| e.to_string())?;
            self.floor = to;
        }
        Ok(())
    }

    pub fn rng(&self, purpose: u64) -> Rng {
        Rng::new(&[self.seed, self.round, purpose])
    }

    /// Puts clients to work; each round's are others. A watch from some past revision begins, too.
    pub fn load(&mut self) -> Result<Load, String> {
        self.round += 1;
        let mut r = self.rng(1000);
        let from = r.between(self.floor.unsigned_abs() + 1, self.log.head.unsigned_abs() + 1);
        let keys = if r.below(2) == 0 { Span::under(PREFIX) } else { Span::one(&key(&mut r)) };
        let from = i64::try_from(from).unwrap_or(1);
        self.watch(format!("from {from} in round {}", self.round), keys, from, r.below(2) == 0);
        let over = Arc::new(AtomicBool::new(false));
        let mut tasks = Vec::new();
        for c in 0..self.clients {
            let (client, mut r, over) = (self.client()?, self.rng(c), over.clone());
            let mut seen = self.log.head;
            tasks.push(tokio::spawn(async move {
                for _ in 0..MOST {
                    if over.load(Ordering::SeqCst) {
                        return;
                    }
                    step(&client, &mut r, &mut seen).await;
                }
            }));
        }
        Ok(Load { over, tasks })
    }

    /// Kills the subject and starts it again.
    pub async fn restart(&mut self) -> Result<(), String> {
        self.subject.kill();
        self.subject.start(&self.recorder).await
    }

    /// Takes the store's account of its past, which must agree with that of earlier.
    pub async fn account(&mut self) -> Result<Rev, String> {
        let client = Client::new(self.subject.port, &self.recorder)?;
        let (head, _) = client.range(&Span::one("x"), 0).await.map_err(|e| format!("reading: {e}"))?;
        // All of it that is kept, again: what was said before must be so still.
        let from = self.floor + 1;
        if head > self.floor || head < self.log.head {
            let w = Watcher::start(self.subject.port, &self.recorder, "log".into(), Span::all(), from, true);
            let told = w.finish(head, SETTLE).await?;
            let mut events = Vec::new();
            for (_, i) in told.items {
                match i {
                    Item::Event(e) if e.kv.modified <= head => events.push(e),
                    Item::Compacted(r) => return Err(format!("the past is gone up to {r}")),
                    _ => {}
                }
            }
            self.violations.extend(model::merge(&mut self.log, from, events, head));
        }
        Ok(head)
    }

    /// Ends the watches, where they have been told everything, and judges.
    pub async fn judge(mut self) -> Result<Verdict, String> {
        let head = self.account().await?;
        let mut h = std::mem::take(&mut self.history);
        let ends = self.watchers.drain(..).map(|w| w.finish(head, SETTLE));
        for s in futures::future::join_all(ends).await {
            h.streams.push(s?);
        }
        h.ops = std::mem::take(&mut *lock(&self.recorder.ops));
        h.leases = lock(&self.recorder.leases).values().cloned().collect();
        h.log = self.log.clone();
        h.up_since = self.subject.up_since;
        h.read_at = self.recorder.now();
        let mut violations = std::mem::take(&mut self.violations);
        violations.extend(model::check(&h));
        // The present, by a range, is where the log leads.
        let (_, now) = Client::new(self.subject.port, &self.recorder)?
            .range(&Span::all(), head)
            .await
            .map_err(|e| e.to_string())?;
        violations.extend(model::present(&h, head, &now));
        let told = h.streams.iter().map(|s| s.items.len()).sum();
        let acknowledged = h.ops.iter().filter(|o| matches!(o.outcome, Outcome::Done(_))).count();
        let unknown = h.ops.iter().filter(|o| matches!(o.outcome, Outcome::Unknown(_))).count();
        Ok(Verdict { ops: h.ops.len(), acknowledged, unknown, told, violations })
    }

    pub fn head(&self) -> Rev {
        self.log.head
    }

    /// A violation that the model does not see.
    pub fn blame(&mut self, kind: model::Kind, what: impl Into<String>) {
        self.violations.push(Violation { kind, what: what.into() });
    }

    pub fn ops(&self) -> usize {
        lock(&self.recorder.ops).len()
    }

    /// How many of the operations since the `from`th were acknowledged writes.
    pub fn acknowledged_since(&self, from: usize) -> usize {
        lock(&self.recorder.ops)[from..].iter().filter(|o| matches!(o.outcome, Outcome::Done(_))).count()
    }

    /// Waits until a write is acknowledged that began from now on.
    pub async fn writes_again(&self, within: Duration) -> Result<bool, String> {
        let c = self.client()?;
        let end = std::time::Instant::now() + within;
        while std::time::Instant::now() < end {
            if matches!(c.put(&format!("{PREFIX}again")).await, Outcome::Done(_)) {
                return Ok(true);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(false)
    }

    /// How long the reads since the `from`th took that were answered: the median and the longest, in milliseconds.
    pub fn reads_since(&self, from: usize) -> (u64, u64) {
        let ops = lock(&self.recorder.ops);
        let read = ops[from..].iter().filter(|o| matches!(o.outcome, Outcome::Found(..)));
        let mut took: Vec<u64> = read.map(|o| (o.end - o.start) / 1_000_000).collect();
        took.sort_unstable();
        (took.get(took.len() / 2).copied().unwrap_or(0), took.last().copied().unwrap_or(0))
    }

    /// What the operations since the `from`th were refused with.
    pub fn refusals_since(&self, from: usize) -> Vec<String> {
        let mut all: Vec<String> = lock(&self.recorder.ops)[from..]
            .iter()
            .filter_map(|o| match &o.outcome {
                Outcome::Refused(t) | Outcome::Unknown(t) => Some(t.clone()),
                _ => None,
            })
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

pub struct Verdict {
    pub ops: usize,
    pub acknowledged: usize,
    pub unknown: usize,
    pub told: usize,
    pub violations: Vec<Violation>,
}
