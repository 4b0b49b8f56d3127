//! Handlers of a cache's changes: one task a cache calls them all, one after the other, so that a change wakes one task
//! however many look at it.

use super::subscribe::{Event, Sink};
use super::{RawInformer, RawObject};
use runtime::Runtime;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Events after which the task lets others run.
const STEP: usize = 32;

type Handler = Box<dyn Fn(&Event) + Send + Sync>;

/// The handlers of one cache.
#[derive(Default)]
pub struct Dispatch {
    members: Mutex<Members>,
    /// Changes for all handlers; its waker also tells of changed members.
    pub(super) sink: Arc<Sink>,
}

#[derive(Default)]
struct Members {
    last: u64,
    joining: Vec<(u64, Handler)>,
    leaving: Vec<u64>,
    running: bool,
}

impl Dispatch {
    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a handler, and starts the task if there is none.
    pub(super) fn join(self: &Arc<Self>, cache: &RawInformer, rt: &Runtime, f: Handler) -> Registration {
        let mut m = self.members();
        m.last += 1;
        let id = m.last;
        m.joining.push((id, f));
        if !std::mem::replace(&mut m.running, true) {
            let (this, cache) = (self.clone(), cache.clone());
            rt.spawn_until_stop("cache-events", async move { this.run(cache).await });
        }
        drop(m);
        self.sink.wake();
        Registration { dispatch: self.clone(), id: Some(id) }
    }

    async fn run(self: Arc<Self>, cache: RawInformer) {
        let mut handlers: Vec<(u64, Handler)> = Vec::new();
        loop {
            let (joined, left) = {
                let mut m = self.members();
                (std::mem::take(&mut m.joining), std::mem::take(&mut m.leaving))
            };
            handlers.retain(|(id, _)| !left.contains(id));
            if !joined.is_empty() {
                // In one moment: what the others have not heard yet, and what the new ones are to begin with.
                let (pending, present) = cache.0.shared.attach(&self.sink);
                for e in &pending {
                    tell(&handlers, e);
                }
                for o in present {
                    tell(&joined, &Event::Added(o));
                }
                handlers.extend(joined);
                // One that left before it came.
                handlers.retain(|(id, _)| !left.contains(id));
            }
            if handlers.is_empty() {
                let mut m = self.members();
                if m.joining.is_empty() {
                    m.running = false;
                    m.leaving.clear();
                    cache.0.shared.detach(&self.sink);
                    return;
                }
                continue;
            }
            let mut n = 0;
            while n < STEP
                && let Some(e) = self.sink.take()
            {
                tell(&handlers, &e);
                n += 1;
            }
            if n == STEP {
                tokio::task::yield_now().await;
            } else {
                self.sink.woken().await;
            }
        }
    }
}

/// A handler that panics is told of, and the others go on.
fn tell(handlers: &[(u64, Handler)], e: &Event) {
    for (_, f) in handlers {
        if catch_unwind(AssertUnwindSafe(|| f(e))).is_err() {
            tracing::error!(object = %e.key(), "a handler of changes panicked");
        }
    }
}

/// A handler's place; dropping it ends the calls.
#[must_use = "dropping it ends the calls"]
pub struct Registration {
    dispatch: Arc<Dispatch>,
    id: Option<u64>,
}

impl Registration {
    /// The handler is called as long as the runtime runs.
    pub fn forever(mut self) {
        self.id = None;
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.dispatch.members().leaving.push(id);
            self.dispatch.sink.wake();
        }
    }
}

/// What a cache hands over when a handler joins: the events that wait, and the objects there are.
pub(super) type Handover = (Vec<Event>, Vec<RawObject>);
