//! What an API server is told at its start.

use crate::alloc::Range;
use crate::outside::Outside;
use authn::anonymous::Anonymous;
use authn::keys::{PrivateKey, PublicKey};
use authn::static_tokens::StaticTokens;
use serve::ClientCa;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use storage::Storage;

/// Everything a server needs. [`Config::new`] has upstream's defaults.
pub struct Config {
    pub storage: Arc<dyn Storage>,
    /// Where clients find this server: goes into the `kubernetes` Service's endpoints.
    pub advertise_address: IpAddr,
    pub secure_port: u16,
    /// Whether `/swagger-ui/` is served.
    pub swagger_ui: bool,
    /// Seconds that events are kept.
    pub event_ttl: i64,
    /// Group-versions or resources off by default that are served all the same: `batch/v1beta1`,
    /// `resource.k8s.io/v1beta2/deviceclasses`, `api/all`.
    pub runtime_config: Vec<(String, bool)>,
    /// `--service-cluster-ip-range`: one range, or one of each family, the default family's first.
    pub service_cidrs: Vec<Range>,
    pub node_port_range: RangeInclusive<u16>,
    /// Requests at a time that only read, and that change something; 0: no limit.
    pub max_in_flight: usize,
    pub max_mutating_in_flight: usize,
    /// Longest that a request which is not long-running takes.
    pub request_timeout: Duration,
    /// Seconds; a watch without a timeout of its own ends between once and twice this.
    pub min_request_timeout: u64,
    pub authentication: Authentication,
    /// Asked in this order; members of `system:masters` pass before all of them.
    pub authorization: Vec<Mode>,
    pub admission: admission::Config,
    /// How kubelets are spoken to; without it there are no logs and no exec.
    pub kubelet: Option<Arc<crate::connect::KubeletClient>>,
    /// Certificate and key, in PEM, that this server shows to the API servers that it passes requests on to
    /// (`--proxy-client-cert-file`).
    pub proxy_client: Option<(String, String)>,
    /// Which of a node's addresses its kubelet is spoken to at: the first kind that the node has.
    pub kubelet_address_types: Vec<String>,
    /// What is recorded of requests: the text of the policy, and where to.
    pub audit: Option<(crate::audit::policy::Policy, crate::audit::log::Options)>,
    /// Admission that waits for the network or evaluates CEL.
    pub outside: Option<Arc<dyn Outside>>,
}

/// How requests from the network show who they are.
#[derive(Default)]
pub struct Authentication {
    /// `--client-ca-file`
    pub client_ca: Option<Arc<ClientCa>>,
    pub front_proxy: Option<FrontProxy>,
    /// `--token-auth-file`
    pub tokens: StaticTokens,
    pub service_accounts: Option<ServiceAccounts>,
    /// `--enable-bootstrap-token-auth`
    pub bootstrap_tokens: bool,
    pub anonymous: Anonymous,
}

/// A proxy that says in headers whom it speaks for (`--requestheader-*`).
pub struct FrontProxy {
    /// `--requestheader-client-ca-file`
    pub ca: Arc<ClientCa>,
    /// Common names of its certificate; empty: all.
    pub allowed_names: Vec<String>,
    pub name_headers: Vec<String>,
    pub uid_headers: Vec<String>,
    pub group_headers: Vec<String>,
    pub extra_prefixes: Vec<String>,
}

impl FrontProxy {
    /// With the headers that everybody uses.
    pub fn new(ca: Arc<ClientCa>, allowed_names: Vec<String>) -> Self {
        let one = |s: &str| vec![s.to_owned()];
        Self {
            ca,
            allowed_names,
            name_headers: one("X-Remote-User"),
            uid_headers: one("X-Remote-Uid"),
            group_headers: one("X-Remote-Group"),
            extra_prefixes: one("X-Remote-Extra-"),
        }
    }
}

/// Service account tokens.
pub struct ServiceAccounts {
    /// `--service-account-signing-key-file`
    pub signer: PrivateKey,
    /// `--service-account-key-file`; the signer's public half is added.
    pub keys: Vec<PublicKey>,
    /// `--service-account-issuer`, first the one that signs.
    pub issuers: Vec<String>,
    /// `--api-audiences`; empty: the issuer.
    pub audiences: Vec<String>,
    /// `--service-account-jwks-uri`; empty: made from the request's host.
    pub jwks_uri: String,
    /// `--service-account-max-token-expiration` in seconds; 0: no maximum.
    pub max_expiration: i64,
    /// `--service-account-extend-token-expiration`
    pub extend_expiration: bool,
}

/// One of `--authorization-mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    AlwaysAllow,
    AlwaysDeny,
    Node,
    Rbac,
}

impl Mode {
    /// By upstream's name.
    pub fn parse(s: &str) -> Option<Self> {
        match s {
            "AlwaysAllow" => Some(Self::AlwaysAllow),
            "AlwaysDeny" => Some(Self::AlwaysDeny),
            "Node" => Some(Self::Node),
            "RBAC" => Some(Self::Rbac),
            _ => None,
        }
    }
}

impl Config {
    pub fn new(storage: Arc<dyn Storage>) -> Self {
        Self {
            storage,
            advertise_address: IpAddr::from([127, 0, 0, 1]),
            secure_port: 6443,
            swagger_ui: false,
            event_ttl: 3600,
            runtime_config: Vec::new(),
            service_cidrs: Range::parse("10.0.0.0/24").into_iter().collect(),
            node_port_range: 30000..=32767,
            max_in_flight: 400,
            max_mutating_in_flight: 200,
            request_timeout: Duration::from_secs(60),
            min_request_timeout: 1800,
            authentication: Authentication::default(),
            authorization: vec![Mode::AlwaysAllow],
            admission: admission::Config::default(),
            kubelet: None,
            proxy_client: None,
            kubelet_address_types: ["InternalIP", "ExternalIP", "Hostname"].map(str::to_owned).to_vec(),
            audit: None,
            outside: None,
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
