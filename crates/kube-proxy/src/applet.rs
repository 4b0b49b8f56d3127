//! kube-proxy as a program of its own, with upstream's flags.

use crate::flags::{FOREIGN, Flags, NAME, OLD, address, ranges};
use crate::{Config, nft, run};
use client::{Client, HttpTransport, ListParams};
use http::{Response, StatusCode};
use k8s_openapi::api::networking::v1::ServiceCIDR;
use proxyplan::Options;
use runtime::Runtime;
use runtime::notify::Notify;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Runs `kube-proxy ARGS` to its end; call it outside of any async runtime.
pub fn run_applet(args: Vec<String>) -> ExitCode {
    let (flags, notes): (Flags, _) = match guard::flags::parse(args, NAME, OLD, FOREIGN) {
        Ok(f) => f,
        Err(e) => return guard::flags::last_words(NAME, &e),
    };
    if flags.version {
        println!("Kubernetes {}", guard::VERSION);
        return ExitCode::SUCCESS;
    }
    runtime::log::init(flags.v);
    for n in notes {
        tracing::warn!("{n}");
    }
    let made = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name(NAME).build();
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
            eprintln!("{NAME}: {e}");
            ExitCode::FAILURE
        }
    }
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
    for (what, text, port) in [
        ("--healthz-bind-address", &flags.healthz_bind_address, 10256),
        ("--metrics-bind-address", &flags.metrics_bind_address, 10249),
    ] {
        if let Some(a) = address(what, text, port)? {
            serve(a, port == 10256, &rt).await?;
        }
    }
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
        run(Config { options, families: flags.families() }, client.clone(), rt.clone()).await;
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

async fn serve(a: SocketAddr, health: bool, rt: &Runtime) -> Result<(), String> {
    let listener = serve::Listener::bind(a).await.map_err(|e| format!("failed to listen on {a}: {e}"))?;
    let (server, r) = (serve::Server::new(rt.clone()), rt.clone());
    rt.spawn("health and metrics", async move {
        let answer = move |req: http::Request<_>| {
            let r = r.clone();
            async move { answer(health, &r, &req) }
        };
        server.run(listener, answer).await;
    });
    Ok(())
}

fn answer<B>(health: bool, rt: &Runtime, req: &http::Request<B>) -> Response<serve::Body> {
    let ready = rt.ready.all().get(NAME).is_some_and(Result::is_ok);
    let (code, text) = match (health, req.uri().path()) {
        (true, path @ ("/healthz" | "/livez")) => {
            let now = k8s_openapi::jiff::Timestamp::from_nanosecond(i128::from(rt.clock.unix_nanos()))
                .unwrap_or_default();
            // Alive it is also before the first rules; healthy only with them.
            let ok = ready || path == "/livez";
            let body =
                format!("{{\"lastUpdated\": \"{now}\",\"currentTime\": \"{now}\", \"nodeEligible\": {ok}}}");
            (if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, body)
        }
        (false, "/healthz") => (StatusCode::OK, "ok".to_owned()),
        (false, "/proxyMode") => (StatusCode::OK, "nftables".to_owned()),
        (false, "/metrics") => (StatusCode::OK, guard::process::metrics()),
        _ => (StatusCode::NOT_FOUND, "404 page not found\n".to_owned()),
    };
    let mut r = Response::new(serve::full(text));
    *r.status_mut() = code;
    r
}
