//! The command line of `kube-apiserver`: upstream's flags and defaults, and the configuration they make.

use crate::alloc::Range;
use crate::audit::log::Options;
use crate::audit::policy::Policy;
use crate::config::{Config, FrontProxy, Mode, ServiceAccounts};
use crate::connect::KubeletClient;
use authn::anonymous::Anonymous;
use authn::keys::{PrivateKey, PublicKey, public_keys_from_pem};
use authn::static_tokens::StaticTokens;
use clap::{ArgAction, Parser};
use meta::object::ObjectExt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use storage::Storage;

/// The issuer of service account tokens where none is given.
const ISSUER: &str = "https://kubernetes.default.svc";

/// The Kubernetes API server.
#[derive(Clone, Debug, Parser)]
#[command(name = "kube-apiserver", disable_version_flag = true)]
pub struct Flags {
    // Serving
    /// The address to serve HTTPS on.
    #[arg(long, default_value = "0.0.0.0")]
    pub bind_address: IpAddr,
    /// The port to serve HTTPS on.
    #[arg(long, default_value_t = 6443)]
    pub secure_port: u16,
    /// The address that members of the cluster reach this server at. Default: --bind-address, or where that is every
    /// address, the one of the default route.
    #[arg(long)]
    pub advertise_address: Option<IpAddr>,
    /// The directory of a certificate that is made where --tls-cert-file is not given.
    #[arg(long, default_value = "/var/run/kubernetes")]
    pub cert_dir: PathBuf,
    /// The server's certificate, with its chain; read anew when it changes.
    #[arg(long, requires = "tls_private_key_file")]
    pub tls_cert_file: Option<PathBuf>,
    #[arg(long, requires = "tls_cert_file")]
    pub tls_private_key_file: Option<PathBuf>,
    /// The address of the port without TLS (default 127.0.0.1). Giving it opens that port. Together with RBAC an
    /// address that others can reach must be given twice.
    #[arg(long)]
    pub insecure_bind_address: Vec<IpAddr>,
    /// A port without TLS on which everybody may do everything; 0: none. Default: 8080 with --insecure-bind-address,
    /// else none. Upstream has removed it: for clusters that nobody else can reach.
    #[arg(long)]
    pub insecure_port: Option<u16>,
    /// Serve a page at /swagger-ui/ that shows the API (upstream has removed it).
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = ArgAction::Set)]
    pub enable_swagger_ui: bool,
    /// Requests at a time that only read; 0: no limit.
    #[arg(long, default_value_t = 400)]
    pub max_requests_inflight: usize,
    /// Requests at a time that change something; 0: no limit.
    #[arg(long, default_value_t = 200)]
    pub max_mutating_requests_inflight: usize,
    /// How long a request may take that is no watch, log or stream.
    #[arg(long, default_value = "1m0s", value_parser = duration)]
    pub request_timeout: Duration,
    /// Seconds that a watch lasts at least, when its client names no time.
    #[arg(long, default_value_t = 1800)]
    pub min_request_timeout: u64,

    /// How long the server goes on as before when it is told to end, /readyz aside: so that balancers send nobody here.
    #[arg(long, default_value = "0s", value_parser = duration)]
    pub shutdown_delay_duration: Duration,

    // Store
    /// The etcd cluster that keeps everything; none: this process keeps it in --store-file.
    #[arg(long, value_delimiter = ',')]
    pub etcd_servers: Vec<String>,
    /// The authority of those servers.
    #[arg(long, default_value = "")]
    pub etcd_cafile: String,
    /// What they are shown.
    #[arg(long, default_value = "")]
    pub etcd_certfile: String,
    #[arg(long, default_value = "")]
    pub etcd_keyfile: String,
    /// Where in etcd the objects are.
    #[arg(long, default_value = "/registry", value_parser = ["/registry"])]
    pub etcd_prefix: String,
    #[arg(long, default_value = "", value_parser = ["", "etcd3"])]
    pub storage_backend: String,
    /// How often etcd's history is compacted; 0: others do.
    #[arg(long, default_value = "5m0s", value_parser = duration)]
    pub etcd_compaction_interval: Duration,
    /// The file of the store, which this process keeps itself.
    #[arg(long, default_value = "/var/lib/kube-apiserver/state.db")]
    pub store_file: PathBuf,
    /// How long events are kept.
    #[arg(long, default_value = "1h0m0s", value_parser = duration)]
    pub event_ttl: Duration,
    /// API versions or resources to serve or not: `api/beta=true,resource.k8s.io/v1beta2=true`.
    #[arg(long, value_delimiter = ',', value_parser = switch)]
    pub runtime_config: Vec<(String, bool)>,

    // Authentication
    /// The bundle that client certificates are checked against.
    #[arg(long)]
    pub client_ca_file: Option<PathBuf>,
    /// A file of static tokens: CSV lines `token,user,uid,"group1,group2"`.
    #[arg(long)]
    pub token_auth_file: Option<PathBuf>,
    /// Accept tokens of secrets of type bootstrap.kubernetes.io/token in kube-system.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = ArgAction::Set)]
    pub enable_bootstrap_token_auth: bool,
    /// Whether requests without credentials go on as system:anonymous. Not given: on the paths of probes and of the
    /// version only (upstream: everywhere).
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set)]
    pub anonymous_auth: Option<bool>,
    /// The bundle that certificates of front proxies are checked against.
    #[arg(long)]
    pub requestheader_client_ca_file: Option<PathBuf>,
    /// Common names of certificates of front proxies; none: every one.
    #[arg(long, value_delimiter = ',')]
    pub requestheader_allowed_names: Vec<String>,
    #[arg(long, value_delimiter = ',', default_value = "X-Remote-User")]
    pub requestheader_username_headers: Vec<String>,
    #[arg(long, value_delimiter = ',', default_value = "X-Remote-Uid")]
    pub requestheader_uid_headers: Vec<String>,
    #[arg(long, value_delimiter = ',', default_value = "X-Remote-Group")]
    pub requestheader_group_headers: Vec<String>,
    #[arg(long, value_delimiter = ',', default_value = "X-Remote-Extra-")]
    pub requestheader_extra_headers_prefix: Vec<String>,
    /// The issuer of service account tokens; more may be given, whose tokens are accepted too.
    #[arg(long)]
    pub service_account_issuer: Vec<String>,
    /// The private key that signs service account tokens.
    #[arg(long)]
    pub service_account_signing_key_file: Option<PathBuf>,
    /// Public (or private) keys that service account tokens are checked with. Default: the signing key.
    #[arg(long)]
    pub service_account_key_file: Vec<PathBuf>,
    #[arg(long, default_value = "")]
    pub service_account_jwks_uri: String,
    /// Longest life of a service account token; 0: no limit.
    #[arg(long, default_value = "0s", value_parser = duration)]
    pub service_account_max_token_expiration: Duration,
    /// Let the tokens of pods live a year, for clients that do not read them anew.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", action = ArgAction::Set)]
    pub service_account_extend_token_expiration: bool,
    /// Audiences of this server in tokens. Default: the issuer.
    #[arg(long, value_delimiter = ',')]
    pub api_audiences: Vec<String>,

    // Authorization and admission
    /// Who decides, in order: Node, RBAC, AlwaysAllow, AlwaysDeny.
    #[arg(long, value_delimiter = ',', default_value = "AlwaysAllow", value_parser = mode)]
    pub authorization_mode: Vec<Mode>,
    /// Admission plugins on top of those that are on by default.
    #[arg(long, value_delimiter = ',')]
    pub enable_admission_plugins: Vec<String>,
    #[arg(long, value_delimiter = ',')]
    pub disable_admission_plugins: Vec<String>,
    /// An AdmissionConfiguration: what plugins are told.
    #[arg(long)]
    pub admission_control_config_file: Option<PathBuf>,
    #[arg(long, default_value_t = 300)]
    pub default_not_ready_toleration_seconds: i64,
    #[arg(long, default_value_t = 300)]
    pub default_unreachable_toleration_seconds: i64,
    /// Privileged containers are allowed; pod security admission refuses them where a namespace says so.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = ["true"])]
    pub allow_privileged: Option<String>,

    // Audit
    /// What is recorded of requests: an audit.k8s.io/v1 Policy. Not given: nothing is.
    #[arg(long)]
    pub audit_policy_file: Option<PathBuf>,
    /// The file that audit events are written to, one JSON object a line; `-`: standard output.
    #[arg(long)]
    pub audit_log_path: Option<PathBuf>,
    /// Days that rotated audit logs are kept; 0: for ever.
    #[arg(long, default_value_t = 0)]
    pub audit_log_maxage: i64,
    /// Rotated audit logs that are kept; 0: all.
    #[arg(long, default_value_t = 0)]
    pub audit_log_maxbackup: usize,
    /// Megabytes of an audit log before it is rotated.
    #[arg(long, default_value_t = 100)]
    pub audit_log_maxsize: u64,
    #[arg(long, default_value = "json", value_parser = ["json"])]
    pub audit_log_format: String,

    // Services and kubelets
    /// Addresses of Services: a range, or one of each family.
    #[arg(long, value_delimiter = ',', default_value = "10.0.0.0/24", value_parser = range)]
    pub service_cluster_ip_range: Vec<Range>,
    #[arg(long, default_value = "30000-32767", value_parser = ports)]
    pub service_node_port_range: RangeInclusive<u16>,
    #[arg(long, requires = "kubelet_client_key")]
    pub kubelet_client_certificate: Option<PathBuf>,
    #[arg(long, requires = "kubelet_client_certificate")]
    pub kubelet_client_key: Option<PathBuf>,
    /// The bundle that kubelets' certificates are checked against. Not given: they are not checked.
    #[arg(long)]
    pub kubelet_certificate_authority: Option<PathBuf>,
    /// Which of a node's addresses its kubelet is spoken to at.
    #[arg(long, value_delimiter = ',', default_value = "InternalIP,ExternalIP,Hostname",
        value_parser = ["Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP"])]
    pub kubelet_preferred_address_types: Vec<String>,

    /// What this server shows to the API servers that it passes requests on to.
    #[arg(long, requires = "proxy_client_key_file")]
    pub proxy_client_cert_file: Option<PathBuf>,
    #[arg(long, requires = "proxy_client_cert_file")]
    pub proxy_client_key_file: Option<PathBuf>,

    /// How much is logged: 0 notices, 4 debug, 6 trace.
    #[arg(short, long, default_value_t = 0)]
    pub v: u8,
    /// Print the version and end.
    #[arg(long)]
    pub version: bool,
}

