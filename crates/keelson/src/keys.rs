//! The keys and certificates of the control plane, made on a first start and reused after.

use crate::flags::Server;
use setup::pki::LeafSpec;
use setup::{Identity, JoinToken, Pki, files, kubeconfig};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

pub struct Keys {
    pub ca: Pki,
    pub front_proxy: Pki,
    /// The API server's own.
    pub serving: Identity,
    /// What the API server shows to kubelets.
    pub kubelet_client: Identity,
    /// What the API server shows to the API servers that it passes requests on to.
    pub front_proxy_client: Identity,
    /// Private and public PEM.
    pub service_account: (String, String),
    pub token: JoinToken,
}

fn client(cn: &str, org: &str) -> LeafSpec {
    LeafSpec { common_name: cn.into(), organization: org.into(), client: true, ..LeafSpec::default() }
}

/// What the API server's certificate is for.
fn serving(f: &Server, advertise: IpAddr) -> LeafSpec {
    let first = Ipv4Addr::from(u32::from(f.common.service_cluster_ip_range.network()) + 1);
    let mut dns: Vec<String> = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"]
        .map(str::to_owned)
        .to_vec();
    dns.push(format!("kubernetes.default.svc.{}", f.common.cluster_domain.trim_end_matches('.')));
    dns.push(f.common.node_name());
    let mut ips =
        vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(first), advertise];
    for s in &f.tls_san {
        match s.parse() {
            Ok(ip) => ips.push(ip),
            Err(_) => dns.push(s.clone()),
        }
    }
    LeafSpec { common_name: "kube-apiserver".into(), dns, ips, server: true, ..LeafSpec::default() }
}

fn join_token(dir: &Path, ca: &Pki) -> Result<JoinToken, String> {
    let path = dir.join("token");
    if let Some(t) = files::read(&path).map_err(|e| e.to_string())? {
        return JoinToken::parse(&t).map_err(|e| format!("{}: {e}", path.display()));
    }
    let mut random = [0; 22];
    getrandom::fill(&mut random).map_err(|e| e.to_string())?;
    let t = JoinToken::new(&ca.ca_der().map_err(|e| e.to_string())?, &random);
    files::write(&path, format!("{}\n", t.render()).as_bytes(), 0o600).map_err(|e| e.to_string())?;
    Ok(t)
}

/// The URL in the admin's kubeconfig: loopback where the API is served on every address of this host.
fn local_url(f: &Server) -> String {
    let ip = if f.bind_address.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { f.bind_address };
    format!("https://{}", SocketAddr::new(ip, f.secure_port))
}

/// Does two things at the same time.
fn both<A: Send, B>(
    a: impl FnOnce() -> Result<A, String> + Send,
    b: impl FnOnce() -> B,
) -> (Result<A, String>, B) {
    std::thread::scope(|scope| {
        let a = scope.spawn(a);
        let b = b();
        (joined(a).and_then(|a| a), b)
    })
}

fn joined<T>(t: std::thread::ScopedJoinHandle<'_, T>) -> Result<T, String> {
    t.join().map_err(|_| "making the cluster's keys panicked".to_owned())
}

impl Keys {
    /// Opens or makes everything under `<data-dir>/pki`, the token and the admin's kubeconfig. `now` in Unix seconds.
    pub fn open(f: &Server, advertise: IpAddr, now: i64) -> Result<Self, String> {
        let data = &f.common.data_dir;
        let dir = data.join("pki");
        let text = |e: setup::Error| e.to_string();
        // Each file is synced: side by side the disk takes them together.
        let (ca, front_proxy) = both(
            || Pki::open(&dir, "ca", now).map_err(text),
            || Pki::open(&dir, "front-proxy-ca", now).map_err(text),
        );
        let (ca, front_proxy) = (ca?, front_proxy?);
        std::thread::scope(|scope| {
            let leaf = |ca, file: &'static str, spec| {
                scope.spawn(move || Pki::leaf(ca, file, &spec).map_err(|e| e.to_string()))
            };
            let admin = scope.spawn(|| {
                let admin = ca.leaf("admin", &client("kubernetes-admin", "system:masters"))?;
                let config = kubeconfig::render(&local_url(f), &ca.ca_pem, "kubernetes-admin", &admin);
                kubeconfig::write(&data.join("admin.kubeconfig"), &config)
            });
            let serving = leaf(&ca, "apiserver", serving(f, advertise));
            let kubelet = client("kube-apiserver-kubelet-client", "");
            let kubelet = leaf(&ca, "apiserver-kubelet-client", kubelet);
            let proxy = leaf(&front_proxy, "front-proxy-client", client("front-proxy-client", ""));
            let account = scope.spawn(|| setup::pki::service_account_key(&dir).map_err(text));
            let token = join_token(data, &ca)?;
            joined(admin)?.map_err(text)?;
            Ok((joined(serving)??, joined(kubelet)??, joined(proxy)??, joined(account)??, token))
        })
        .map(|(serving, kubelet_client, front_proxy_client, service_account, token)| Self {
            ca,
            front_proxy,
            serving,
            kubelet_client,
            front_proxy_client,
            service_account,
            token,
        })
    }
}
