//! keelson: Kubernetes, whole, in one Rust program. `main` is the table of applets.

mod applets;
mod containerd;
mod nodeconf;
mod server;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().collect();
    let first = if args.is_empty() { String::new() } else { args.remove(0) };
    let mut name = first.rsplit('/').next().unwrap_or_default().to_owned();
    if applets::find(&name).is_none() {
        name = if args.is_empty() { "help".to_owned() } else { args.remove(0) };
    }
    match applets::find(&name) {
        Some(a) => (a.run)(args),
        None => {
            let help = matches!(name.as_str(), "help" | "--help" | "-h");
            if help {
                print!("{}", applets::help());
                return ExitCode::SUCCESS;
            }
            eprintln!("keelson: there is no {name:?} here; `keelson help` lists what there is");
            ExitCode::FAILURE
        }
    }
}
