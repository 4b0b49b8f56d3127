//! The control plane's parts, put together, and the objects a keelson cluster is born with.

use crate::flags::{DashboardAddress, Server};
use crate::keys::Keys;
use apiserver::ApiServer;
use apiserver::config::Mode;
use client::leader::LeaderElection;
use client::{Client, ListParams, PatchKind};
use k8s_openapi::api::core::v1::{Node, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::DeleteOptions;
use meta::UserInfo;
use meta::user::AUTHENTICATED;
use runtime::Runtime;
use serde_json::{Value, json};
use setup::JoinToken;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Where cluster DNS listens on the node: the Service's port 53 leads there.
const DNS_PORT: u16 = 10053;
/// How often the endpoints of cluster DNS on several servers are looked at.
const DNS_LOOK: Duration = Duration::from_secs(10);

pub fn api_server(
    f: &Server,
    keys: &Keys,
    store: Arc<dyn storage::Storage>,
    advertise: IpAddr,
    rt: &Runtime,
) -> Result<Arc<ApiServer>, String> {
    let mut c = apiserver::Config::new(store);
    c.advertise_address = advertise;
    c.secure_port = f.secure_port;
    c.node_port_range = f.service_node_port_range.0..=f.service_node_port_range.1;
    c.service_cidrs =
        apiserver::alloc::Range::parse(&f.common.service_cluster_ip_range.to_string()).into_iter().collect();
    for r in &f.runtime_config {
        let (name, on) = r.split_once('=').unwrap_or((r, "true"));
        let on =
            on.parse().map_err(|_| format!("--runtime-config {r:?}: {on:?} is neither true nor false"))?;
        c.runtime_config.push((name.to_owned(), on));
    }
    let text = |e: authn::Error| e.to_string();
    let ca = |pem: &str| serve::ClientCa::from_pem(pem.as_bytes()).map_err(|e| e.to_string());
    let issuer = format!("https://kubernetes.default.svc.{}", f.common.cluster_domain.trim_end_matches('.'));
    c.authentication.client_ca = Some(ca(&keys.ca.ca_pem)?);
    c.authentication.front_proxy = Some(apiserver::config::FrontProxy::new(
        ca(&keys.front_proxy.ca_pem)?,
        vec!["front-proxy-client".to_owned()],
    ));
    c.authentication.bootstrap_tokens = true;
    c.authentication.service_accounts = Some(apiserver::config::ServiceAccounts {
        signer: authn::keys::PrivateKey::from_pem(&keys.service_account.0).map_err(text)?,
        keys: Vec::new(),
        issuers: vec![issuer],
        audiences: Vec::new(),
        jwks_uri: String::new(),
        max_expiration: 0,
        extend_expiration: true,
    });
    let proxy = &keys.front_proxy_client;
    c.proxy_client = Some((proxy.cert_pem.clone(), proxy.key_pem.clone()));
    c.authorization = vec![Mode::Node, Mode::Rbac];
    let (cert, key) = (keys.kubelet_client.cert_pem.as_bytes(), keys.kubelet_client.key_pem.as_bytes());
    let authority = Some(keys.ca.ca_pem.as_bytes());
    c.kubelet = Some(apiserver::connect::KubeletClient::new(cert, key, authority)?);
    c.admission.enable.push("NodeRestriction".to_owned());
    ApiServer::new(c, rt.clone())
}

pub fn tls(keys: &Keys) -> Result<serve::TlsSettings, String> {
    let text = |e: serve::TlsError| e.to_string();
    let (cert, key) = (keys.serving.cert_pem.as_bytes(), keys.serving.key_pem.as_bytes());
    Ok(serve::TlsSettings {
        certificates: serve::CertSource::from_pem(cert, key).map_err(text)?,
        client_ca: Some(serve::ClientCa::from_pem(keys.ca.ca_pem.as_bytes()).map_err(text)?),
        http2: true,
    })
}

pub fn controllers(f: &Server, api: &Arc<ApiServer>, keys: &Keys, rt: &Runtime) {
    let api = api.clone();
    let client_for = move |account: &str| {
        let user = if account.is_empty() {
            UserInfo::new("system:kube-controller-manager", &[AUTHENTICATED])
        } else {
            UserInfo::service_account("kube-system", account)
        };
        Client::new(api.transport(user)).named(if account.is_empty() {
            "kube-controller-manager"
        } else {
            account
        })
    };
    let mut c = controllers::Config::new(Arc::new(client_for));
    c.controllers.clone_from(&f.controllers);
    c.cluster_cidrs = vec![f.common.cluster_cidr.to_string()];
    c.service_cidrs = vec![f.common.service_cluster_ip_range.to_string()];
    c.root_ca.clone_from(&keys.ca.ca_pem);
    c.signer =
        Some(controllers::KeyPair { cert_pem: keys.ca.ca_pem.clone(), key_pem: keys.ca.ca_key_pem.clone() });
    c.legacy_token = legacy_tokens(keys);
    c.host = f.common.node_name();
    if f.etcd_servers.is_empty() {
        rt.spawn("kube-controller-manager", controllers::run(c, rt.clone()));
        return;
    }
    let own = (c.client_for)("");
    let rt = rt.clone();
    let work = rt.clone();
    rt.spawn("kube-controller-manager", async move {
        let identity = LeaderElection::identity_for(&c.host);
        while !work.is_stopping() {
            let election =
                LeaderElection::new(own.clone(), "kube-system", "kube-controller-manager", &identity);
            let leading = work.child();
            election.run(&work, controllers::run(c.clone(), leading.clone())).await;
            leading.shutdown(Duration::from_secs(5)).await;
        }
    });
}

/// Makes the tokens of Secrets, with the key that the API server signs with.
fn legacy_tokens(keys: &Keys) -> Option<controllers::config::LegacyToken> {
    let key = authn::keys::PrivateKey::from_pem(&keys.service_account.0).ok()?;
    let signer = authn::Signer::new(key, "");
    Some(Arc::new(move |account, secret| signer.issue_legacy(account, secret).map_err(|e| e.to_string())))
}

pub fn scheduler(f: &Server, client: Client, rt: &Runtime) {
    let config = scheduler::Config::new(&f.common.node_name());
    let several = !f.etcd_servers.is_empty();
    let config = if several { config } else { config.alone() };
    let task = rt.clone();
    rt.spawn("kube-scheduler", async move {
        loop {
            let turn = task.child();
            let ended = scheduler::run(config.clone(), client.clone(), turn.clone()).await;
            turn.shutdown(Duration::from_secs(5)).await;
            match ended {
                Ok(()) => return,
                // Another server's scheduler works; this one may lead again.
                Err(scheduler::Error::LeaseLost) if several => {}
                Err(e) => return tracing::error!("the scheduler ended: {e}"),
            }
        }
    });
}

/// Where the dashboard is unless a flag says otherwise.
const DASHBOARD: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8444);

