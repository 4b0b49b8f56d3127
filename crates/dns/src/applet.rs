//! Cluster DNS as a program of its own, with the flags of kube-dns.

use crate::server::{Config, run};
use clap::Parser;
use client::{Client, HttpTransport};
use http::{Response, StatusCode};
use runtime::Runtime;
use runtime::args::{Foreign, Old};
use runtime::notify::Notify;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

const NAME: &str = "kube-dns";

/// Answers for the cluster's names (DNS specification 1.1), and passes on all others.
#[derive(Clone, Debug, Parser)]
#[command(name = "kube-dns", disable_version_flag = true, args_override_self = true)]
struct Flags {
    /// The domain of the cluster's names.
    #[arg(long, default_value = "cluster.local.")]
    domain: String,
    /// The address to answer on.
    #[arg(long, default_value = "0.0.0.0")]
    dns_bind_address: IpAddr,
    /// The port to answer on, by UDP and TCP.
    #[arg(long, default_value_t = 53)]
    dns_port: u16,
    /// How to reach the API server. Default: from inside the pod.
    #[arg(long, default_value = "")]
    kubeconfig: String,
    /// The address of the Kubernetes API server (overrides any value in kubeconfig).
    #[arg(long, default_value = "")]
    master: String,
    /// Where the servers for all other names are listed.
    #[arg(long, default_value = "/etc/resolv.conf")]
    resolv_conf: PathBuf,
    /// Addresses that lead here, as the Service's: other names are never passed on to them. Separated by commas.
    #[arg(long, value_delimiter = ',')]
    own_addresses: Vec<IpAddr>,
    /// The port of /healthz, /readiness and /metrics, by HTTP; 0: none.
    #[arg(long, default_value_t = 8081)]
    healthz_port: u16,
    /// How much is logged: 0 notices, 4 debug, 6 trace.
    #[arg(short, long, default_value_t = 0)]
    v: u8,
    /// Print the version and end.
    #[arg(long)]
    version: bool,
}

const OLD: &[Old] = &[
    Old { name: "kubecfg-file", switch: false, now: Some("kubeconfig"), became: "is now --kubeconfig" },
    Old { name: "kube-master-url", switch: false, now: Some("master"), became: "is now --master" },
    Old {
        name: "logtostderr",
        switch: true,
        now: None,
        became: "is always so: the log goes to standard error",
    },
];

const FOREIGN: &[Foreign] = &[
    Foreign("config-dir", false, &[""]),
    Foreign("config-map", false, &[""]),
    Foreign("federations", false, &[""]),
    Foreign("nameservers", false, &[""]),
    Foreign("initial-sync-timeout", false, &["1m0s", "60s"]),
];

/// Runs `kube-dns ARGS` to its end; call it outside of any async runtime.
pub fn run_applet(args: Vec<String>) -> ExitCode {
    let parsed = guard::flags::parse(args, NAME, OLD, &[FOREIGN]);
    guard::applet::run(NAME, NAME, parsed, |f: &Flags| (f.version, f.v), main)
}

async fn main(f: Flags) -> Result<(), String> {
    let rt = Runtime::new();
    let kubeconfig = Some(Path::new(&f.kubeconfig)).filter(|p| !p.as_os_str().is_empty());
    let connection = client::Config::for_component(kubeconfig, &f.master).map_err(|e| e.to_string())?;
    let client =
        Client::new(Arc::new(HttpTransport::new(connection, &rt).map_err(|e| e.to_string())?)).named(NAME);
    if f.healthz_port != 0 {
        health(SocketAddr::new(IpAddr::from([0, 0, 0, 0]), f.healthz_port), &rt).await?;
    }
    let config = Config {
        listen: SocketAddr::new(f.dns_bind_address, f.dns_port),
        domain: f.domain.trim_end_matches('.').to_owned(),
        resolv_conf: f.resolv_conf,
        own: f.own_addresses,
    };
    run(config, client, rt.clone()).await.map_err(|e| e.to_string())?;
    let (ready, notify) = (rt.ready.clone(), Notify::from_env());
    let told = async {
        ready.wait_for(NAME).await;
        notify.ready();
        tracing::info!("answering for {}", f.domain);
        std::future::pending::<()>().await;
    };
    tokio::select! { () = told => {}, () = runtime::tasks::terminated() => {} }
    notify.stopping();
    rt.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

async fn health(a: SocketAddr, rt: &Runtime) -> Result<(), String> {
    let listener = serve::Listener::bind(a).await.map_err(|e| format!("--healthz-port: {e}"))?;
    let (server, ready) = (serve::Server::new(rt.clone()), rt.ready.clone());
    rt.spawn("health and metrics", async move {
        let answer = move |req: http::Request<_>| {
            let ready = ready.clone();
            async move { answer(&ready, &req) }
        };
        server.run(listener, answer).await;
    });
    Ok(())
}

fn answer<B>(ready: &runtime::Readiness, req: &http::Request<B>) -> Response<serve::Body> {
    let (code, text) = match req.uri().path() {
        "/healthz" | "/healthcheck/kubedns" => (StatusCode::OK, "ok\n".to_owned()),
        "/readiness" if ready.is_ready() => (StatusCode::OK, "ok\n".to_owned()),
        "/readiness" => (StatusCode::SERVICE_UNAVAILABLE, "waiting for services\n".to_owned()),
        "/metrics" => (StatusCode::OK, guard::process::metrics()),
        _ => (StatusCode::NOT_FOUND, "404 page not found\n".to_owned()),
    };
    let mut r = Response::new(serve::full(text));
    *r.status_mut() = code;
    r
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_flags_are_understood() {
        let args = [
            "--domain=cluster.local.",
            "--dns-port=10053",
            "--kube-master-url=http://192.0.2.1:8080",
            "--v=2",
        ];
        let args = args.map(str::to_owned).to_vec();
        let (f, notes): (Flags, _) = guard::flags::parse(args, NAME, OLD, &[FOREIGN]).unwrap();
        assert_eq!((f.master.as_str(), f.dns_port, notes.len()), ("http://192.0.2.1:8080", 10053, 1));
    }
}