fn duration(s: &str) -> Result<Duration, String> {
    let n = meta::time::parse_duration(s)?;
    u64::try_from(n).map(Duration::from_nanos).map_err(|_| "must not be negative".to_owned())
}

fn switch(s: &str) -> Result<(String, bool), String> {
    let (name, on) = s.split_once('=').unwrap_or((s, "true"));
    let on = match on {
        "true" | "1" => true,
        "false" | "0" => false,
        _ => return Err(format!("{on:?} is neither true nor false")),
    };
    Ok((name.to_owned(), on))
}

fn mode(s: &str) -> Result<Mode, String> {
    Mode::parse(s).ok_or_else(|| match s {
        "ABAC" | "Webhook" => format!("{s} is not part of keelson: Node, RBAC, AlwaysAllow, AlwaysDeny are"),
        _ => format!("{s:?} is not a valid mode: Node, RBAC, AlwaysAllow, AlwaysDeny are"),
    })
}

fn range(s: &str) -> Result<Range, String> {
    Range::parse(s).ok_or_else(|| format!("{s:?} is no address range such as 10.0.0.0/24"))
}

fn ports(s: &str) -> Result<RangeInclusive<u16>, String> {
    let bad = || format!("{s:?} is no port range such as 30000-32767");
    // Upstream's `30000+99` is 30000-30099.
    let (first, last) = match (s.split_once('-'), s.split_once('+')) {
        (Some((a, b)), _) => (a.parse().ok(), b.parse().ok()),
        (None, Some((a, n))) => {
            let first: Option<u16> = a.parse().ok();
            (first, first.and_then(|f| f.checked_add(n.parse().ok()?)))
        }
        (None, None) => (s.parse().ok(), s.parse().ok()),
    };
    match (first, last) {
        (Some(a), Some(b)) if a > 0 && a <= b => Ok(a..=b),
        _ => Err(bad()),
    }
}

