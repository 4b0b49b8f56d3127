//! Sets of field paths: what a manager owns (structured-merge-diff `fieldpath/set.go`).
//!
//! A set is a tree. Each node says whether the path to it is a member, and holds the paths below it; a node is a member
//! or has something below it, so an empty set has no nodes.

mod element;
mod filter;
mod text;

pub use element::PathElement;
pub use filter::{Filter, Pattern};
pub use text::ParseError;
pub(crate) use text::write_json;

use std::cmp::Ordering;

/// A set of paths.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldSet {
    /// In the order of their elements, each element once.
    pub(crate) nodes: Vec<FieldNode>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FieldNode {
    pub element: PathElement,
    pub member: bool,
    pub children: FieldSet,
}

impl FieldNode {
    fn useful(self) -> Option<Self> {
        (self.member || !self.children.is_empty()).then_some(self)
    }
}

impl FieldSet {
    pub const EMPTY: &'static FieldSet = &FieldSet { nodes: Vec::new() };

    pub fn new() -> Self {
        Self::default()
    }
    /// A set of dotted paths of field names: `status`, `metadata.deletionTimestamp`.
    pub fn of_paths<'a>(paths: impl IntoIterator<Item = &'a str>) -> Self {
        let mut s = Self::new();
        for p in paths {
            s.insert(p.split('.').map(PathElement::field));
        }
        s
    }
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
    /// The number of paths.
    pub fn len(&self) -> usize {
        self.nodes.iter().map(|n| usize::from(n.member) + n.children.len()).sum()
    }
    /// Adds a path; its parents are not added. The empty path is nobody's.
    pub fn insert(&mut self, path: impl IntoIterator<Item = PathElement>) {
        let mut path = path.into_iter();
        let Some(first) = path.next() else { return };
        let mut node = self.node_mut(first);
        for e in path {
            node = node.children.node_mut(e);
        }
        node.member = true;
    }
    /// The node of an element, made if need be; the caller makes it a member or gives it children.
    pub(crate) fn node_mut(&mut self, element: PathElement) -> &mut FieldNode {
        let i = match self.nodes.last() {
            Some(last) if last.element < element => self.nodes.len(),
            None => 0,
            _ => match self.find(&element) {
                Ok(i) => return &mut self.nodes[i],
                Err(i) => i,
            },
        };
        self.nodes.insert(i, FieldNode { element, member: false, children: FieldSet::new() });
        &mut self.nodes[i]
    }
    /// Adds what was found out about one child, if it is anything.
    pub(crate) fn push(&mut self, element: impl FnOnce() -> PathElement, member: bool, children: FieldSet) {
        if !member && children.is_empty() {
            return;
        }
        let node = self.node_mut(element());
        node.member |= member;
        let had = std::mem::take(&mut node.children);
        node.children = had.union(children);
    }
    fn find(&self, element: &PathElement) -> Result<usize, usize> {
        self.nodes.binary_search_by(|n| n.element.cmp(element))
    }
    pub(crate) fn get(&self, element: &PathElement) -> Option<&FieldNode> {
        self.find(element).ok().map(|i| &self.nodes[i])
    }
    pub(crate) fn get_field(&self, name: &str) -> Option<&FieldNode> {
        let i = self
            .nodes
            .binary_search_by(|n| match &n.element {
                PathElement::Field(f) => (**f).cmp(name),
                _ => Ordering::Greater,
            })
            .ok()?;
        Some(&self.nodes[i])
    }
    pub fn contains(&self, path: &[PathElement]) -> bool {
        match path {
            [] => false,
            [e] => self.get(e).is_some_and(|n| n.member),
            [e, rest @ ..] => self.get(e).is_some_and(|n| n.children.contains(rest)),
        }
    }
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        if self.is_empty() {
            return other;
        }
        if other.is_empty() {
            return self;
        }
        let mut out = Vec::with_capacity(self.nodes.len().max(other.nodes.len()));
        let (mut a, mut b) = (self.nodes.into_iter().peekable(), other.nodes.into_iter().peekable());
        loop {
            let order = match (a.peek(), b.peek()) {
                (Some(x), Some(y)) => x.element.cmp(&y.element),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => break,
            };
            match order {
                Ordering::Less => out.extend(a.next()),
                Ordering::Greater => out.extend(b.next()),
                Ordering::Equal => {
                    if let (Some(x), Some(y)) = (a.next(), b.next()) {
                        out.push(FieldNode {
                            member: x.member || y.member,
                            children: x.children.union(y.children),
                            element: x.element,
                        });
                    }
                }
            }
        }
        Self { nodes: out }
    }
    /// The members that are not members of the other; a parent does not take its children along.
    #[must_use]
    pub fn difference(self, other: &Self) -> Self {
        self.zip(other, |n, o| {
            FieldNode {
                member: n.member && !o.member,
                children: n.children.difference(&o.children),
                element: n.element,
            }
            .useful()
        })
    }
    /// The members that are neither members of the other nor below one of its members.
    #[must_use]
    pub fn recursive_difference(self, other: &Self) -> Self {
        self.zip(other, |n, o| {
            if o.member {
                return None;
            }
            FieldNode { children: n.children.recursive_difference(&o.children), ..n }.useful()
        })
    }
    fn zip(self, other: &Self, both: impl Fn(FieldNode, &FieldNode) -> Option<FieldNode>) -> Self {
        if self.is_empty() || other.is_empty() {
            return self;
        }
        let mut o = other.nodes.iter().peekable();
        let nodes = self.nodes.into_iter().filter_map(|n| {
            while o.next_if(|x| x.element < n.element).is_some() {}
            match o.peek() {
                Some(x) if x.element == n.element => both(n, x),
                _ => Some(n),
            }
        });
        Self { nodes: nodes.collect() }
    }
    /// The members of both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut o = other.nodes.iter().peekable();
        let nodes = self.nodes.iter().filter_map(|n| {
            while o.next_if(|x| x.element < n.element).is_some() {}
            let x = o.peek().filter(|x| x.element == n.element)?;
            let member = n.member && x.member;
            let children = n.children.intersection(&x.children);
            if !member && children.is_empty() {
                return None;
            }
            Some(FieldNode { element: n.element.clone(), member, children })
        });
        Self { nodes: nodes.collect() }
    }
    /// Calls the function with the text of every member (`.spec.replicas`), members of a place before what is below it.
    pub fn for_each_path(&self, f: &mut dyn FnMut(&str)) {
        fn go(s: &FieldSet, path: &mut String, f: &mut dyn FnMut(&str)) {
            let start = path.len();
            for n in s.nodes.iter().filter(|n| n.member) {
                n.element.write(path);
                f(path);
                path.truncate(start);
            }
            for n in s.nodes.iter().filter(|n| !n.children.is_empty()) {
                n.element.write(path);
                go(&n.children, path, f);
                path.truncate(start);
            }
        }
        go(self, &mut String::new(), f);
    }
    /// The texts of all members.
    pub fn paths(&self) -> Vec<String> {
        let mut out = Vec::new();
        self.for_each_path(&mut |p| out.push(p.to_owned()));
        out
    }
}

#[cfg(test)]
mod tests;
