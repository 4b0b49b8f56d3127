//! Pods with containers.

use super::Bench;
use super::table::Table;

pub fn run(_: &Bench, _: &mut Table) -> Result<(), String> {
    Err("to come".into())
}
