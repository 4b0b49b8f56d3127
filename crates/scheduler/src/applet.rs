//! The scheduler as a program of its own, with upstream's flags.

use crate::flags::Flags;
use crate::run::{Config, run};
use crate::server;
use clap::Parser;
use client::config::kubeconfig::{Kubeconfig, Overrides};
use client::{Client, HttpTransport};
use runtime::Runtime;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Runs `kube-scheduler ARGS` to its end; call it outside of any async runtime.
pub fn run_applet(args: Vec<String>) -> ExitCode {
    let args = std::iter::once("kube-scheduler".to_owned()).chain(args);
    let flags = match Flags::try_parse_from(args) {
        Ok(f) => f,
        Err(e) => {
            let _ = e.print();
            return ExitCode::from(u8::try_from(e.exit_code()).unwrap_or(1));
        }
    };
    runtime::log::init(flags.v);
    let made = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("scheduler").build();
    let done = match made {
        Ok(rt) => {
            let done = rt.block_on(main(flags));
            rt.shutdown_timeout(Duration::from_secs(1));
            done
        }
        Err(e) => Err(format!("cannot start: {e}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("kube-scheduler: {e}");
            ExitCode::FAILURE
        }
    }
}

async fn main(flags: Flags) -> Result<(), String> {
    let scheduling = flags.scheduling()?;
    for s in &scheduling.without_effect {
        tracing::warn!("{s} in the configuration has no effect");
    }
    let rt = Runtime::new();
    let connection = connection(scheduling.kubeconfig.as_deref(), &flags.master)?;
    let transport = HttpTransport::new(connection, &rt).map_err(|e| e.to_string())?;
    let client = Client::new(Arc::new(transport));
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let config = Config { scheduling, ..Config::new(host.trim()) };
    server::start(&flags, config.metrics.clone(), &rt).await?;
    let result = tokio::select! {
        r = run(config, client, rt.clone()) => r.map_err(|e| e.to_string()),
        () = runtime::tasks::terminated() => Ok(()),
    };
    rt.shutdown(Duration::from_secs(5)).await;
    result
}

fn connection(kubeconfig: Option<&str>, master: &str) -> Result<client::Config, String> {
    let found = match kubeconfig {
        Some(p) => Kubeconfig::read(Path::new(p)).and_then(|k| {
            let o = Overrides { server: master.to_owned(), ..Overrides::default() };
            client::Config::from_kubeconfig(&k, &o)
        }),
        None if !master.is_empty() => {
            Ok(client::Config { server: master.to_owned(), ..client::Config::default() })
        }
        None => client::Config::in_cluster(),
    };
    found.map_err(|e| e.to_string())
}
