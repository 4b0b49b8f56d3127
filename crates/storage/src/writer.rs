//! The one writer: takes the requests that wait, decides them one after the other on a draft, makes the batch durable,
//! publishes it, answers. A batch that the disk refuses is as if it had never been asked for.

use crate::disk::{Disk, Extras, GARBAGE_STEP};
use crate::watch::Hub;
use crate::{Error, Event, Revision, View};
use arc_swap::ArcSwap;
use mvcc::{Lease, Millis, Place, Record, Snapshot, State};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{mpsc, oneshot, watch};

/// Requests in one batch, at most.
const BATCH: usize = 1024;
/// The size of the files is looked at again when so many bytes were written.
const SIZE_STEP: usize = 64 << 10;
/// A batch takes no more requests when it holds so many bytes.
const BATCH_BYTES: usize = 8 << 20;

/// A durable state, as readers see it.
pub struct Published {
    pub state: State,
    /// Its keys alone: whoever reads them for long keeps no history alive.
    pub keys: Arc<Keys>,
}

impl Published {
    pub fn new(state: State) -> Self {
        Self { keys: Arc::new(Keys(state.snapshot())), state }
    }
}

/// The keys at one revision.
pub struct Keys(pub Snapshot);

impl View for Keys {
    fn revision(&self) -> Revision {
        self.0.revision()
    }
    fn get(&self, key: &str) -> Option<Arc<Record>> {
        self.0.get(key.as_bytes()).cloned()
    }
    fn scan(&self, prefix: &str, start: &str, f: &mut dyn FnMut(&Arc<Record>) -> bool) {
        self.0.scan(prefix, start, f);
    }
    fn count(&self, prefix: &str) -> usize {
        self.0.count(prefix)
    }
}

/// What a batch has decided so far.
pub struct Draft {
    pub state: State,
    pub now: Millis,
    pub bytes: usize,
    extras: Extras,
    garbage: Vec<Place>,
    /// The revision that readers see.
    base: Revision,
}

impl Draft {
    pub fn granted(&mut self, l: &Lease) {
        self.extras.revoked.retain(|r| *r != l.id);
        self.extras.granted.push((l.id, l.ttl, l.deadline));
    }
    pub fn revoked(&mut self, id: i64) {
        self.extras.revoked.push(id);
        self.extras.granted.retain(|g| g.0 != id);
    }
    /// Only what is published can be compacted: what this batch adds must first be written as history.
    pub fn compact(&mut self, revision: Revision) -> Result<(), Error> {
        if revision > self.base {
            return Err(Error::Future { asked: revision, current: self.base });
        }
        self.garbage.extend(self.state.compact(revision)?);
        self.extras.floor = Some(revision);
        Ok(())
    }
}

/// A decision, and the answer to give when its batch is durable or was refused.
pub type Work = Box<dyn FnOnce(&mut Draft) -> Answer + Send>;
/// Is given why the batch was refused, if it was.
pub type Answer = Box<dyn FnOnce(Option<&Error>) + Send>;

pub enum Job {
    Work(Work),
    /// Deletes all rows that were given up, and answers.
    Sweep(Answer),
    /// Gives free space back.
    Vacuum(Answer),
    /// Bytes of the file and bytes in use.
    Space(oneshot::Sender<Result<(u64, u64), Error>>),
    Close,
    #[cfg(test)]
    Sql(&'static str, Answer),
}

/// What the timers wait for.
pub struct Signals {
    pub revision: watch::Sender<Revision>,
    pub deadline: watch::Sender<Option<Millis>>,
}

/// A batch that is durable or was refused, for the task that answers and wakes watchers: a thread that wakes tasks one
/// by one makes a system call for many of them, a task does not.
pub struct Done {
    /// The events of each revision, and the last one.
    pub batches: Vec<Arc<[Event]>>,
    pub revision: Revision,
    answers: Vec<Answer>,
    refused: Option<Error>,
}

impl Done {
    /// Answers all who asked.
    pub fn answer(&mut self) {
        for a in self.answers.drain(..) {
            a(self.refused.as_ref());
        }
    }
}

/// Where answers and events go once they are durable.
pub enum Outlet {
    /// To the task that hands them on.
    Task(mpsc::Sender<Done>),
    /// To watchers at once.
    Inline(Arc<Hub>),
}

pub struct Writer {
    pub published: Arc<ArcSwap<Published>>,
    pub disk: Option<Disk>,
    pub garbage: VecDeque<Place>,
    pub signals: Signals,
    pub outlet: Outlet,
    pub clock: runtime::Clock,
    pub history_bytes: usize,
    pub refused: bool,
    /// Bytes of the files, as others see them, and what was written since they were looked at.
    pub size: Arc<AtomicU64>,
    pub unsized_bytes: usize,
}

impl Writer {
    /// Serves requests until told to close, or nobody can ask any more.
    pub fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut closing = false;
        while !closing {
            let job = if self.garbage.is_empty() || self.refused {
                match jobs.blocking_recv() {
                    Some(j) => j,
                    None => break,
                }
            } else {
                match jobs.try_recv() {
                    Ok(j) => j,
                    Err(mpsc::error::TryRecvError::Empty) => {
                        self.sweep_step();
                        continue;
                    }
                    Err(mpsc::error::TryRecvError::Disconnected) => break,
                }
            };
            let mut other = None;
            match job {
                Job::Work(first) => {
                    let mut left = BATCH;
                    self.guarded(std::iter::once(first).chain(std::iter::from_fn(|| {
                        left = left.checked_sub(1)?;
                        match jobs.try_recv() {
                            Ok(Job::Work(w)) => Some(w),
                            Ok(j) => {
                                other = Some(j);
                                left = 0;
                                None
                            }
                            Err(_) => None,
                        }
                    })));
                }
                j => other = Some(j),
            }
            match other {
                Some(Job::Close) => closing = true,
                Some(j) => self.special(j),
                None => {}
            }
        }
        jobs.close();
        while let Ok(j) = jobs.try_recv() {
            drop(j);
        }
        if let Some(d) = self.disk.take() {
            d.close();
        }
    }

