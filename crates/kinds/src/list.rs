//! The kinds that have behaviour of their own: one line each, sorted by resource and group.

use crate::Strategy;

/// The strategy of kinds without a line: everything as the trait's defaults say.
pub(crate) struct Generic;
impl Strategy for Generic {}

/// Resource, group, strategy.
pub(crate) const KINDS: &[(&str, &str, &dyn Strategy)] = &[];

/// The hooks of a resource; a generic strategy for resources without behaviour of their own.
pub fn strategy(group: &str, resource: &str) -> &'static dyn Strategy {
    match KINDS.binary_search_by(|(r, g, _)| (*r, *g).cmp(&(resource, group))) {
        Ok(i) => KINDS[i].2,
        Err(_) => &Generic,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted() {
        assert!(KINDS.is_sorted_by(|a, b| (a.0, a.1) < (b.0, b.1)));
    }
}