fn read(flag: &str, path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|e| format!("--{flag}: cannot read {}: {e}", path.display()))
}

fn bundle(flag: &str, path: &Path) -> Result<Arc<serve::ClientCa>, String> {
    serve::ClientCa::from_pem(read(flag, path)?.as_bytes())
        .map_err(|e| format!("--{flag} {}: {e}", path.display()))
}

impl Flags {
    /// The address that others reach this server at.
    pub fn advertised(&self) -> Result<IpAddr, String> {
        let ip = match self.advertise_address {
            Some(ip) => ip,
            None if !self.bind_address.is_unspecified() => self.bind_address,
            None => default_route(self.bind_address.is_ipv6()).ok_or(
                "this host has no default route to take an address from: give one with --advertise-address",
            )?,
        };
        if ip.is_unspecified() {
            return Err(format!("--advertise-address {ip}: others cannot reach that"));
        }
        Ok(ip)
    }

    /// What is wrong with the flags, as far as it can be told without a store.
    pub fn check(&self) -> Result<(), String> {
        self.advertised()?;
        self.check_insecure()?;
        self.service_accounts().map(drop)
    }

    /// Address and port that everybody may do everything on, if there are any.
    pub fn insecure(&self) -> Option<(IpAddr, u16)> {
        let ip = self.insecure_bind_address.last().copied();
        let port = self.insecure_port.unwrap_or(if ip.is_some() { 8080 } else { 0 });
        (port != 0).then(|| (ip.unwrap_or(IpAddr::from([127, 0, 0, 1])), port))
    }