/// The dashboard. It speaks to the API over the network like anybody else, so that users' tokens are judged there.
pub async fn dashboard(f: &Server, keys: &Keys, tls: serve::TlsSettings, rt: &Runtime) -> Result<(), String> {
    let address = match f.dashboard_address {
        Some(DashboardAddress::Off) => return Ok(()),
        Some(DashboardAddress::At(a)) => a,
        None => DASHBOARD,
    };
    let host = match f.bind_address {
        IpAddr::V4(ip) if ip.is_unspecified() => "127.0.0.1".to_owned(),
        IpAddr::V6(ip) if ip.is_unspecified() => "[::1]".to_owned(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    let upstream = client::Config {
        server: format!("https://{host}:{}", f.secure_port),
        ca: Some(client::config::Pem::Data(keys.ca.ca_pem.clone().into_bytes())),
        tls_server_name: Some("kubernetes".to_owned()),
        ..client::Config::default()
    };
    let local = address.ip().is_loopback();
    let tls = (!local).then(|| serve::TlsSettings { client_ca: None, ..tls });
    match dashboard::start(address, upstream, tls, rt).await {
        Ok(at) => {
            tracing::info!("the dashboard is at {}://{at}/", if local { "http" } else { "https" });
            Ok(())
        }
        Err(e) if f.dashboard_address.is_some() => Err(format!("--dashboard-address: {e}")),
        // Nobody asked for it there: a cluster is more than its dashboard.
        Err(e) => {
            tracing::warn!("no dashboard (--dashboard-address chooses another place): {e}");
            Ok(())
        }
    }
}

/// Applies an object. What the server cannot take yet (its namespace is being made) is tried again for a while.
async fn apply<K: client::Kind>(c: &Client, namespace: Option<&str>, object: Value) -> Result<(), String> {
    const TRIES: u32 = 150;
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    for n in 1.. {
        let done: Result<K, _> = c.patch(namespace, &name, "", PatchKind::Apply, &object).await;
        match done {
            Ok(_) => break,
            Err(e) if n == TRIES || e.is(meta::Reason::Invalid) || e.is(meta::Reason::BadRequest) => {
                return Err(format!("cannot set up {} {name}: {e}", K::KIND));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
    Ok(())
}

fn role(name: &str, rules: Value) -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules})
}

fn binding(name: &str, role: &str, subject: (&str, &str)) -> Value {
    let api = "rbac.authorization.k8s.io";
    json!({"apiVersion": format!("{api}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": api, "kind": subject.0, "name": subject.1}]})
}

/// What joins nodes to the cluster, and what its own parts may do beyond upstream's roles.
pub async fn bootstrap(c: &Client, f: &Server, token: &JoinToken) -> Result<(), String> {
    let _ = f;
    let read = json!(["get", "list", "watch"]);
    let dns = json!([
        {"apiGroups": [""], "resources": ["services", "namespaces"], "verbs": read},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": read}]);
    apply::<ClusterRole>(c, None, role("keelson:kube-dns", dns)).await?;
    // Which addresses a policy means follows from the labels of pods and namespaces: every node needs those.
    let policies = json!([
        {"apiGroups": [""], "resources": ["pods", "namespaces"], "verbs": read},
        {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": read}]);
    apply::<ClusterRole>(c, None, role("keelson:network-policy", policies)).await?;
    let user = "system:serviceaccount:kube-system:kube-dns";
    let certificates = "system:certificates.k8s.io:certificatesigningrequests";
    for b in [
        binding("keelson:kube-dns", "keelson:kube-dns", ("User", user)),
        binding(
            "keelson:kube-apiserver-kubelet-client",
            "system:kubelet-api-admin",
            ("User", "kube-apiserver-kubelet-client"),
        ),
        binding("keelson:network-policy", "keelson:network-policy", ("Group", "system:nodes")),
        binding("keelson:network-policy-proxy", "keelson:network-policy", ("User", "system:kube-proxy")),
        binding("keelson:node-proxier", "system:node-proxier", ("Group", "system:nodes")),
        binding(
            "keelson:node-bootstrapper",
            "system:node-bootstrapper",
            ("Group", "system:bootstrappers:keelson"),
        ),
        binding(
            "keelson:node-approve-bootstrap",
            &format!("{certificates}:nodeclient"),
            ("Group", "system:bootstrappers:keelson"),
        ),
        binding(
            "keelson:node-approve-renewal",
            &format!("{certificates}:selfnodeclient"),
            ("Group", "system:nodes"),
        ),
    ] {
        apply::<ClusterRoleBinding>(c, None, b).await?;
    }
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
        "metadata": {"name": format!("bootstrap-token-{}", token.id), "namespace": "kube-system"},
        "stringData": {"token-id": token.id, "token-secret": token.secret, "usage-bootstrap-authentication": "true",
            "auth-extra-groups": "system:bootstrappers:keelson", "description": "joins keelson agents"}});
    apply::<Secret>(c, Some("kube-system"), secret).await
}

/// Cluster DNS in this process, behind the Service `kube-dns`.
pub async fn dns(f: &Server, client: Client, master: &Client, rt: &Runtime) -> Result<(), String> {
    let ip = f.common.host_ip();
    let config = dns::Config {
        listen: SocketAddr::new(ip, DNS_PORT),
        domain: f.common.cluster_domain.clone(),
        resolv_conf: "/etc/resolv.conf".into(),
        own: vec![f.common.dns_ip(), ip],
    };
    dns::run(config, client, rt.clone()).await.map_err(|e| e.to_string())?;
    let ports = [("dns", "UDP"), ("dns-tcp", "TCP")].map(
        |(name, protocol)| json!({"name": name, "port": 53, "protocol": protocol, "targetPort": DNS_PORT}),
    );
    let labels = json!({"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"});
    let service = json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": labels},
        "spec": {"clusterIP": f.common.dns_ip().to_string(), "ports": ports}});
    apply::<Service>(master, Some("kube-system"), service).await?;
    dns_endpoint(f, master).await
}

/// The name of the slice with this server's endpoint of cluster DNS. Servers of one cluster each have one.
fn dns_slice(f: &Server, node: &str) -> String {
    if f.etcd_servers.is_empty() { "kube-dns-keelson".to_owned() } else { format!("kube-dns-{node}") }
}

/// Says where cluster DNS is on this server.
async fn dns_endpoint(f: &Server, master: &Client) -> Result<(), String> {
    let ip = f.common.host_ip();
    let ports = [("dns", "UDP"), ("dns-tcp", "TCP")]
        .map(|(name, protocol)| json!({"name": name, "port": DNS_PORT, "protocol": protocol}));
    let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": dns_slice(f, &f.common.node_name()), "namespace": "kube-system", "labels": {
            "kubernetes.io/service-name": "kube-dns", "endpointslice.kubernetes.io/managed-by": "keelson"}},
        "endpoints": [{"addresses": [ip.to_string()], "nodeName": f.common.node_name(), "conditions": {"ready": true}}],
        "ports": ports});
    apply::<EndpointSlice>(master, Some("kube-system"), slice).await
}

