//! The embedded store: memory in front, SQLite behind, one writer between them.

use crate::backup;
use crate::disk::{self, Disk};
use crate::lock::Lock;
use crate::timers;
use crate::watch::{Hub, Watcher};
use crate::writer::{Answer, Draft, Job, Outlet, Published, Signals, Work, Writer};
use crate::{Error, Revision, Snapshot};
use arc_swap::ArcSwap;
use mvcc::{KeyRange, Millis, State, Txn, TxnResult};
use runtime::Runtime;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// Requests that wait for the writer; more wait to get in.
const QUEUE: usize = 1024;
/// Commits that wait to be answered and handed to watchers.
const OUTLET: usize = 1024;
/// How an embedded store behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of history that the present does not hold: beyond them the oldest is forgotten before its time.
    pub history_bytes: usize,
    /// Forget what is older than this (at least so old, at most twice). Zero: only when asked.
    pub compact_every: Duration,
    /// Events that a watcher may be behind.
    pub watch_backlog: usize,
    /// Bytes of one value, or of all in one transaction.
    pub max_value_bytes: usize,
    /// Wait for the disk at each commit. Off, a power cut may lose the newest writes (never the database).
    pub durable: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            history_bytes: 128 << 20,
            compact_every: Duration::from_secs(300),
            watch_backlog: 10_000,
            max_value_bytes: 1_572_864,
            durable: true,
        }
    }
}

/// A store in this process. Dropping it closes it, too; [`Embedded::close`] waits for that.
pub struct Embedded {
    published: Arc<ArcSwap<Published>>,
    hub: Arc<Hub>,
    home: Home,
    options: Options,
    size: Arc<AtomicU64>,
    path: Option<PathBuf>,
    past: Mutex<Vec<(Revision, Snapshot)>>,
    leases: Mutex<VecDeque<SharedLease>>,
    clock: runtime::Clock,
    revisions: watch::Receiver<Revision>,
    stop: CancellationToken,
}

enum Home {
    /// A thread of its own, with the database.
    Disk { jobs: mpsc::Sender<Job>, done: watch::Receiver<bool> },
    /// No disk, no thread: each request is carried out where it is made.
    Memory(Box<Mutex<Writer>>),
}

struct SharedLease {
    id: i64,
    deadline: Millis,
    keys: u32,
}

