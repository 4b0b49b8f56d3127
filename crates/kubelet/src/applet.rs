//! The kubelet as a program of its own, with upstream's flags.

use crate::certs::{self, Store, Swap};
use crate::flags;
use client::{Client, HttpTransport};
use runtime::Runtime;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Runs `kubelet ARGS` to its end; call it outside of any async runtime.
pub fn run_applet(args: Vec<String>) -> ExitCode {
    let (cfg, opts) = match flags::parse(args) {
        Ok(r) => r,
        Err(e) => {
            eprintln!("kubelet: {e}");
            return ExitCode::FAILURE;
        }
    };
    if opts.help {
        print!("{}", flags::help());
        return ExitCode::SUCCESS;
    }
    if opts.version {
        println!("Kubernetes {}", crate::node::status::KUBELET_VERSION);
        return ExitCode::SUCCESS;
    }
    runtime::log::init(opts.verbosity);
    for n in &opts.notes {
        tracing::warn!("{n}");
    }
    let made = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("kubelet").build();
    let tokio_rt = match made {
        Ok(r) => r,
        Err(e) => {
            eprintln!("kubelet: cannot start: {e}");
            return ExitCode::FAILURE;
        }
    };
    let done = tokio_rt.block_on(main(cfg, opts));
    tokio_rt.shutdown_timeout(Duration::from_secs(1));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("kubelet: {e}");
            ExitCode::FAILURE
        }
    }
}

async fn main(mut cfg: crate::Config, opts: flags::Options) -> Result<(), String> {
    let rt = Runtime::new();
    if cfg.node_name.is_empty() {
        cfg.node_name = crate::host_name();
    }
    let dir = opts.cert_dir.clone().unwrap_or_else(|| cfg.root_dir.join("pki"));
    let kubeconfig = opts.kubeconfig.clone().ok_or(
        "--kubeconfig is missing: it says how to reach the API server (with --bootstrap-kubeconfig it is made)",
    )?;
    let store = || Store::new(&dir, "kubelet-client");
    let work = async {
        if let Some(b) = &opts.bootstrap_kubeconfig {
            certs::bootstrap(b, &kubeconfig, &store(), &cfg.node_name, &rt)
                .await
                .map_err(|e| e.to_string())?;
        }
        let config = client::Config::from_kubeconfig_file(&kubeconfig).map_err(|e| e.to_string())?;
        let swap = Swap::new(HttpTransport::new(config, &rt).map_err(|e| e.to_string())?);
        let client = Client::new(swap.clone()).named("kubelet");
        if opts.rotate_certificates {
            let task = certs::rotate_client(
                swap,
                client.clone(),
                kubeconfig.clone(),
                store(),
                cfg.node_name.clone(),
                rt.clone(),
            );
            rt.spawn("client certificate", task);
        }
        if opts.server_tls_bootstrap {
            cfg.serving_cert_dir = Some(dir.clone());
        }
        let notify = Arc::new(rt.ready.clone());
        rt.spawn_until_stop("sd-notify", async move {
            notify.wait_for("kubelet-pods").await;
            crate::notify_ready();
        });
        crate::run(cfg, client, rt.clone()).await.map_err(|e| crate::server::chain(&e))
    };
    let result = tokio::select! { r = work => r, () = runtime::tasks::terminated() => Ok(()) };
    rt.shutdown(Duration::from_secs(5)).await;
    result
}
