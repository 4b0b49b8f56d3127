//! Where a request goes on to (Kubernetes `pkg/registry/core/pod/strategy.go`, `node`, `service` `ResourceLocation`).

use super::node_name;
use crate::cx::Cx;
use crate::server::ApiServer;
use crate::{Result, connect};
use meta::object::ObjectExt;
use meta::{Reason, Status, UserInfo, Value};
use rustls::ClientConfig;
use std::net::IpAddr;
use std::sync::Arc;
use streams::translate::Wanted;

const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

pub struct Target {
    /// `10.0.0.1:10250`
    pub address: String,
    pub host: String,
    pub tls: Tls,
    pub uri: String,
    /// Always GET, whatever the client's method is.
    pub get: bool,
    /// A failure is the API's own.
    pub log: bool,
    pub keep_credentials: bool,
    /// Whom the request is passed on for, where the other side asks this server.
    pub user: Option<UserInfo>,
    /// The kubelet speaks WebSocket v5 and tunnels itself.
    pub websockets: bool,
    /// Of a proxy: what links in the answer are put behind.
    pub prefix: Option<String>,
}

/// How the other side is known.
#[derive(Clone)]
pub enum Tls {
    No,
    /// With the certificate for kubelets.
    Kubelet,
    /// Whoever answers: certificates of pods and services are nobody's to check here.
    Unchecked,
    /// By this name.
    Named(Arc<ClientConfig>, String),
}

/// `[scheme:]name[:port]`
pub fn split(id: &str) -> (&str, &str, &str) {
    let parts: Vec<&str> = id.split(':').collect();
    match parts.as_slice() {
        [name] => ("", name, ""),
        [name, port] => ("", name, port),
        [scheme @ ("http" | "https" | ""), name, port] => (scheme, name, port),
        _ => ("", id, ""),
    }
}

pub async fn get(cx: &Cx, group: &str, resource: &str, namespace: &str, name: &str) -> Result<Value> {
    let missing = || Status::not_found(&meta::GroupResource::new(group, resource), name);
    let res = cx.server.resource(group, "v1", resource).ok_or_else(missing)?;
    let key = if namespace.is_empty() || !res.namespaced {
        format!("{}{name}", res.prefix)
    } else {
        format!("{}{namespace}/{name}", res.prefix)
    };
    connect::decode(cx, &res, &key).await?.ok_or_else(|| missing().into())
}

/// The kubelet of a node.
async fn kubelet(cx: &Cx, node: &str, uri: String, get_only: bool) -> Result<Target> {
    let n = get(cx, "", "nodes", "", node).await?;
    kubelet_of(cx, &n, uri, get_only)
}

fn kubelet_of(cx: &Cx, n: &Value, uri: String, get_only: bool) -> Result<Target> {
    let port = n.i64_at("status.daemonEndpoints.kubeletEndpoint.Port").filter(|p| *p > 0).unwrap_or(10250);
    let addresses = n.array_at("status.addresses");
    let of = |kind: &str| {
        addresses.iter().find(|a| a.str_at("type") == kind).map(|a| a.str_at("address").to_owned())
    };
    let host = cx.server.cfg.kubelet_address_types.iter().find_map(|k| of(k));
    let host = host.ok_or_else(|| {
        Status::internal(format!("no preferred addresses found; known addresses of node {}: none", n.name()))
    })?;
    let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    Ok(Target {
        host: address.clone(),
        address,
        tls: Tls::Kubelet,
        uri,
        get: get_only,
        log: false,
        keep_credentials: false,
        user: None,
        websockets: n
            .array_at("status.declaredFeatures")
            .iter()
            .any(|f| f.as_str() == Some(streams::translate::NODE_FEATURE)),
        prefix: None,
    })
}

fn params(query: &str) -> Vec<(&str, &str)> {
    query.split('&').filter(|p| !p.is_empty()).map(|p| p.split_once('=').unwrap_or((p, ""))).collect()
}

/// The container asked for, or the one there is no doubt about.
fn container(pod: &Value, query: &str) -> Result<String> {
    let asked = params(query)
        .into_iter()
        .find(|(k, v)| *k == "container" && !v.is_empty())
        .map(|(_, v)| v.to_owned());
    let names = |field: &str| -> Vec<String> {
        pod.array_at(&format!("spec.{field}")).iter().map(|c| c.str_at("name").to_owned()).collect()
    };
    let (plain, init, short) = (names("containers"), names("initContainers"), names("ephemeralContainers"));
    if let Some(a) = asked {
        if plain.contains(&a) || init.contains(&a) || short.contains(&a) {
            return Ok(a);
        }
        return Err(Status::bad_request(format!("container {a} is not valid for pod {}", pod.name())).into());
    }
    if let Some(d) = pod.annotation(DEFAULT_CONTAINER).filter(|d| plain.iter().any(|p| p == d)) {
        return Ok(d.to_owned());
    }
    match plain.as_slice() {
        [one] => Ok(one.clone()),
        [] => {
            Err(Status::bad_request(format!("a container name must be specified for pod {}", pod.name()))
                .into())
        }
        many => {
            let mut text = format!(
                "a container name must be specified for pod {}, choose one of: [{}]",
                pod.name(),
                many.join(" ")
            );
            if !init.is_empty() {
                text.push_str(&format!(" or one of the init containers: [{}]", init.join(" ")));
            }
            Err(Status::bad_request(text).into())
        }
    }
}

