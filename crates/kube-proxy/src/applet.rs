//! kube-proxy as a program of its own, with upstream's flags.

use crate::flags::{FOREIGN, Flags, NAME, OLD, address, ranges};
use crate::{Config, nft, run};
use client::{Client, HttpTransport, ListParams};
use k8s_openapi::api::networking::v1::ServiceCIDR;
use proxyplan::Options;
use runtime::Runtime;
use runtime::notify::Notify;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Runs `kube-proxy ARGS` to its end; call it outside of any async runtime.
pub fn run_applet(args: Vec<String>) -> ExitCode {
    let parsed = guard::flags::parse(args, NAME, OLD, &[FOREIGN]);
    guard::applet::run(NAME, NAME, parsed, |f: &Flags| (f.version, f.v), main)
}

async fn main(flags: Flags) -> Result<(), String> {
    let flags = flags.with_file()?;
    if flags.cleanup {
        for family in flags.families() {
            nft::run(&proxyplan::script::remove(family)).await.map_err(|e| e.to_string())?;
        }
        return Ok(());
    }
    if matches!(flags.proxy_mode.as_str(), "iptables" | "ipvs") {
        tracing::warn!("proxy mode {} is carried out by nftables", flags.proxy_mode);
    }
    let rt = Runtime::new();
    let connection = client::Config::for_component(flags.kubeconfig().as_deref(), &flags.master)
        .map_err(|e| e.to_string())?;
    let client =
        Client::new(Arc::new(HttpTransport::new(connection, &rt).map_err(|e| e.to_string())?)).named(NAME);
    let healthz = address("--healthz-bind-address", &flags.healthz_bind_address, 10256)?;
    let metrics = address("--metrics-bind-address", &flags.metrics_bind_address, 10249)?;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let node_name = match flags.hostname_override.trim() {
        "" => host.trim().to_lowercase(),
        n => n.to_lowercase(),
    };
    let work = async {
        let options = Options {
            node_name,
            cluster_cidrs: ranges(&flags.cluster_cidr)?,
            service_cidrs: service_ranges(&client).await,
            masquerade_all: flags.masquerade_all,
            ..Options::default()
        };
        let ready = rt.ready.clone();
        rt.spawn_until_stop("sd-notify", async move {
            ready.wait_for(NAME).await;
            Notify::from_env().ready();
        });
        let config = Config { options, families: flags.families(), healthz, metrics };
        run(config, client.clone(), rt.clone()).await;
        Ok(())
    };
    let done = tokio::select! {
        r = work => r,
        () = runtime::tasks::terminated() => Ok(()),
    };
    Notify::from_env().stopping();
    rt.shutdown(Duration::from_secs(5)).await;
    done
}

/// The ranges of Services, in which addresses that nobody has are refused.
async fn service_ranges(c: &Client) -> Vec<ipnet::IpNet> {
    loop {
        match c.list::<ServiceCIDR>(None, &ListParams::default()).await {
            Ok(all) => {
                let cidrs = all.into_iter().filter_map(|s| s.spec).flat_map(|s| s.cidrs.unwrap_or_default());
                return cidrs.filter_map(|c| c.parse().ok()).collect();
            }
            Err(e) if e.status().is_some_and(|s| s.code == 403) => {
                tracing::warn!("cannot see the ranges of Services, unused addresses are not refused: {e}");
                return Vec::new();
            }
            Err(e) => tracing::warn!("waiting for the API server: {e}"),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
