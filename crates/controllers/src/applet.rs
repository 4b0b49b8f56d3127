//! The controllers as a program of their own, with upstream's flags.

use crate::config::{ClientFor, Config};
use crate::credentials;
use crate::flags::Flags;
use crate::upstream::FOREIGN;
use client::leader::LeaderElection;
use client::{Client, HttpTransport};
use runtime::Runtime;
use runtime::args::Old;
use runtime::notify::Notify;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const NAME: &str = "kube-controller-manager";

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
        name: "experimental-cluster-signing-duration",
        switch: false,
        now: Some("cluster-signing-duration"),
        became: "is now --cluster-signing-duration",
    },
    Old {
        name: "pod-eviction-timeout",
        switch: false,
        now: None,
        became: "is gone: pods say how long they bear a node's failure, in their tolerations",
    },
    Old {
        name: "enable-taint-manager",
        switch: true,
        now: None,
        became: "is always so; --controllers=-taint-eviction-controller turns it off",
    },
    Old {
        name: "logtostderr",
        switch: true,
        now: None,
        became: "is always so: the log goes to standard error",
    },
];

/// The command line, and what is to be logged about it.
pub fn parse(args: Vec<String>) -> Result<(Flags, Vec<String>), (String, bool)> {
    guard::flags::parse(args, NAME, OLD, &[FOREIGN, guard::flags::SHARED])
}

/// Runs `kube-controller-manager ARGS` to its end; call it outside of any async runtime.
pub fn run_applet(args: Vec<String>) -> ExitCode {
    let parsed = parse(args);
    guard::applet::run(NAME, "controllers", parsed, |f: &Flags| (f.version, f.v), main)
}

async fn main(flags: Flags) -> Result<(), String> {
    let rt = Runtime::new();
    let connection = client::Config::for_component(flags.kubeconfig().as_deref(), &flags.master)
        .map_err(|e| e.to_string())?;
    // Connections outlive the work: the lease is given back when that has stopped.
    let below = Runtime::new();
    let transport = HttpTransport::new(connection.clone(), &below).map_err(|e| e.to_string())?;
    let own = Client::new(Arc::new(transport)).named(NAME);
    let client_for: ClientFor = if flags.use_service_account_credentials {
        credentials::per_account(own.clone(), connection, &rt)
    } else {
        let own = own.clone();
        Arc::new(move |account| if account.is_empty() { own.clone() } else { own.clone().named(account) })
    };
    let mut config = Config::new(client_for);
    flags.fill(&mut config)?;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    host.trim().clone_into(&mut config.host);

    let leading = Arc::new(AtomicBool::new(false));
    let seen = leading.clone();
    let shown =
        guard::Shown { component: NAME, readiness: "controllers", metrics: Box::new(move || metrics(&seen)) };
    guard::start(&flags.serving, 10257, shown, &rt).await?;
    let notify = Notify::from_env();
    notify.ready();
    let signals = rt.clone();
    // The lease is given back: whoever waits for it need not wait for its end.
    rt.spawn_until_stop("signals", async move {
        runtime::tasks::terminated().await;
        notify.stopping();
        signals.stop_token().cancel();
    });
    let work = async {
        leading.store(true, Ordering::Relaxed);
        crate::run(config.clone(), rt.clone()).await;
    };
    let kept = if flags.leader_elect {
        let identity = LeaderElection::identity_for(&config.host);
        let (namespace, name) = (&flags.leader_elect_resource_namespace, &flags.leader_elect_resource_name);
        let election = LeaderElection {
            lease_duration: flags.leader_elect_lease_duration,
            renew_deadline: flags.leader_elect_renew_deadline,
            retry_period: flags.leader_elect_retry_period,
            ..LeaderElection::new(own, namespace, name, &identity)
        };
        election.run(&rt, work).await
    } else {
        work.await;
        true
    };
    rt.shutdown(Duration::from_secs(5)).await;
    below.shutdown(Duration::from_secs(1)).await;
    if kept { Ok(()) } else { Err("leader election lost".into()) }
}

fn metrics(leading: &AtomicBool) -> String {
    let leads = u8::from(leading.load(Ordering::Relaxed));
    format!(
        "# HELP leader_election_master_status Whether this process leads.\n# TYPE leader_election_master_status gauge\nleader_election_master_status{{name=\"{NAME}\"}} {leads}\n{}",
        guard::process::metrics()
    )
}
