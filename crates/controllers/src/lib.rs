//! kube-controller-manager: one folder per controller, a pure plan and a thin loop.
//!
//! [`run`] starts the controllers of [`list::CONTROLLERS`] that [`Config::controllers`] enables. Each acts under its own
//! service account; all share one set of caches.

mod applet;
pub mod config;
pub mod context;
mod credentials;
mod flags;
pub mod k8s;
pub mod list;
mod upstream;
pub mod util;

pub use applet::run_applet;
pub use config::{Config, KeyPair};
pub use context::{Ctx, Error};
pub use list::{CONTROLLERS, Descriptor};

#[cfg(test)]
mod testing;

mod bootstrap_signer;
mod cluster_role_aggregation;
mod cronjob;
mod csr_approving;
mod csr_cleaner;
mod csr_signing;
mod daemonset;
mod deployment;
mod disruption;
mod endpoints;
mod endpointslice;
mod endpointslice_mirroring;
mod ephemeral_volume;
mod garbage_collector;
mod hpa;
mod job;
mod legacy_token_cleaner;
mod namespace;
mod node_ipam;
mod node_lifecycle;
mod pcr_cleaner;
mod pod_gc;
mod pv_binder;
mod pv_protection;
mod pvc_protection;
mod replicaset;
mod resourceclaim;
mod resourcequota;
mod root_ca;
mod service_account;
mod service_account_token;
mod service_cidr;
mod statefulset;
mod taint_eviction;
mod token_cleaner;
mod ttl;
mod ttl_after_finished;
mod vac_protection;

use client::InformerFactory;
use runtime::Runtime;
use std::sync::Arc;

/// Runs the enabled controllers until the runtime stops.
pub async fn run(config: Config, rt: Runtime) {
    let config = Arc::new(config);
    // The caches are filled as the controller manager itself, which may list and watch everything.
    let informers = InformerFactory::new((config.client_for)("").transport, &rt);
    let on = list::enabled(&config.controllers);
    for d in CONTROLLERS {
        if !on.contains(&d.name) {
            tracing::debug!(controller = d.name, "not enabled");
            continue;
        }
        let ctx = Ctx::new(d, &config, &informers, &rt);
        rt.spawn_until_stop("controller", (d.start)(ctx));
    }
    rt.ready.set("kube-controller-manager", Ok(()));
    rt.stopping().await;
}
