//! keelson: Kubernetes, whole, in one Rust program. `main` is the table of applets.

mod agent;
mod applets;
mod cluster;
mod containerd;
mod flags;
mod keys;
mod kube_apiserver;
mod memory;
mod net;
mod node;
mod nodeconf;
mod preflight;
mod server;
mod shared;
mod tools;
mod trim;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The allocator asks for huge pages, which make a small heap twice as large and little faster.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
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

/// Runs a component to its end; its error is printed here, once.
fn block_on(work: impl Future<Output = Result<(), String>>) -> ExitCode {
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    let rt = match threads.enable_all().thread_name("keelson").on_thread_park(memory::give_back).build() {
        Ok(r) => r,
        Err(e) => {
            eprintln!("keelson: cannot start: {e}");
            return ExitCode::FAILURE;
        }
    };
    let done = rt.block_on(work);
    rt.shutdown_timeout(std::time::Duration::from_secs(1));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("keelson: {e}");
            ExitCode::FAILURE
        }
    }
}