/// Takes the endpoints of cluster DNS on servers that are not there any more away, and keeps the own one.
pub async fn keep_dns(f: Server, master: Client) {
    let me = f.common.node_name();
    loop {
        tokio::time::sleep(DNS_LOOK).await;
        let all = ListParams {
            label_selector:
                "kubernetes.io/service-name=kube-dns,endpointslice.kubernetes.io/managed-by=keelson".into(),
            ..ListParams::default()
        };
        let Ok(slices) = master.list::<EndpointSlice>(Some("kube-system"), &all).await else { continue };
        let mut mine = false;
        for s in slices {
            let name = s.metadata.name.unwrap_or_default();
            let endpoints = s.endpoints.unwrap_or_default();
            let node = endpoints.first().and_then(|e| e.node_name.clone()).unwrap_or_default();
            if node == me {
                mine = true;
            } else if !ready(&master, &node).await {
                tracing::info!("cluster DNS on {node} is gone: its endpoint is taken away");
                let _ = master
                    .delete::<EndpointSlice>(Some("kube-system"), &name, &DeleteOptions::default())
                    .await;
            }
        }
        if !mine && let Err(e) = dns_endpoint(&f, &master).await {
            tracing::warn!("{e}");
        }
    }
}

/// Whether a node is there and says that it is ready. Without an answer it is taken to be.
async fn ready(master: &Client, node: &str) -> bool {
    match master.get::<Node>(None, node).await {
        Ok(n) => crate::node::is_ready(&n),
        Err(e) => !e.is_not_found(),
    }
}
