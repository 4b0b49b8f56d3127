//! The scheduler as a program of its own, with upstream's flags.

use crate::flags::Flags;
use crate::run::{Config, run};
use crate::upstream::FOREIGN;
use client::{Client, HttpTransport};
use runtime::Runtime;
use runtime::args::Old;
use runtime::notify::Notify;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

const NAME: &str = "kube-scheduler";

/// Flags of guides and manifests of years past.
const OLD: &[Old] = &[
    Old {
        name: "address",
        switch: false,
        now: Some("bind-address"),
        became: "is now --bind-address; health and metrics are served by HTTPS on --secure-port",
    },
    Old {
        name: "port",
        switch: false,
        now: None,
        became: "was the port without TLS: health and metrics are served by HTTPS on --secure-port",
    },
    Old {
        name: "algorithm-provider",
        switch: false,
        now: None,
        became: "is gone: profiles are said in the file of --config",
    },
    Old {
        name: "logtostderr",
        switch: true,
        now: None,
        became: "is always so: the log goes to standard error",
    },
];

/// Runs `kube-scheduler ARGS` to its end; call it outside of any async runtime.
pub fn run_applet(args: Vec<String>) -> ExitCode {
    let parsed = guard::flags::parse(args, NAME, OLD, &[FOREIGN, guard::flags::SHARED]);
    guard::applet::run(NAME, "scheduler", parsed, |f: &Flags| (f.version, f.v), main)
}

async fn main(flags: Flags) -> Result<(), String> {
    let scheduling = flags.scheduling()?;
    for s in &scheduling.without_effect {
        tracing::warn!("{s} in the configuration has no effect");
    }
    let rt = Runtime::new();
    let kubeconfig = scheduling.kubeconfig.as_deref().map(Path::new);
    let connection = client::Config::for_component(kubeconfig, &flags.master).map_err(|e| e.to_string())?;
    // Connections outlive the work: the lease is given back when that has stopped.
    let below = Runtime::new();
    let transport = HttpTransport::new(connection, &below).map_err(|e| e.to_string())?;
    let client = Client::new(Arc::new(transport));
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let config = Config { scheduling, ..Config::new(host.trim()) };
    let metrics = config.metrics.clone();
    let shown = guard::Shown {
        component: NAME,
        readiness: "sched-handler-sync",
        metrics: Box::new(move || metrics.text() + &guard::process::metrics()),
    };
    guard::start(&flags.serving, 10259, shown, &rt).await?;
    let notify = Notify::from_env();
    notify.ready();
    let signals = rt.clone();
    // The lease is given back: whoever waits for it need not wait for its end.
    rt.spawn_until_stop("signals", async move {
        runtime::tasks::terminated().await;
        notify.stopping();
        signals.stop_token().cancel();
    });
    let result = run(config, client, rt.clone()).await.map_err(|e| e.to_string());
    rt.shutdown(Duration::from_secs(5)).await;
    below.shutdown(Duration::from_secs(1)).await;
    result
}
