//! The program: the table of applets; `server` and `agent`.
fn main() {}
