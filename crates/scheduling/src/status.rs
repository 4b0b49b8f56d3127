//! Why a node does not take a pod, and how that is told (`framework/types.go` `FitError`).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

pub type Reason = Cow<'static, str>;

/// How final a refusal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Removing pods may help.
    Unschedulable,
    /// Only a change of the node or of the pod does.
    Unresolvable,
    /// Something went wrong; the pod is tried again.
    Error,
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub code: Code,
    pub reasons: Reasons,
}

/// One reason is the usual case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reasons {
    One(Reason),
    Many(Vec<Reason>),
}

impl Reasons {
    pub fn as_slice(&self) -> &[Reason] {
        match self {
            Self::One(r) => std::slice::from_ref(r),
            Self::Many(r) => r,
        }
    }
}

impl Refusal {
    pub fn new(reason: impl Into<Reason>) -> Self {
        Self { code: Code::Unschedulable, reasons: Reasons::One(reason.into()) }
    }
    pub fn unresolvable(reason: impl Into<Reason>) -> Self {
        Self { code: Code::Unresolvable, reasons: Reasons::One(reason.into()) }
    }
    pub fn error(why: impl Into<Reason>) -> Self {
        Self { code: Code::Error, reasons: Reasons::One(why.into()) }
    }
    pub fn message(&self) -> String {
        self.reasons.as_slice().join(", ")
    }
}

/// Nodes that were refused, by the refusal: there are few different ones.
#[derive(Debug, Default)]
pub struct Refused {
    different: Vec<Refusal>,
    /// Slot and number of the refusal.
    nodes: Vec<(usize, usize)>,
}

impl Refused {
    /// Notes a refusal; a node has one.
    pub fn insert(&mut self, slot: usize, why: &Refusal) {
        let last = self.nodes.last().map(|n| n.1).filter(|i| self.different[*i] == *why);
        let i = last.or_else(|| self.different.iter().position(|d| d == why)).unwrap_or_else(|| {
            self.different.push(why.clone());
            self.different.len() - 1
        });
        self.nodes.push((slot, i));
    }
    pub fn len(&self) -> usize {
        self.nodes.len()
    }
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
    pub fn get(&self, slot: usize) -> Option<&Refusal> {
        self.nodes.iter().find(|n| n.0 == slot).map(|n| &self.different[n.1])
    }
    /// Each refusal with the number of its nodes.
    fn counts(&self) -> Vec<(&Refusal, usize)> {
        let mut n = vec![0; self.different.len()];
        self.nodes.iter().for_each(|(_, i)| n[*i] += 1);
        self.different.iter().zip(n).collect()
    }
}

/// What a cycle found out about nodes.
#[derive(Debug, Default)]
pub struct Diagnosis {
    /// Nodes that were looked at and refused.
    pub nodes: Refused,
    /// What holds for nodes that were not looked at: reasons, and whether removing pods may help.
    pub absent: Option<Refusal>,
    pub before_filter: String,
    pub after_filter: String,
    /// Plugins that refused anything.
    pub plugins: BTreeSet<&'static str>,
}

impl Diagnosis {
    pub fn of(&self, slot: usize) -> Code {
        self.nodes.get(slot).or(self.absent.as_ref()).map_or(Code::Unresolvable, |r| r.code)
    }
    /// Those of `all` that removing pods may help, in that order; `slots` is beyond all of them.
    pub fn may_help(&self, all: &[usize], slots: usize) -> Vec<usize> {
        let helps = |r: &Refusal| r.code == Code::Unschedulable;
        let mut by_slot = vec![self.absent.as_ref().is_some_and(helps); slots];
        for (slot, i) in &self.nodes.nodes {
            if let Some(s) = by_slot.get_mut(*slot) {
                *s = helps(&self.nodes.different[*i]);
            }
        }
        all.iter().copied().filter(|s| by_slot.get(*s) == Some(&true)).collect()
    }
    /// `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable. preemption: …`
    pub fn message(&self, all: usize) -> String {
        let mut m = format!("0/{all} nodes are available:");
        if self.before_filter.is_empty() {
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            let absent = self.absent.iter().map(|a| (a, all.saturating_sub(self.nodes.len())));
            for (r, n) in self.nodes.counts().into_iter().chain(absent).filter(|r| r.1 > 0) {
                for reason in r.reasons.as_slice() {
                    *counts.entry(reason).or_default() += n;
                }
            }
            let mut parts: Vec<String> = counts.iter().map(|(r, n)| format!("{n} {r}")).collect();
            parts.sort();
            if !parts.is_empty() {
                m.push_str(&format!(" {}.", parts.join(", ")));
            }
        } else {
            m.push_str(&format!(" {}.", self.before_filter));
        }
        if !self.after_filter.is_empty() {
            m.push(' ');
            m.push_str(&self.after_filter);
        }
        m
    }
}