    fn check_insecure(&self) -> Result<(), String> {
        let Some((ip, port)) = self.insecure() else { return Ok(()) };
        let meant = self.insecure_bind_address.iter().filter(|a| **a == ip).count() > 1;
        if self.authorization_mode.contains(&Mode::Rbac) && !ip.is_loopback() && !meant {
            return Err(format!(
                "--insecure-bind-address={ip}: on port {port} everybody may do everything, whatever RBAC says; use \
                 127.0.0.1, or give the flag twice if that is meant"
            ));
        }
        Ok(())
    }

    /// The configuration, over a store.
    pub fn config(&self, storage: Arc<dyn Storage>) -> Result<Config, String> {
        let mut c = Config::new(storage);
        c.advertise_address = self.advertised()?;
        c.secure_port = self.secure_port;
        c.swagger_ui = self.enable_swagger_ui;
        c.event_ttl = i64::try_from(self.event_ttl.as_secs()).unwrap_or(i64::MAX);
        c.runtime_config.clone_from(&self.runtime_config);
        c.service_cidrs.clone_from(&self.service_cluster_ip_range);
        match c.service_cidrs.as_slice() {
            [_] => {}
            [a, b] if a.family() != b.family() => {}
            _ => return Err("--service-cluster-ip-range: give one range, or one of each family".into()),
        }
        c.node_port_range = self.service_node_port_range.clone();
        c.max_in_flight = self.max_requests_inflight;
        c.max_mutating_in_flight = self.max_mutating_requests_inflight;
        c.request_timeout = self.request_timeout;
        c.min_request_timeout = self.min_request_timeout;
        c.authorization.clone_from(&self.authorization_mode);
        c.kubelet_address_types.clone_from(&self.kubelet_preferred_address_types);
        if let (Some(cert), Some(key)) = (&self.proxy_client_cert_file, &self.proxy_client_key_file) {
            c.proxy_client =
                Some((read("proxy-client-cert-file", cert)?, read("proxy-client-key-file", key)?));
        }
        self.authentication(&mut c)?;
        self.admission(&mut c)?;
        c.audit = self.audit()?;
        if let (Some(cert), Some(key)) = (&self.kubelet_client_certificate, &self.kubelet_client_key) {
            let (cert, key) = (read("kubelet-client-certificate", cert)?, read("kubelet-client-key", key)?);
            let ca = self.kubelet_certificate_authority.as_deref();
            let ca = ca.map(|p| read("kubelet-certificate-authority", p)).transpose()?;
            let ca = ca.as_deref().map(str::as_bytes);
            let made = KubeletClient::new(cert.as_bytes(), key.as_bytes(), ca);
            c.kubelet = Some(made.map_err(|e| format!("--kubelet-client-certificate: {e}"))?);
        } else {
            let ca = self.kubelet_certificate_authority.as_deref();
            let ca = ca.map(|p| read("kubelet-certificate-authority", p)).transpose()?;
            c.kubelet = Some(KubeletClient::anonymous(ca.as_deref().map(str::as_bytes))?);
        }
        Ok(c)
    }

