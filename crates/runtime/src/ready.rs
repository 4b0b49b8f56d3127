//! Readiness: named checks that components report and health endpoints read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// A set of named checks. A check that was never set does not exist; one that is not ready has a reason.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    checks: Mutex<BTreeMap<String, Result<(), String>>>,
    changed: Notify,
}

impl Readiness {
    /// Declares or updates a check.
    pub fn set(&self, name: &str, state: Result<(), String>) {
        self.0.checks.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), state);
        self.0.changed.notify_waiters();
    }
    /// All checks, by name.
    pub fn all(&self) -> BTreeMap<String, Result<(), String>> {
        self.0.checks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    pub fn is_ready(&self) -> bool {
        self.0.checks.lock().unwrap_or_else(PoisonError::into_inner).values().all(Result::is_ok)
    }
    /// Waits until the named check is ready.
    pub async fn wait_for(&self, name: &str) {
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let ok = self
                .0
                .checks
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get(name)
                .is_some_and(Result::is_ok);
            if ok {
                return;
            }
            changed.await;
        }
    }
}