pub async fn log(cx: &Cx, pod: &Value, query: &str) -> Result<Target> {
    check_log_options(pod, query)?;
    let c = container(pod, query)?;
    let node = match pod.str_at("spec.nodeName") {
        // Not scheduled yet: there is nothing to read, and that is no error.
        "" => {
            return Err(
                Status::bad_request(format!("pod {} does not have a host assigned", pod.name())).into()
            );
        }
        n => n.to_owned(),
    };
    let rest: Vec<String> =
        params(query).iter().filter(|(k, _)| *k != "container").map(|(k, v)| format!("{k}={v}")).collect();
    let uri = format!("/containerLogs/{}/{}/{c}?{}", pod.namespace(), pod.name(), rest.join("&"));
    let mut t = kubelet(cx, &node, uri, true).await?;
    t.log = true;
    Ok(t)
}

/// What upstream's validation of PodLogOptions refuses.
fn check_log_options(pod: &Value, query: &str) -> Result<()> {
    let mut errors = meta::ErrorList::new();
    let p = params(query);
    let value = |k: &str| p.iter().find(|(n, _)| *n == k).map(|(_, v)| *v);
    for (k, least) in [("tailLines", 0), ("sinceSeconds", 1), ("limitBytes", 1)] {
        if let Some(v) = value(k) {
            match v.parse::<i64>() {
                Err(_) => {
                    return Err(
                        Status::bad_request(format!("unable to parse {k}: {v:?} is not a number")).into()
                    );
                }
                Ok(n) if n < least => {
                    let what = if least == 0 {
                        "must be greater than or equal to 0"
                    } else {
                        "must be greater than 0"
                    };
                    errors.push(meta::FieldError::invalid(&meta::Path::new(k), n, what));
                }
                Ok(_) => {}
            }
        }
    }
    if value("sinceSeconds").is_some() && value("sinceTime").is_some() {
        errors.push(meta::FieldError::forbidden(
            &meta::Path::root(),
            "at most one of `sinceTime` or `sinceSeconds` may be specified",
        ));
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(&meta::GroupKind::new("", "PodLogOptions"), pod.name(), &errors).into())
}

pub async fn command(cx: &Cx, pod: &Value, query: &str) -> Result<(Target, Wanted)> {
    let phase = pod.str_at("status.phase");
    if matches!(phase, "Succeeded" | "Failed") {
        let what =
            format!("cannot exec in or attach to a container in a completed pod; current phase is {phase}");
        return Err(Status::bad_request(what).into());
    }
    let c = container(pod, query)?;
    let node = node_name(pod)?;
    let sub = cx.subresource();
    // The kubelet's parameters: `input`, `output`, `error`, `tty` and the command's words.
    let (mut q, mut w) = (Vec::new(), Wanted::default());
    for (k, v) in params(query) {
        let on = !(v == "0" || v.eq_ignore_ascii_case("false"));
        match k {
            "stdin" => w.stdin = on,
            "stdout" => w.stdout = on,
            "stderr" => w.stderr = on,
            "tty" => w.tty = on,
            "command" if sub == "exec" => q.push(format!("command={v}")),
            _ => {}
        }
    }
    for (on, name) in [(w.stdin, "input"), (w.stdout, "output"), (w.stderr, "error"), (w.tty, "tty")] {
        if on {
            q.push(format!("{name}=1"));
        }
    }
    let uri = format!("/{sub}/{}/{}/{c}?{}", pod.namespace(), pod.name(), q.join("&"));
    Ok((kubelet(cx, &node, uri, false).await?, w))
}

pub async fn port_forward(cx: &Cx, pod: &Value, query: &str) -> Result<Target> {
    let node = node_name(pod)?;
    let ports: Vec<String> =
        params(query).iter().filter(|(k, _)| *k == "ports").map(|(_, v)| format!("port={v}")).collect();
    let uri = format!("/portForward/{}/{}?{}", pod.namespace(), pod.name(), ports.join("&"));
    kubelet(cx, &node, uri, false).await
}

fn onward(cx: &Cx, query: &str) -> String {
    let path = match cx.info.subpath() {
        p if p.is_empty() => "/".to_owned(),
        p => encode(&p),
    };
    if query.is_empty() { path } else { format!("{path}?{query}") }
}

