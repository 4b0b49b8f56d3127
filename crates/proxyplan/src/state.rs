//! The models of all services, put together so that a change costs what changed and not what there is.
//!
//! Two services may claim the same frontend (an external IP and port): the first by name has it, and the next one gets
//! it when the first lets go. Addresses that several services share are counted.

use crate::model::{Frontend, Key, Model};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

#[derive(Clone, Debug, Default)]
pub struct State {
    parts: BTreeMap<String, Model>,
    claims: HashMap<Key, BTreeSet<String>>,
    local: HashMap<IpAddr, usize>,
    cluster_ips: HashMap<IpAddr, usize>,
    /// As in [`Model`].
    pub health: BTreeMap<u16, (String, usize)>,
}

/// What a change touches.
#[derive(Default)]
struct Touched {
    keys: BTreeSet<Key>,
    local: BTreeSet<IpAddr>,
    cluster_ips: BTreeSet<IpAddr>,
}

impl Touched {
    fn add(&mut self, m: &Model) {
        self.keys.extend(m.frontends.keys().cloned());
        self.local.extend(&m.local);
        self.cluster_ips.extend(&m.cluster_ips);
    }
}

fn count(counts: &mut HashMap<IpAddr, usize>, ips: &BTreeSet<IpAddr>, more: bool) {
    for ip in ips {
        let n = counts.entry(*ip).or_default();
        *n = if more { *n + 1 } else { n.saturating_sub(1) };
        if *n == 0 {
            counts.remove(ip);
        }
    }
}

impl State {
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.parts.keys()
    }

    pub fn len(&self) -> usize {
        self.parts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    fn frontend(&self, k: &Key) -> Option<&Frontend> {
        let first = self.claims.get(k)?.first()?;
        self.parts.get(first)?.frontends.get(k)
    }

    /// Sets the models of some services (an empty one: it is gone). Answers what was and what is, of the parts that are
    /// concerned and nothing else: two small models whose rulesets differ exactly as the whole ones do.
    pub fn change(&mut self, changes: Vec<(String, Model)>) -> (Model, Model) {
        let none = Model::default();
        let real = |(name, m): &(String, Model)| self.parts.get(name).unwrap_or(&none) != m;
        let changes: Vec<_> = changes.into_iter().filter(real).collect();
        let mut t = Touched::default();
        for (name, m) in &changes {
            t.add(m);
            t.add(self.parts.get(name).unwrap_or(&none));
        }
        let old = self.excerpt(&t);
        for (name, m) in changes {
            self.set(name, m);
        }
        (old, self.excerpt(&t))
    }

    /// As [`State::change`], where nobody asks what that came to.
    pub fn set_all(&mut self, changes: Vec<(String, Model)>) {
        for (name, m) in changes {
            self.set(name, m);
        }
    }

    fn set(&mut self, name: String, m: Model) {
        if let Some(old) = self.parts.remove(&name) {
            for k in old.frontends.keys() {
                if let Some(c) = self.claims.get_mut(k) {
                    c.remove(&name);
                    if c.is_empty() {
                        self.claims.remove(k);
                    }
                }
            }
            count(&mut self.local, &old.local, false);
            count(&mut self.cluster_ips, &old.cluster_ips, false);
            for p in old.health.keys() {
                self.health.remove(p);
            }
        }
        if m == Model::default() {
            return;
        }
        for k in m.frontends.keys() {
            self.claims.entry(k.clone()).or_default().insert(name.clone());
        }
        count(&mut self.local, &m.local, true);
        count(&mut self.cluster_ips, &m.cluster_ips, true);
        self.health.extend(m.health.iter().map(|(p, h)| (*p, h.clone())));
        self.parts.insert(name, m);
    }

    fn excerpt(&self, t: &Touched) -> Model {
        Model {
            frontends: t.keys.iter().filter_map(|k| Some((k.clone(), self.frontend(k)?.clone()))).collect(),
            cluster_ips: t.cluster_ips.iter().filter(|i| self.cluster_ips.contains_key(i)).copied().collect(),
            local: t.local.iter().filter(|i| self.local.contains_key(i)).copied().collect(),
            health: BTreeMap::new(),
        }
    }

    /// Everything, for a table made anew.
    pub fn whole(&self) -> Model {
        let keys = self.claims.keys();
        Model {
            frontends: keys.filter_map(|k| Some((k.clone(), self.frontend(k)?.clone()))).collect(),
            cluster_ips: self.cluster_ips.keys().copied().collect(),
            local: self.local.keys().copied().collect(),
            health: self.health.clone(),
        }
    }
}