    fn audit(&self) -> Result<Option<(Policy, Options)>, String> {
        let (policy, path) = match (&self.audit_policy_file, &self.audit_log_path) {
            (Some(policy), Some(path)) => (policy, path),
            (None, None) => return Ok(None),
            (None, Some(_)) => {
                tracing::warn!("no --audit-policy-file is given: no events will be recorded");
                return Ok(None);
            }
            (Some(_), None) => {
                tracing::warn!("no --audit-log-path is given: no events will be recorded");
                return Ok(None);
            }
        };
        let parsed = Policy::parse(&read("audit-policy-file", policy)?);
        let parsed = parsed.map_err(|e| format!("--audit-policy-file {}: {e}", policy.display()))?;
        let options = Options {
            path: path.clone(),
            max_age: self.audit_log_maxage,
            max_backups: self.audit_log_maxbackup,
            max_size: self.audit_log_maxsize,
        };
        Ok(Some((parsed, options)))
    }

    fn authentication(&self, c: &mut Config) -> Result<(), String> {
        let a = &mut c.authentication;
        a.client_ca = self.client_ca_file.as_deref().map(|p| bundle("client-ca-file", p)).transpose()?;
        if let Some(p) = &self.requestheader_client_ca_file {
            let mut f = FrontProxy::new(
                bundle("requestheader-client-ca-file", p)?,
                self.requestheader_allowed_names.clone(),
            );
            f.name_headers.clone_from(&self.requestheader_username_headers);
            f.uid_headers.clone_from(&self.requestheader_uid_headers);
            f.group_headers.clone_from(&self.requestheader_group_headers);
            f.extra_prefixes.clone_from(&self.requestheader_extra_headers_prefix);
            a.front_proxy = Some(f);
        }
        if let Some(p) = &self.token_auth_file {
            let text = read("token-auth-file", p)?;
            a.tokens =
                StaticTokens::parse(&text).map_err(|e| format!("--token-auth-file {}: {e}", p.display()))?;
        }
        a.bootstrap_tokens = self.enable_bootstrap_token_auth;
        a.anonymous = match self.anonymous_auth {
            None => Anonymous::default(),
            Some(true) => Anonymous::Everywhere,
            Some(false) => Anonymous::Nowhere,
        };
        a.service_accounts = Some(self.service_accounts()?);
        Ok(())
    }

    fn service_accounts(&self) -> Result<ServiceAccounts, String> {
        let no_issuer = self.service_account_issuer.iter().all(String::is_empty);
        let signer = match (&self.service_account_signing_key_file, no_issuer) {
            (Some(p), false) => {
                let text = read("service-account-signing-key-file", p)?;
                PrivateKey::from_pem(&text)
                    .map_err(|e| format!("--service-account-signing-key-file {}: {e}", p.display()))?
            }
            // As it was before tokens had issuers: nothing was said, or a private key for both ends.
            (None, true) => self.old_signing_key()?,
            (Some(_), true) => return Err("--service-account-issuer is a required flag".into()),
            (None, false) => return Err("--service-account-signing-key-file is a required flag".into()),
        };
        let mut keys: Vec<PublicKey> = Vec::new();
        for p in &self.service_account_key_file {
            let text = read("service-account-key-file", p)?;
            let found = public_keys_from_pem(&text)
                .map_err(|e| format!("--service-account-key-file {}: {e}", p.display()))?;
            keys.extend(found);
        }
        let max = self.service_account_max_token_expiration;
        if !max.is_zero() && max < Duration::from_secs(3600) {
            return Err("--service-account-max-token-expiration must be an hour or longer".into());
        }
        Ok(ServiceAccounts {
            signer,
            keys,
            issuers: if no_issuer { vec![ISSUER.into()] } else { self.service_account_issuer.clone() },
            audiences: self.api_audiences.clone(),
            jwks_uri: self.service_account_jwks_uri.clone(),
            max_expiration: i64::try_from(max.as_secs()).unwrap_or(i64::MAX),
            extend_expiration: self.service_account_extend_token_expiration,
        })
    }

    /// The private key among --service-account-key-file, or one that is made on the first start and kept.
    fn old_signing_key(&self) -> Result<PrivateKey, String> {
        for p in &self.service_account_key_file {
            if let Ok(k) = PrivateKey::from_pem(&read("service-account-key-file", p)?) {
                return Ok(k);
            }
        }
        if let Some(p) = self.service_account_key_file.first() {
            return Err(format!(
                "--service-account-signing-key-file is a required flag (there is no private key in {})",
                p.display()
            ));
        }
        let path = self.cert_dir.join("service-account.key");
        if !path.exists() {
            std::fs::create_dir_all(&self.cert_dir)
                .map_err(|e| format!("--cert-dir: cannot make {}: {e}", self.cert_dir.display()))?;
            let pair = rcgen::KeyPair::generate().map_err(|e| format!("making a key: {e}"))?;
            crate::run::write(&path, &pair.serialize_pem(), 0o600)?;
            tracing::warn!("no --service-account-signing-key-file is given: {} was made", path.display());
        }
        PrivateKey::from_pem(&read("cert-dir", &path)?).map_err(|e| format!("{}: {e}", path.display()))
    }