/// Percent-encodes what a path may not hold as it stands.
fn encode(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for b in path.bytes() {
        if b.is_ascii_alphanumeric() || b"/-_.~!$&'()*+,;=:@".contains(&b) {
            out.push(b as char);
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

/// Addresses that a proxy must never lead to: this host's own.
fn check(ip: &str) -> Result<()> {
    let bad = match ip.parse::<IpAddr>() {
        Ok(IpAddr::V4(a)) => a.is_loopback() || a.is_link_local() || a.is_unspecified(),
        Ok(IpAddr::V6(a)) => a.is_loopback() || a.is_unspecified() || (a.segments()[0] & 0xffc0) == 0xfe80,
        Err(_) => true,
    };
    if bad { Err(Status::failure(Reason::BadRequest, "address not allowed").into()) } else { Ok(()) }
}

/// The path of a proxied request up to what is the other side's.
fn prefix(cx: &Cx) -> String {
    let sub = cx.info.subpath();
    cx.info.path.strip_suffix(&sub).unwrap_or(&cx.info.path).to_owned()
}

fn plain(cx: &Cx, uri: String, ip: &str, port: i64, scheme: &str) -> Result<Target> {
    check(ip)?;
    let address = if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") };
    Ok(Target {
        host: address.clone(),
        address,
        tls: if scheme == "https" { Tls::Unchecked } else { Tls::No },
        uri,
        get: false,
        log: false,
        keep_credentials: false,
        user: None,
        websockets: false,
        prefix: Some(prefix(cx)),
    })
}

pub fn pod(cx: &Cx, pod: &Value, query: &str) -> Result<Target> {
    let (scheme, _, port) = split(&cx.info.name);
    let ports = || pod.array_at("spec.containers").iter().flat_map(|c| c.array_at("ports"));
    let number = match port {
        "" => ports().next().and_then(|p| p.i64_at("containerPort")).unwrap_or(if scheme == "https" {
            443
        } else {
            80
        }),
        p => match p.parse() {
            Ok(n) => n,
            Err(_) => ports()
                .find(|x| x.str_at("name") == p)
                .and_then(|x| x.i64_at("containerPort"))
                .ok_or_else(|| Status::unavailable(format!("no port {p:?} in pod {}", pod.name())))?,
        },
    };
    let ip = pod.str_at("status.podIP");
    if ip.is_empty() {
        return Err(Status::unavailable(format!("pod {} has no address yet", pod.name())).into());
    }
    plain(cx, onward(cx, query), ip, number, scheme)
}

pub fn node(cx: &Cx, node: &Value, query: &str) -> Result<Target> {
    let (scheme, _, port) = split(&cx.info.name);
    let mut t = kubelet_of(cx, node, onward(cx, query), false)?;
    t.prefix = Some(prefix(cx));
    if !port.is_empty() && t.address.rsplit_once(':').is_none_or(|(_, p)| p != port) {
        let host = t.address.rsplit_once(':').map(|(h, _)| h.to_owned()).unwrap_or_default();
        t.address = format!("{host}:{port}");
        t.host.clone_from(&t.address);
        t.tls = if scheme == "https" { Tls::Unchecked } else { Tls::No };
    }
    Ok(t)
}

/// A ready endpoint of the service, drawn at random.
pub async fn service(cx: &Cx, service: &Value, query: &str) -> Result<Target> {
    let (scheme, name, port) = split(&cx.info.name);
    let ports = service.array_at("spec.ports");
    let wanted = match port {
        "" if ports.len() == 1 => &ports[0],
        "" => ports.iter().find(|p| p.str_at("name").is_empty()).ok_or_else(|| none(name))?,
        p => ports
            .iter()
            .find(|x| x.str_at("name") == p || x.i64_at("port").is_some_and(|n| n.to_string() == p))
            .ok_or_else(|| {
                Status::unavailable(format!("no service port {p:?} found for service {name:?}"))
            })?,
    };
    let mut found = endpoints(&cx.server, service.namespace(), name, wanted.str_at("name")).await?;
    if found.is_empty() {
        return Err(none(name).into());
    }
    let (ip, number) = found.swap_remove(usize::try_from(cx.seed).unwrap_or(0) % found.len());
    plain(cx, onward(cx, query), &ip, number, scheme)
}

/// The ready endpoints of a service's port, as address and port.
pub async fn endpoints(
    server: &ApiServer,
    namespace: &str,
    service: &str,
    port: &str,
) -> Result<Vec<(String, i64)>> {
    let res =
        server.resource("discovery.k8s.io", "v1", "endpointslices").ok_or_else(Status::no_such_resource)?;
    let mut found: Vec<(String, i64)> = Vec::new();
    let mut records = Vec::new();
    server.store.cached().scan(&format!("{}{namespace}/", res.prefix), "", &mut |r| {
        records.push(r.clone());
        true
    });
    for r in records {
        let slice = crate::object::decode(&res, &r).await?;
        if slice.label("kubernetes.io/service-name") != Some(service) {
            continue;
        }
        let port = slice.array_at("ports").iter().find(|p| p.str_at("name") == port);
        let Some(number) = port.and_then(|p| p.i64_at("port")) else { continue };
        for e in slice.array_at("endpoints") {
            let ready = e.at("conditions.ready").and_then(Value::as_bool).unwrap_or(true);
            if let (true, Some(a)) = (ready, e.array_at("addresses").first().and_then(Value::as_str)) {
                found.push((a.to_owned(), number));
            }
        }
    }
    Ok(found)
}

fn none(name: &str) -> Status {
    Status::unavailable(format!("no endpoints available for service {name:?}"))
}
