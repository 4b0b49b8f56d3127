//! What an endpoint leaves out of ownership: reset fields.

use super::{FieldNode, FieldSet, PathElement};

/// Which fields an endpoint can change at all.
#[derive(Clone, Debug, Default)]
pub enum Filter {
    #[default]
    All,
    /// All but these and what is below them.
    Exclude(FieldSet),
    /// Only what one of the patterns matches (`pods/resize`, `pods/ephemeralcontainers`).
    Include(Vec<Pattern>),
}

/// A path whose steps may be anything (`None`), and everything below it.
#[derive(Clone, Debug)]
pub struct Pattern(pub Vec<Option<PathElement>>);

impl Pattern {
    /// A dotted path in which `*` is any step: `spec.containers.*.resources`.
    pub fn parse(path: &str) -> Self {
        Self(path.split('.').map(|s| (s != "*").then(|| PathElement::field(s))).collect())
    }
}

impl Filter {
    /// The filter of reset fields, dotted: `status`, `metadata.deletionTimestamp`.
    pub fn exclude(paths: &[&str]) -> Self {
        if paths.is_empty() { Self::All } else { Self::Exclude(FieldSet::of_paths(paths.iter().copied())) }
    }
    /// The filter that keeps only these, dotted, `*` for any step.
    pub fn include(paths: &[&str]) -> Self {
        Self::Include(paths.iter().map(|p| Pattern::parse(p)).collect())
    }
    pub fn apply(&self, set: FieldSet) -> FieldSet {
        match self {
            Self::All => set,
            Self::Exclude(x) => set.recursive_difference(x),
            Self::Include(ps) => {
                let ps: Vec<&[Option<PathElement>]> = ps.iter().map(|p| p.0.as_slice()).collect();
                include(set, &ps)
            }
        }
    }
}

/// Members on the way to a match are kept, as upstream's matcher keeps them.
fn include(set: FieldSet, patterns: &[&[Option<PathElement>]]) -> FieldSet {
    if patterns.iter().any(|p| p.is_empty()) {
        return set;
    }
    let nodes = set.nodes.into_iter().filter_map(|n| {
        let below: Vec<&[Option<PathElement>]> = patterns
            .iter()
            .filter(|p| p[0].as_ref().is_none_or(|e| *e == n.element))
            .map(|p| &p[1..])
            .collect();
        if below.is_empty() {
            return None;
        }
        FieldNode { children: include(n.children, &below), ..n }.useful()
    });
    FieldSet { nodes: nodes.collect() }
}
