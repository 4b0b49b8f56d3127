//! Logging to standard error, levelled by `-v` (upstream's verbosity) or `KEELSON_LOG`.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Sets the process's logger; later calls do nothing. `verbosity` 0 shows warnings and notices, 2 info, 4 debug, 6 trace.
pub fn init(verbosity: u8) {
    let level = match verbosity {
        0..=3 => "info",
        4 | 5 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env("KEELSON_LOG").unwrap_or_else(|_| {
        EnvFilter::new(format!("{level},hyper=warn,h2=warn,rustls=warn,tower=warn,tonic=warn"))
    });
    let sub = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(true);
    if sub.try_init().is_err() {
        tracing::debug!("the logger was set before");
    }
}