    fn special(&mut self, j: Job) {
        match j {
            Job::Work(w) => self.guarded(std::iter::once(w)),
            Job::Sweep(answer) => {
                let mut r = Ok(());
                while r.is_ok() && !self.garbage.is_empty() {
                    r = self.sweep();
                }
                self.look_at_size();
                answer(r.as_ref().err());
            }
            Job::Vacuum(answer) => {
                let r = self.disk.as_mut().map_or(Ok(()), Disk::vacuum);
                self.look_at_size();
                answer(r.as_ref().err());
            }
            Job::Space(answer) => {
                // Whoever asked may have gone.
                let _ = answer.send(self.disk.as_ref().map_or(Ok((0, 0)), Disk::space));
            }
            Job::Close => {}
            #[cfg(test)]
            Job::Sql(sql, answer) => {
                self.disk.as_ref().unwrap().execute(sql);
                answer(None);
            }
        }
    }

    /// A panic in a decision refuses the batch and not more.
    fn guarded(&mut self, works: impl Iterator<Item = Work>) {
        let mut taken = 0usize;
        let works = works.inspect(|_| taken += 1);
        if catch_unwind(AssertUnwindSafe(|| self.batch(works))).is_err() {
            tracing::error!(requests = taken, "a request panicked: its batch was refused");
        }
    }

    /// Carries out one batch.
    pub fn batch(&mut self, works: impl Iterator<Item = Work>) {
        let before = self.published.load_full();
        let now = self.clock.steady_nanos() / 1_000_000;
        let mut draft = Draft {
            state: before.state.clone(),
            now,
            bytes: 0,
            extras: Extras::default(),
            garbage: Vec::new(),
            base: before.state.revision(),
        };
        if let Some(floor) = before.state.floor_for(self.history_bytes) {
            // A quarter more than needed, so that this is seldom.
            let floor = before.state.floor_for(self.history_bytes / 4 * 3).unwrap_or(floor);
            if let Err(e) = draft.compact(floor) {
                tracing::debug!(error = %e, "bounding the history");
            }
        }
        let mut answers = Vec::new();
        for w in works {
            answers.push(w(&mut draft));
            if draft.bytes >= BATCH_BYTES {
                break;
            }
        }
        let revision = draft.state.revision();
        let (batches, refused) = match self.commit(&before, draft) {
            Ok(b) => (b, None),
            Err(e) => (Vec::new(), Some(e)),
        };
        let mut done = Done { batches, revision, answers, refused };
        match &self.outlet {
            Outlet::Inline(hub) => {
                if !done.batches.is_empty() {
                    hub.dispatch(&done.batches, revision);
                }
                done.answer();
            }
            Outlet::Task(tx) => {
                // Nobody takes it when the program is ending.
                if let Err(mut e) = tx.blocking_send(done) {
                    e.0.answer();
                }
            }
        }
    }

    /// Makes what was decided durable and visible. Answers the events of each revision.
    fn commit(&mut self, before: &Published, draft: Draft) -> Result<Vec<Arc<[Event]>>, Error> {
        let Draft { state, extras, garbage, base, bytes, .. } = draft;
        let batches: Vec<Arc<[Event]>> = state.batches_after(base)?.cloned().collect();
        if batches.is_empty() && extras.is_empty() {
            return Ok(batches);
        }
        if let Some(disk) = &mut self.disk {
            // Some old rows in each batch, so that a busy store keeps up with its garbage.
            let n = self.garbage.len().min(GARBAGE_STEP / 10);
            let done = disk.commit(
                batches.iter().flat_map(|b| b.iter()),
                &extras,
                &self.garbage.make_contiguous()[..n],
            );
            if let Err(e) = done {
                if !self.refused {
                    tracing::error!(error = %e, "the disk refused a batch of writes");
                }
                self.refused = true;
                return Err(e);
            }
            if std::mem::take(&mut self.refused) {
                tracing::info!("the disk takes writes again");
            }
            self.garbage.drain(..n);
            self.garbage.extend(garbage);
            self.unsized_bytes = self.unsized_bytes.saturating_add(bytes);
            if self.unsized_bytes >= SIZE_STEP || !extras.is_empty() {
                self.look_at_size();
            }
        }
        let (revision, deadline) = (state.revision(), state.next_deadline());
        let old_deadline = before.state.next_deadline();
        self.published.store(Arc::new(Published::new(state)));
        if !batches.is_empty() {
            self.signals.revision.send_replace(revision);
        }
        if deadline != old_deadline {
            self.signals.deadline.send_replace(deadline);
        }
        Ok(batches)
    }

    fn look_at_size(&mut self) {
        self.unsized_bytes = 0;
        if let Some(d) = &self.disk {
            self.size.store(d.size(), Ordering::Relaxed);
        }
    }

    fn sweep(&mut self) -> Result<(), Error> {
        let n = self.garbage.len().min(GARBAGE_STEP);
        if let Some(disk) = &mut self.disk {
            disk.commit(std::iter::empty(), &Extras::default(), &self.garbage.make_contiguous()[..n])?;
        }
        self.garbage.drain(..n);
        Ok(())
    }

    /// A step when there is nothing else to do. After a failure it waits until a batch of writes went well.
    fn sweep_step(&mut self) {
        if let Err(e) = self.sweep() {
            tracing::error!(error = %e, rows = self.garbage.len(), "deleting compacted rows");
            self.refused = true;
        }
    }
}