fn lock<T>(m: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

fn signals(state: &State) -> (Signals, watch::Receiver<Revision>, watch::Receiver<Option<Millis>>) {
    let (revision, r) = watch::channel(state.revision());
    let (deadline, d) = watch::channel(state.next_deadline());
    (Signals { revision, deadline }, r, d)
}

impl Embedded {
    /// Opens the database file `path`, or makes it, and its directory, for the owner only. Watches end when `rt`
    /// stops; writes are served until the store is closed or dropped.
    pub async fn open(path: &Path, options: Options, rt: Runtime) -> Result<Arc<Self>, Error> {
        let (p, durable) = (path.to_owned(), options.durable);
        let clock = rt.clock.clone();
        let opened = tokio::task::spawn_blocking(move || -> Result<_, Error> {
            disk::make_dir(&p)?;
            let lock = Lock::take(&p)?;
            Ok((lock, Disk::open(&p, durable, clock.steady_nanos() / 1_000_000)?))
        });
        let (lock, found) =
            opened.await.map_err(|e| Error::Io(format!("opening {}: {e}", path.display())))??;
        tracing::info!(
            path = %path.display(),
            revision = found.state.revision(),
            keys = found.state.snapshot().len(),
            "store opened"
        );
        Self::on_disk(path, options, &rt, lock, found)
    }

    fn on_disk(
        path: &Path,
        options: Options,
        rt: &Runtime,
        lock: Lock,
        found: disk::Found,
    ) -> Result<Arc<Self>, Error> {
        let (signals, revision, deadline) = signals(&found.state);
        let hub = Hub::new(found.state.revision(), options.watch_backlog);
        let published = Arc::new(ArcSwap::from_pointee(Published::new(found.state)));
        let size = Arc::new(AtomicU64::new(found.disk.size()));
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (outlet, mut batches) = mpsc::channel(OUTLET);
        let writer = Writer {
            published: published.clone(),
            disk: Some(found.disk),
            garbage: found.garbage.into(),
            signals,
            outlet: Outlet::Task(outlet),
            clock: rt.clock.clone(),
            history_bytes: options.history_bytes,
            refused: false,
            size: size.clone(),
            unsized_bytes: 0,
        };
        let (ended, done) = watch::channel(false);
        std::thread::Builder::new()
            .name("store".into())
            .spawn(move || {
                writer.run(queue);
                drop(lock);
                ended.send_replace(true);
            })
            .map_err(|e| Error::Io(format!("starting the writer's thread: {e}")))?;
        let to = hub.clone();
        let stop = rt.stop_token().child_token();
        let stopped = stop.clone();
        rt.spawn("store watches", async move {
            loop {
                tokio::select! {
                    done = batches.recv() => match done {
                        Some(mut done) => {
                            done.answer();
                            if !done.batches.is_empty() {
                                to.dispatch(&done.batches, done.revision);
                            }
                        }
                        None => break,
                    },
                    () = stopped.cancelled() => break,
                }
            }
            to.close();
            // From here on the writer answers by itself.
            batches.close();
            while let Some(mut done) = batches.recv().await {
                done.answer();
            }
        });
        let home = Home::Disk { jobs, done };
        Ok(Self::start(
            published,
            hub,
            home,
            options,
            size,
            Some(path.to_owned()),
            stop,
            rt,
            revision,
            deadline,
        ))
    }

    /// A store without disk, for tests: everything happens at once, in the caller, also when time is paused.
    pub fn in_memory(options: Options, rt: &Runtime) -> Arc<Self> {
        let state = State::new();
        let (signals, revision, deadline) = signals(&state);
        let hub = Hub::new(state.revision(), options.watch_backlog);
        let published = Arc::new(ArcSwap::from_pointee(Published::new(state)));
        let size = Arc::new(AtomicU64::new(0));
        let writer = Writer {
            published: published.clone(),
            disk: None,
            garbage: VecDeque::new(),
            signals,
            outlet: Outlet::Inline(hub.clone()),
            clock: rt.clock.clone(),
            history_bytes: options.history_bytes,
            refused: false,
            size: size.clone(),
            unsized_bytes: 0,
        };
        let stop = rt.stop_token().child_token();
        let (to, stopped) = (hub.clone(), stop.clone());
        rt.spawn("store watches", async move {
            stopped.cancelled().await;
            to.close();
        });
        let home = Home::Memory(Box::new(Mutex::new(writer)));
        Self::start(published, hub, home, options, size, None, stop, rt, revision, deadline)
    }

    #[allow(clippy::too_many_arguments, reason = "the common end of two constructors")]
    fn start(
        published: Arc<ArcSwap<Published>>,
        hub: Arc<Hub>,
        home: Home,
        options: Options,
        size: Arc<AtomicU64>,
        path: Option<PathBuf>,
        stop: CancellationToken,
        rt: &Runtime,
        revision: watch::Receiver<Revision>,
        deadline: watch::Receiver<Option<Millis>>,
    ) -> Arc<Self> {
        let every = options.compact_every;
        let store = Arc::new(Self {
            published,
            hub,
            home,
            options,
            size,
            path,
            past: Mutex::default(),
            leases: Mutex::default(),
            clock: rt.clock.clone(),
            revisions: revision.clone(),
            stop: stop.clone(),
        });
        let weak = Arc::downgrade(&store);
        let (w, s, clock) = (weak.clone(), stop.clone(), rt.clock.clone());
        rt.spawn("store leases", async move {
            tokio::select! { () = timers::leases(w, clock, deadline) => {}, () = s.cancelled() => {} }
        });
        if !every.is_zero() {
            rt.spawn("store compaction", async move {
                tokio::select! { () = timers::compaction(weak, every, revision) => {}, () = stop.cancelled() => {} }
            });
        }
        store
    }

    /// Finishes what was asked for, and lets go of the files. Requests made later are refused.
    pub async fn close(&self) {
        self.stop.cancel();
        self.hub.close();
        if let Home::Disk { jobs, done } = &self.home {
            // Refused when it is closed already.
            let _ = jobs.send(Job::Close).await;
            let _ = done.clone().wait_for(|d| *d).await;
        }
    }

    /// The newest durable state, with its history and leases.
    pub fn state(&self) -> State {
        self.published.load().state.clone()
    }

    pub fn revision(&self) -> Revision {
        self.published.load().state.revision()
    }

    /// Follows the newest revision.
    pub fn revisions(&self) -> watch::Receiver<Revision> {
        self.revisions.clone()
    }

    /// Waits until what watchers of this store will still be told is later than `revision`: then [`Watch::progress`]
    /// of one that has taken all its items is at least that. `false` when the store is closing.
    pub async fn dispatched(&self, revision: Revision) -> bool {
        self.hub.dispatched(revision).await
    }

    /// Carries out a transaction.
    pub async fn txn(&self, t: Txn) -> Result<TxnResult, Error> {
        self.sized(t.size())?;
        self.submit(move |d| {
            d.bytes += t.size();
            Ok(d.state.txn(&t)?)
        })
        .await
    }

    /// Events of a range of keys after a revision. As in etcd it may begin with the changes of the floor's revision,
    /// which then come without what they superseded.
    pub fn watch_range(&self, keys: KeyRange, after: Revision) -> Result<Watcher, Error> {
        Watcher::new(self.hub.clone(), self.published.clone(), keys, after, false)
    }

    /// Makes a lease with this number; 0 lets the store choose. Answers number and seconds.
    pub async fn grant(&self, id: i64, ttl: i64) -> Result<(i64, i64), Error> {
        self.submit(move |d| {
            let mut id = id;
            if id == 0 {
                id = (d.now << 16) & i64::MAX;
                while id == 0 || d.state.lease(id).is_some() {
                    id += 1;
                }
            }
            let lease = d.state.grant(id, ttl, d.now)?.clone();
            d.granted(&lease);
            Ok((id, ttl))
        })
        .await
    }

    /// Ends a lease and deletes its keys.
    pub async fn revoke(&self, id: i64) -> Result<Revision, Error> {
        self.submit(move |d| {
            let r = d.state.revoke(id)?;
            d.revoked(id);
            Ok(r)
        })
        .await
    }

    /// Gives a lease its whole time again. Answers its seconds.
    pub async fn keepalive(&self, id: i64) -> Result<i64, Error> {
        self.submit(move |d| {
            let lease = d.state.keepalive(id, d.now)?.clone();
            d.granted(&lease);
            Ok(lease.ttl)
        })
        .await
    }

    /// Ends the leases whose time is over at `now`. Answers whether there may be more.
    pub(crate) async fn expire(&self, now: Millis) -> Result<bool, Error> {
        /// In one batch: what they delete is not known before.
        const STEP: usize = 64;
        self.submit(move |d| {
            let ended = d.state.expire(now, STEP);
            ended.iter().for_each(|id| d.revoked(*id));
            Ok(ended.len() == STEP)
        })
        .await
    }

    /// Deletes from the disk what compactions gave up, and waits for it.
    pub async fn sweep(&self) -> Result<(), Error> {
        self.special(Job::Sweep).await
    }

    /// Gives the file's free space back to the file system. Writers wait meanwhile.
    pub async fn vacuum(&self) -> Result<(), Error> {
        self.special(Job::Vacuum).await
    }

    /// Writes a copy of the database to a new file, without stopping writers.
    pub async fn snapshot_to(&self, to: &Path) -> Result<(), Error> {
        let Some(db) = self.path.clone() else { return Err(Error::Io("the store has no disk".into())) };
        let to = to.to_owned();
        let done = tokio::task::spawn_blocking(move || backup::copy_to(&db, &to));
        done.await.map_err(|e| Error::Io(format!("the backup ended early: {e}")))?
    }

    /// Puts a backup in the place of the database `path`, which must not be open. It is read wholly before; what was
    /// there is kept beside it.
    pub async fn restore(backup: &Path, path: &Path) -> Result<(), Error> {
        let (from, to) = (backup.to_owned(), path.to_owned());
        let done = tokio::task::spawn_blocking(move || backup::restore(&from, &to));
        done.await.map_err(|e| Error::Io(format!("the restore ended early: {e}")))?
    }

    /// Groups of watchers, and watchers.
    pub fn watchers(&self) -> (usize, usize) {
        self.hub.size()
    }

    fn sized(&self, bytes: usize) -> Result<(), Error> {
        if bytes > self.options.max_value_bytes { Err(Error::TooLarge(bytes)) } else { Ok(()) }
    }

    /// Bytes of the file, and how many of them hold something.
    pub async fn space(&self) -> Result<(u64, u64), Error> {
        let Home::Disk { jobs, .. } = &self.home else { return Ok((0, 0)) };
        let (tx, rx) = oneshot::channel();
        jobs.send(Job::Space(tx)).await.map_err(|_| Error::Closed)?;
        rx.await.map_err(|_| Error::Closed)?
    }

    async fn special(&self, job: fn(Answer) -> Job) -> Result<(), Error> {
        let Home::Disk { jobs, .. } = &self.home else { return Ok(()) };
        let (tx, rx) = oneshot::channel();
        let answer: Answer = Box::new(move |refused| drop(tx.send(refused.cloned().map_or(Ok(()), Err))));
        jobs.send(job(answer)).await.map_err(|_| Error::Closed)?;
        rx.await.map_err(|_| Error::Closed)?
    }

    #[cfg(test)]
    pub(crate) fn hub(&self) -> &Hub {
        &self.hub
    }

    #[cfg(test)]
    pub(crate) async fn sql(&self, sql: &'static str) {
        let Home::Disk { jobs, .. } = &self.home else { panic!("no disk") };
        let (tx, rx) = oneshot::channel();
        assert!(jobs.send(Job::Sql(sql, Box::new(move |_| tx.send(()).unwrap()))).await.is_ok());
        rx.await.unwrap();
    }

    /// Has the writer decide something, and waits until the decision is durable.
    async fn submit<T, F>(&self, decide: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Draft) -> Result<T, Error> + Send + 'static,
    {
        let (tx, rx) = oneshot::channel();
        let work: Work = Box::new(move |d| {
            let decided = decide(d);
            Box::new(move |refused| {
                // The one who asked may have gone.
                let _ = tx.send(refused.cloned().map_or(decided, Err));
            })
        });
        match &self.home {
            Home::Memory(w) => {
                if self.stop.is_cancelled() {
                    return Err(Error::Closed);
                }
                lock(w).batch(std::iter::once(work));
            }
            Home::Disk { jobs, .. } => {
                jobs.send(Job::Work(work)).await.map_err(|_| Error::Closed)?;
            }
        }
        // No answer: closed before its turn, or its batch panicked.
        rx.await.map_err(|_| Error::Closed)?
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.stop.cancel();
        self.hub.close();
    }
}

mod api;
#[cfg(test)]
pub(crate) mod tests;
