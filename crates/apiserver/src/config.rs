//! What an API server is told at its start.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use storage::Storage;

/// Everything a server needs. [`Config::new`] has upstream's defaults.
#[derive(Clone)]
pub struct Config {
    pub storage: Arc<dyn Storage>,
    /// Where clients find this server: goes into the `kubernetes` Service's endpoints.
    pub advertise_address: IpAddr,
    pub secure_port: u16,
    /// Seconds that events are kept.
    pub event_ttl: i64,
    /// Group-versions or resources off by default that are served all the same: `batch/v1beta1`,
    /// `resource.k8s.io/v1beta2/deviceclasses`, `api/all`.
    pub runtime_config: Vec<(String, bool)>,
    pub node_port_range: RangeInclusive<u16>,
    /// Requests at a time that only read, and that change something.
    pub max_in_flight: usize,
    pub max_mutating_in_flight: usize,
    /// Seconds; a watch without a timeout of its own ends between once and twice this.
    pub min_request_timeout: u64,
    pub anonymous: Anonymous,
}

/// What requests without credentials may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anonymous {
    Refused,
    /// Health endpoints only.
    Health,
    /// Any; what they may do is the authorizer's say.
    Any,
}

impl Config {
    pub fn new(storage: Arc<dyn Storage>) -> Self {
        Self {
            storage,
            advertise_address: IpAddr::from([127, 0, 0, 1]),
            secure_port: 6443,
            event_ttl: 3600,
            runtime_config: Vec::new(),
            node_port_range: 30000..=32767,
            max_in_flight: 400,
            max_mutating_in_flight: 200,
            min_request_timeout: 1800,
            anonymous: Anonymous::Any,
        }
    }

    /// Whether a resource that is off by default was asked for.
    pub fn enables(&self, r: &schema::Resource) -> bool {
        let gv = meta::GroupVersion::new(r.group, r.version).to_string();
        let mut on = false;
        for (key, value) in &self.runtime_config {
            let hit = match key.as_str() {
                "api/all" => true,
                "api/ga" => !r.version.contains("alpha") && !r.version.contains("beta"),
                "api/beta" => r.version.contains("beta"),
                "api/alpha" => r.version.contains("alpha"),
                k => k == gv || k == format!("{gv}/{}", r.resource),
            };
            if hit {
                on = *value;
            }
        }
        on
    }
}
