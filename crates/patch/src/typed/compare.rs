//! What changed between two values (structured-merge-diff `typed/compare.go`).

use super::items::{index, list};
use super::zero::{nulls, zero_of};
use super::{Invalid, MAX_DEPTH, Place, child, item};
use crate::fieldset::{FieldSet, Filter, PathElement};
use crate::number::equal;
use schema::Node;
use serde_json::{Map, Value};

/// The paths that differ.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Comparison {
    /// In both but different, or only in the new value.
    pub changed: FieldSet,
    /// Only in the old value.
    pub removed: FieldSet,
}

impl Comparison {
    pub fn is_same(&self) -> bool {
        self.changed.is_empty() && self.removed.is_empty()
    }
    #[must_use]
    pub fn filter(self, f: &Filter) -> Self {
        Self { changed: f.apply(self.changed), removed: f.apply(self.removed) }
    }
}

/// Compares two objects of one type. `metadata.managedFields` is left out.
pub fn compare(old: &Value, new: &Value, node: Node<'_>) -> Result<Comparison, Invalid> {
    let mut d = Delta::default();
    go(Some(old), Some(new), node, 0, false, &mut d)?;
    Ok(Comparison { changed: d.changed, removed: d.removed })
}

/// What differs at a place and below it.
#[derive(Default)]
struct Delta {
    changed_here: bool,
    removed_here: bool,
    changed: FieldSet,
    removed: FieldSet,
}

impl Delta {
    fn leaf(&mut self, l: Option<&Value>, r: Option<&Value>) {
        match (l, r) {
            (None, _) => self.changed_here = true,
            (_, None) => self.removed_here = true,
            (Some(l), Some(r)) => self.changed_here |= !equal(l, r),
        }
    }
    fn adopt(&mut self, element: impl FnOnce() -> PathElement, d: Delta) {
        match (d.changed_here || !d.changed.is_empty(), d.removed_here || !d.removed.is_empty()) {
            (false, false) => {}
            (true, false) => self.changed.push(element, d.changed_here, d.changed),
            (false, true) => self.removed.push(element, d.removed_here, d.removed),
            (true, true) => {
                let e = element();
                self.changed.push(|| e.clone(), d.changed_here, d.changed);
                self.removed.push(|| e, d.removed_here, d.removed);
            }
        }
    }
}

fn go(
    l: Option<&Value>,
    r: Option<&Value>,
    node: Node<'_>,
    depth: usize,
    in_metadata: bool,
    d: &mut Delta,
) -> Result<(), Invalid> {
    if depth > MAX_DEPTH {
        d.leaf(l, r);
        return Ok(());
    }
    let place = Place::of(node, [l, r]);
    match &place {
        Place::Leaf => d.leaf(l, r),
        Place::Struct | Place::Map => {
            let (lm, rm) = (l.and_then(Value::as_object), r.and_then(Value::as_object));
            let one = l.is_none() != r.is_none() && matches!(place, Place::Struct);
            if is_empty(lm) && is_empty(rm) && !(one && nulls(node).next().is_some()) {
                d.leaf(l, r);
                return Ok(());
            }
            let both = Both { l: (l, lm), r: (r, rm), node, place: &place, depth, in_metadata };
            both.fields(d)?;
            if one {
                let there = lm.or(rm);
                for name in nulls(node).filter(|n| there.is_some_and(|m| !m.contains_key(*n))) {
                    let side = if l.is_none() { &mut d.changed } else { &mut d.removed };
                    side.push(|| PathElement::field(name), true, FieldSet::new());
                }
            }
            // A map in place of something else, or the other way round (only where the type is unknown).
            if [l, r].iter().flatten().any(|v| !v.is_object() && !v.is_null()) {
                d.leaf(l, r);
                return Ok(());
            }
            d.changed_here |= l.is_none();
            d.removed_here |= r.is_none();
        }
        Place::Keyed(_) | Place::Set => {
            let (la, ra) = (list(l), list(r));
            if la.is_empty() && ra.is_empty() {
                d.leaf(l, r);
                return Ok(());
            }
            items(&place, la, ra, item(node), depth, d)?;
            d.changed_here |= l.is_none();
            d.removed_here |= r.is_none();
        }
    }
    Ok(())
}

