//! The etcd v3 API over the embedded store: one member, for those who want the store in a process of its own.
//!
//! What a request means is decided in `mvcc`; here is only the translation between etcd's messages and it, and what
//! belongs to a connection: watch streams, keep-alive streams, limits.

#[allow(clippy::all, clippy::pedantic, clippy::disallowed_methods, missing_docs)]
#[rustfmt::skip]
#[path = "gen/mod.rs"]
pub mod pb;

mod compaction;
mod convert;
mod flags;
mod health;
mod kv;
mod lease;
mod maintenance;
pub mod remote;
mod server;
mod unary;
mod watch;

pub use flags::Config;
pub use server::{Running, start};

use runtime::Runtime;

/// The version that clients are told: whose API this is.
pub const VERSION: &str = "3.7.3";

/// The applet `etcd`: serves until the runtime stops or a signal asks the process to end.
pub async fn run(args: Vec<String>, rt: Runtime) -> Result<(), String> {
    let config = match flags::parse(args, |name| std::env::var(name).ok())? {
        flags::Parsed::Run(c) => *c,
        flags::Parsed::Text(t) => {
            print!("{t}");
            return Ok(());
        }
    };
    runtime::log::init(config.verbosity());
    for line in config.notices() {
        tracing::warn!("{line}");
    }
    let running = start(config, rt.child()).await?;
    let notify = runtime::notify::Notify::from_env();
    notify.ready();
    tokio::select! {
        () = rt.stopping() => {}
        () = runtime::tasks::terminated() => {}
    }
    notify.stopping();
    running.stop().await;
    Ok(())
}
