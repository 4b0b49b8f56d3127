//! Whom to wake when something changed: forwards cache events to queues.

use super::meta::refers_to;
use client::{Event, Informer, Key, Kind, Queue, RawInformer, RawObject};
use meta::selector::Selector;
use runtime::Runtime;

/// Puts the keys that `f` answers for each change into a queue, until the runtime stops.
pub fn forward<F>(rt: &Runtime, cache: &RawInformer, queue: &Queue<Key>, f: F)
where
    F: Fn(&Event) -> Vec<Key> + Send + Sync + 'static,
{
    on_event(rt, cache, {
        let queue = queue.clone();
        move |e| f(e).into_iter().for_each(|k| queue.add(k))
    });
}

/// Puts the key of each changed object into a queue.
pub fn forward_self(rt: &Runtime, cache: &RawInformer, queue: &Queue<Key>) {
    forward(rt, cache, queue, |e| vec![e.key()]);
}

/// Calls `f` for each change, until the runtime stops. It must be quick: one task calls all handlers of a cache.
pub fn on_event<F>(rt: &Runtime, cache: &RawInformer, f: F)
where
    F: Fn(&Event) + Send + Sync + 'static,
{
    cache.on_event(rt, f).forever();
}

/// The key of the owner of kind `O` that controls an object, if it is the one in the cache.
pub fn owner_key<O: Kind>(owners: &Informer<O>, o: &RawObject) -> Option<Key> {
    let c = o.controller().filter(|c| refers_to::<O>(&c.api_version, &c.kind))?;
    let owner = owners.raw().get(&o.header.namespace, &c.name)?;
    (owner.header.uid == c.uid).then(|| owner.key())
}

/// The keys to wake for a change of a dependent: its controllers before and after, and for an orphan that is new or has
/// other labels than before, all in its namespace that might adopt it.
pub fn owners<O: Kind>(
    owners: &Informer<O>,
    e: &Event,
    selector: impl Fn(&O) -> Option<Selector>,
) -> Vec<Key> {
    let mut keys: Vec<Key> = e.states().filter_map(|o| owner_key(owners, o)).collect();
    let (old, new) = match e {
        Event::Deleted(_) => return keys,
        Event::Added(new) => (None, new),
        Event::Updated { old, new } => (Some(old), new),
    };
    let changed = old.is_none_or(|old| {
        old.header.labels != new.header.labels
            || old.controller().map(|c| &c.uid) != new.controller().map(|c| &c.uid)
    });
    if new.controller().is_none() && changed && !new.header.deleting && !new.header.labels.is_empty() {
        for o in owners.in_namespace(&new.header.namespace) {
            let s = selector(&o).filter(|s| !s.everything());
            if s.is_some_and(|s| s.matches(|k| new.header.label(k))) {
                keys.push(super::meta::MetaExt::key(&o));
            }
        }
    }
    keys
}
