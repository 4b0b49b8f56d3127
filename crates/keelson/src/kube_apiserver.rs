//! The applet `kube-apiserver`: over a store of its own, or over etcd.

use etcd::remote::{Remote, Servers};
use runtime::Runtime;
use runtime::notify::Notify;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// How long requests in flight have to come to their end.
const GRACE: Duration = Duration::from_secs(15);

pub fn main(args: Vec<String>) -> ExitCode {
    crate::block_on(async {
        let Some(flags) = apiserver::run::prepare(args)? else { return Ok(()) };
        let rt = Runtime::new();
        let (signals, delay) = (rt.clone(), flags.shutdown_delay_duration);
        rt.spawn_until_stop("signals", async move {
            runtime::tasks::terminated().await;
            Notify::from_env().stopping();
            if !delay.is_zero() {
                signals.ready.set(apiserver::health::LEAVING, Err("process is shutting down".to_owned()));
                tokio::time::sleep(delay).await;
            }
            signals.stop_token().cancel();
        });
        let ready = rt.ready.clone();
        rt.spawn_until_stop("notify", async move {
            // The last of the objects that the API server makes by itself.
            ready.wait_for("apiserver/autoregister-completion").await;
            Notify::from_env().ready();
        });
        // The store outlives the server: requests in flight still write.
        let below = Runtime::new();
        let (store, own): (Arc<dyn storage::Storage>, _) = if flags.etcd_servers.is_empty() {
            let options = storage::Options::default();
            let s = storage::Embedded::open(&flags.store_file, options, below.clone()).await;
            let s = s.map_err(|e| e.to_string())?;
            (s.clone(), Some(s))
        } else {
            let file = |p: &str| Some(PathBuf::from(p)).filter(|p| !p.as_os_str().is_empty());
            let servers = Servers {
                urls: flags.etcd_servers.clone(),
                ca_file: file(&flags.etcd_cafile),
                cert_file: file(&flags.etcd_certfile),
                key_file: file(&flags.etcd_keyfile),
            };
            let opened = tokio::select! {
                r = Remote::open(&servers, flags.etcd_compaction_interval, below.clone()) => r?,
                () = rt.stopping() => return Ok(()),
            };
            (opened, None)
        };
        let done = apiserver::run::run_on(&flags, store, rt.clone()).await;
        rt.shutdown(GRACE).await;
        below.shutdown(GRACE).await;
        if let Some(s) = own {
            s.close().await;
        }
        done
    })
}
