//! `kubectl` alone: a short link for trying things out.

use std::process::ExitCode;

fn main() -> ExitCode {
    kubectl::run(std::env::args().skip(1).collect())
}
