//! What becomes of one object, judged by its owners and dependents (upstream `attemptToDeleteItem`).

use schema::header::{Header, Owner};

pub const FOREGROUND: &str = "foregroundDeletion";
pub const ORPHAN: &str = "orphan";

/// What is known of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerState {
    /// It is there.
    Solid,
    /// It is gone, or another object has its name.
    Absent,
    /// It is being deleted, and waits for its dependents.
    Waiting,
}

/// What is known of a dependent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dependent {
    /// Its owner reference says that it blocks the owner's deletion.
    pub blocks: bool,
    /// It waits for its own dependents.
    pub waits: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Nothing,
    /// Take this finalizer off.
    RemoveFinalizer(&'static str),
    /// Look at those dependents (by place) that block and do not wait yet.
    CheckDependents(Vec<usize>),
    /// Write these owner references.
    SetOwners(Vec<Owner>),
    /// First write owner references that do not block (there may be a cycle), if any are given, then delete.
    Delete {
        policy: &'static str,
        unblock: Option<Vec<Owner>>,
    },
}

pub fn waits(h: &Header) -> bool {
    h.deleting && h.finalizers.iter().any(|f| f == FOREGROUND)
}
pub fn orphans(h: &Header) -> bool {
    h.deleting && h.finalizers.iter().any(|f| f == ORPHAN)
}

/// `owners` are the states of `h.owners`, in order.
pub fn decide(h: &Header, owners: &[OwnerState], dependents: &[Dependent]) -> Action {
    if waits(h) {
        let blocking = dependents.iter().any(|d| d.blocks);
        if !blocking {
            return Action::RemoveFinalizer(FOREGROUND);
        }
        let to_check = dependents.iter().enumerate().filter(|(_, d)| d.blocks && !d.waits);
        return Action::CheckDependents(to_check.map(|(i, _)| i).collect());
    }
    if h.deleting || h.owners.is_empty() {
        return Action::Nothing;
    }
    let any = |s: OwnerState| owners.contains(&s);
    if any(OwnerState::Solid) {
        if !any(OwnerState::Absent) && !any(OwnerState::Waiting) {
            return Action::Nothing;
        }
        // A waiting owner would wait for ever for an object that another one keeps.
        let solid = h.owners.iter().zip(owners).filter(|(_, s)| **s == OwnerState::Solid);
        return Action::SetOwners(solid.map(|(o, _)| o.clone()).collect());
    }
    if any(OwnerState::Waiting) && !dependents.is_empty() {
        let cycle = dependents.iter().any(|d| d.waits);
        let unblock = (cycle && h.owners.iter().any(|o| o.block_owner_deletion))
            .then(|| h.owners.iter().map(|o| Owner { block_owner_deletion: false, ..o.clone() }).collect());
        return Action::Delete { policy: "Foreground", unblock };
    }
    let has = |f: &str| h.finalizers.iter().any(|x| x == f);
    let policy = if has(ORPHAN) {
        "Orphan"
    } else if has(FOREGROUND) {
        "Foreground"
    } else {
        "Background"
    };
    Action::Delete { policy, unblock: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decides() {
        use OwnerState::{Absent, Solid, Waiting};
        let owner = |uid: &str| Owner { uid: uid.into(), block_owner_deletion: true, ..Owner::default() };
        let h = |n: usize, deleting: bool, finalizers: &[&str]| Header {
            owners: (0..n).map(|i| owner(&i.to_string())).collect(),
            deleting,
            finalizers: finalizers.iter().map(|f| (*f).to_owned()).collect(),
            ..Header::default()
        };
        let dep = |blocks, waits| Dependent { blocks, waits };
        let delete = |policy| Action::Delete { policy, unblock: None };
        let cases = [
            (h(1, false, &[]), vec![Solid], vec![], Action::Nothing),
            (h(1, false, &[]), vec![Absent], vec![], delete("Background")),
            (h(1, false, &["orphan"]), vec![Absent], vec![], delete("Orphan")),
            (h(1, false, &[FOREGROUND]), vec![Absent], vec![], delete("Foreground")),
            (h(2, false, &[]), vec![Solid, Absent], vec![], Action::SetOwners(vec![owner("0")])),
            (h(2, false, &[]), vec![Waiting, Solid], vec![], Action::SetOwners(vec![owner("1")])),
            (h(1, false, &[]), vec![Waiting], vec![], delete("Background")),
            (h(1, false, &[]), vec![Waiting], vec![dep(false, false)], delete("Foreground")),
            (
                h(1, false, &[]),
                vec![Waiting],
                vec![dep(true, true)],
                Action::Delete {
                    policy: "Foreground",
                    unblock: Some(vec![Owner { block_owner_deletion: false, ..owner("0") }]),
                },
            ),
            (h(1, true, &[]), vec![Absent], vec![], Action::Nothing),
            (h(0, true, &[FOREGROUND]), vec![], vec![dep(false, false)], Action::RemoveFinalizer(FOREGROUND)),
            (
                h(0, true, &[FOREGROUND]),
                vec![],
                vec![dep(true, true), dep(true, false), dep(false, false)],
                Action::CheckDependents(vec![1]),
            ),
        ];
        for (i, (h, owners, deps, want)) in cases.into_iter().enumerate() {
            assert_eq!(decide(&h, &owners, &deps), want, "case {i}");
        }
    }
}
