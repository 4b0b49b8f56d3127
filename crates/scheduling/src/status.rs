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

/// What a cycle found out about nodes.
#[derive(Debug, Default)]
pub struct Diagnosis {
    /// By slot: nodes that were looked at and refused.
    pub nodes: BTreeMap<usize, Refusal>,
    /// What holds for nodes that were not looked at: reasons, and whether removing pods may help.
    pub absent: Option<Refusal>,
    pub before_filter: String,
    pub after_filter: String,
    /// Plugins that refused anything.
    pub plugins: BTreeSet<&'static str>,
}

impl Diagnosis {
    pub fn of(&self, slot: usize) -> Code {
        self.nodes.get(&slot).or(self.absent.as_ref()).map_or(Code::Unresolvable, |r| r.code)
    }
    /// `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable. preemption: …`
    pub fn message(&self, all: usize) -> String {
        let mut m = format!("0/{all} nodes are available:");
        if self.before_filter.is_empty() {
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            for r in self.nodes.values().flat_map(|n| n.reasons.as_slice()) {
                *counts.entry(r).or_default() += 1;
            }
            if self.nodes.len() < all {
                for r in self.absent.iter().flat_map(|a| a.reasons.as_slice()) {
                    *counts.entry(r).or_default() += all - self.nodes.len();
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