    fn admission(&self, c: &mut Config) -> Result<(), String> {
        let a = &mut c.admission;
        a.enable.clone_from(&self.enable_admission_plugins);
        a.disable.clone_from(&self.disable_admission_plugins);
        a.not_ready_toleration_seconds = self.default_not_ready_toleration_seconds;
        a.unreachable_toleration_seconds = self.default_unreachable_toleration_seconds;
        let Some(path) = &self.admission_control_config_file else { return Ok(()) };
        const FLAG: &str = "admission-control-config-file";
        let parse = |path: &Path| -> Result<meta::Value, String> {
            let text = read(FLAG, path)?;
            schema::yaml::parse(text.as_bytes()).map_err(|e| format!("--{FLAG} {}: {e}", path.display()))
        };
        let v = parse(path)?;
        if v.str_at("kind") != "AdmissionConfiguration" {
            return Err(format!("--{FLAG} {}: not an AdmissionConfiguration", path.display()));
        }
        for p in v.array_at("plugins") {
            // The configuration stands there, or in a file beside this one.
            let config = match (p.get("configuration"), p.str_at("path")) {
                (Some(v), _) if !v.is_null() => v.clone(),
                (_, "") => continue,
                (_, file) => parse(&path.parent().unwrap_or(Path::new(".")).join(file))?,
            };
            a.configure(p.str_at("name"), &config)
                .map_err(|e| format!("--{FLAG} {}: {e}", path.display()))?;
        }
        Ok(())
    }
}

/// Connecting a datagram socket sends nothing: the kernel only picks the route.
fn default_route(v6: bool) -> Option<IpAddr> {
    let (bind, to) = if v6 { ("[::]:0", "[2001:db8::1]:9") } else { ("0.0.0.0:0", "192.0.2.1:9") };
    let s = std::net::UdpSocket::bind(bind).ok()?;
    s.connect(to).ok()?;
    let ip = s.local_addr().ok()?.ip();
    (!ip.is_unspecified()).then_some(ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Flags, clap::Error> {
        Flags::try_parse_from(std::iter::once("kube-apiserver").chain(args.iter().copied()))
    }

    #[test]
    fn reads_what_manifests_say() {
        let f = parse(&[
            "--advertise-address=192.0.2.7",
            "--allow-privileged=true",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--enable-bootstrap-token-auth=true",
            "--anonymous-auth=false",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--service-cluster-ip-range=10.68.0.0/16",
            "--service-node-port-range=20000-40000",
            "--event-ttl=30m",
            "--runtime-config=api/beta=true,batch/v1=false",
            "-v=4",
        ])
        .unwrap();
        assert_eq!(f.authorization_mode, [Mode::Node, Mode::Rbac]);
        assert_eq!(f.service_node_port_range, 20000..=40000);
        assert_eq!(f.event_ttl, Duration::from_secs(1800));
        assert_eq!(f.runtime_config, [("api/beta".into(), true), ("batch/v1".into(), false)]);
        assert_eq!((f.enable_bootstrap_token_auth, f.anonymous_auth, f.v), (true, Some(false), 4));
        assert_eq!(parse(&["--anonymous-auth"]).unwrap().anonymous_auth, Some(true));
    }

    #[test]
    fn refuses_what_it_would_not_do() {
        for bad in [
            "--authorization-mode=Webhook",
            "--allow-privileged=false",
            "--service-node-port-range=0-5",
            "--service-cluster-ip-range=10.0.0.0",
            "--event-ttl=-1s",
            "--tls-cert-file=/x",
        ] {
            assert!(parse(&[bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn port_ranges() {
        assert_eq!(ports("30000+9"), Ok(30000..=30009));
        assert_eq!(ports("30000"), Ok(30000..=30000));
        for bad in ["", "2-1", "0-5", "a-b", "1-70000", "65535+1"] {
            assert!(ports(bad).is_err(), "{bad}");
        }
    }
}