fn is_empty(m: Option<&Map<String, Value>>) -> bool {
    m.is_none_or(Map::is_empty)
}
struct Both<'v, 'n, 'p> {
    l: (Option<&'v Value>, Option<&'v Map<String, Value>>),
    r: (Option<&'v Value>, Option<&'v Map<String, Value>>),
    node: Node<'n>,
    place: &'p Place,
    depth: usize,
    in_metadata: bool,
}

impl Both<'_, '_, '_> {
    fn fields(&self, d: &mut Delta) -> Result<(), Invalid> {
        let (mut li, mut ri) =
            (self.l.1.into_iter().flatten().peekable(), self.r.1.into_iter().flatten().peekable());
        loop {
            let (key, lv, rv) = match (li.peek(), ri.peek()) {
                (Some((lk, _)), Some((rk, _))) if lk == rk => {
                    let (Some((k, l)), Some((_, r))) = (li.next(), ri.next()) else { break };
                    (k, Some(l), Some(r))
                }
                (Some((lk, _)), Some((rk, _))) if lk < rk => match li.next() {
                    Some((k, l)) => (k, Some(l), None),
                    None => break,
                },
                (Some(_), None) => match li.next() {
                    Some((k, l)) => (k, Some(l), None),
                    None => break,
                },
                (_, Some(_)) => match ri.next() {
                    Some((k, r)) => (k, None, Some(r)),
                    None => break,
                },
                (None, None) => break,
            };
            self.field(key, lv, rv, d)?;
        }
        Ok(())
    }
    fn field(&self, key: &str, l: Option<&Value>, r: Option<&Value>, d: &mut Delta) -> Result<(), Invalid> {
        // Most of an object is as it was: no look at the schema for that.
        if l.is_some() && l == r {
            return Ok(());
        }
        if self.in_metadata && key == "managedFields" {
            return Ok(());
        }
        let (node, named) = child(self.node, self.place, key, self.depth == 0).unwrap_or((Node::Any, false));
        let (mut l, mut r) = (l, r);
        if named {
            if l.is_none() && self.l.1.is_some() {
                l = zero_of(node);
            }
            if r.is_none() && self.r.1.is_some() {
                r = zero_of(node);
            }
        }
        let mut below = Delta::default();
        go(l, r, node, self.depth + 1, self.depth == 0 && key == "metadata", &mut below)
            .map_err(|e| e.under(&PathElement::field(key)))?;
        d.adopt(|| PathElement::field(key), below);
        Ok(())
    }
}

/// Items of the same element are compared; items that come twice are compared as one.
fn items(
    place: &Place,
    l: &[Value],
    r: &[Value],
    node: Node<'_>,
    depth: usize,
    d: &mut Delta,
) -> Result<(), Invalid> {
    let (mut l, mut r) = (index(place, l)?, index(place, r)?);
    l.sort_by(|a, b| a.0.cmp(&b.0));
    r.sort_by(|a, b| a.0.cmp(&b.0));
    let (mut l, mut r) = (l.as_slice(), r.as_slice());
    loop {
        let first = match (l.first(), r.first()) {
            (Some(a), Some(b)) => {
                if a.0 <= b.0 {
                    &a.0
                } else {
                    &b.0
                }
            }
            (Some(a), None) => &a.0,
            (None, Some(b)) => &b.0,
            (None, None) => return Ok(()),
        };
        let (ls, lrest) = l.split_at(l.iter().take_while(|x| x.0 == *first).count());
        let (rs, rrest) = r.split_at(r.iter().take_while(|x| x.0 == *first).count());
        let mut below = Delta::default();
        match (ls.len(), rs.len()) {
            (0 | 1, 0 | 1) => {
                let (a, b) = (ls.first().map(|x| x.1), rs.first().map(|x| x.1));
                if a.is_none() || a != b {
                    go(a, b, node, depth + 1, false, &mut below).map_err(|e| e.under(first))?;
                }
            }
            (2.., 2..) => {
                below.changed_here = ls.len() != rs.len() || !ls.iter().zip(rs).all(|(a, b)| equal(a.1, b.1));
            }
            (2.., _) => {
                if let Some((_, b)) = rs.first() {
                    go(None, Some(b), node, depth + 1, false, &mut below).map_err(|e| e.under(first))?;
                }
                below.removed_here = true;
            }
            (_, _) => {
                if let Some((_, a)) = ls.first() {
                    go(Some(a), None, node, depth + 1, false, &mut below).map_err(|e| e.under(first))?;
                }
                below.changed_here = true;
            }
        }
        d.adopt(|| first.clone(), below);
        (l, r) = (lrest, rrest);
    }
}
