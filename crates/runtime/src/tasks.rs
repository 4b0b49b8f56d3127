//! The task tree: every task has a name, ends on shutdown, and is waited for.

use crate::{Clock, Readiness};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Bytes of a future from which on a box is cheaper than copies.
const LARGE: usize = 512;

/// What a component is given: a place to spawn, the clock, its readiness, the sign to stop. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Runtime {
    tracker: TaskTracker,
    stop: CancellationToken,
    pub clock: Clock,
    pub ready: Readiness,
}

impl Runtime {
    pub fn new() -> Self {
        Self::default()
    }
    /// A child that stops with its parent or by itself; tasks are counted separately, readiness is shared.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            tracker: TaskTracker::new(),
            stop: self.stop.child_token(),
            clock: self.clock.clone(),
            ready: self.ready.clone(),
        }
    }
    /// Runs a task until it ends. It should watch [`Runtime::stopping`]; one that does not is dropped when the process
    /// ends. A panic is logged with the name and ends only that task.
    #[allow(clippy::disallowed_methods, reason = "the one place that spawns")]
    pub fn spawn<F>(&self, name: &'static str, f: F) -> tokio::task::JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        // A future is copied at each step of its way into a task: a large one goes by pointer.
        if size_of::<F>() > LARGE {
            self.tracker.spawn(Guarded { name, work: Box::pin(f) })
        } else {
            self.tracker.spawn(Guarded { name, work: f })
        }
    }
    /// As [`Runtime::spawn`], but the future is dropped as soon as the runtime stops.
    pub fn spawn_until_stop<F>(&self, name: &'static str, f: F) -> tokio::task::JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = self.stop.clone();
        self.spawn(name, async move {
            tokio::select! { () = f => {}, () = stop.cancelled() => {} }
        })
    }
    /// Ends when shutdown begins.
    pub async fn stopping(&self) {
        self.stop.cancelled().await;
    }
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }
    /// Asks every task to stop and waits for them, at most `grace`. Answers whether all ended.
    pub async fn shutdown(&self, grace: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(grace, self.tracker.wait()).await.is_ok()
    }
}

pin_project_lite::pin_project! {
    /// A task whose panic is logged. Written by hand: an async block would hold the task twice, as what it captured and as
    /// what it waits for, and large tasks are moved when they are spawned.
    struct Guarded<F> {
        name: &'static str,
        #[pin]
        work: F,
    }
}

impl<F: Future<Output = ()>> Future for Guarded<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        catch_unwind(AssertUnwindSafe(|| this.work.poll(cx))).unwrap_or_else(|panic| {
            let what = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            tracing::error!(task = this.name, panic = what, "task panicked");
            Poll::Ready(())
        })
    }
}

/// Ends on the first SIGTERM or SIGINT.
pub async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut term), Ok(mut int)) => {
            tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        }
        _ => std::future::pending().await,
    }
}
