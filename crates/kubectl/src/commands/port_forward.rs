//! `port-forward`: local ports to ports of a pod.

use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag};
use crate::objects::text;
use crate::pods::{self, For};
use crate::{print, remote};
use serde_json::Value;
use std::sync::Arc;
use streams::client::PortForward;
use tokio::net::TcpListener;

super::commands! {
    "port-forward" "TYPE/NAME [options] [LOCAL_PORT:]REMOTE_PORT [...[LOCAL_PORT_N:]REMOTE_PORT_N]"
        "Forward one or more local ports to a pod\n\nOf a workload or a Service it is the best of its pods that connections go to; when that pod ends, so does the command.\nPorts may be named as the pod or the Service names them; a Service's port means the target port behind it."
        "# Ports 5000 and 6000 here are the same ports there\nkubectl port-forward pod/web-0 5000 6000\n\n# Port 8443 here is the port named https of the Service\nkubectl port-forward svc/web 8443:https\n\n# Any free port, on all addresses\nkubectl port-forward --address 0.0.0.0 deploy/web :80"
        FLAGS, run;
}

const FLAGS: &[Flag] = &[
    flag("address", None, Form::List, "localhost", "Addresses to listen on, separated by commas"),
    pods::RUNNING_TIMEOUT,
];

fn split(spec: &str) -> (&str, &str) {
    match spec.split_once(':') {
        Some((l, r)) if !r.contains(':') => (l, r),
        _ => (spec.split(':').next().unwrap_or(spec), spec.split(':').next().unwrap_or(spec)),
    }
}

/// The containers' port of a name.
fn named(pod: &Value, name: &str) -> Result<i64, Error> {
    let mut ports = pod["spec"]["containers"].as_array().into_iter().flatten().flat_map(ports);
    let hit = ports.find(|p| text(p, "/name") == name).and_then(|p| p["containerPort"].as_i64());
    hit.ok_or_else(|| {
        Error::plain(format!("Pod '{}' does not have a named port '{name}'", text(pod, "/metadata/name")))
    })
}

fn ports(c: &Value) -> impl Iterator<Item = &Value> {
    c["ports"].as_array().into_iter().flatten()
}

/// The port of a Service by name or number.
fn service_port<'s>(svc: &'s Value, word: &str) -> Result<&'s Value, Error> {
    let mut all = svc["spec"]["ports"].as_array().into_iter().flatten();
    let name = text(svc, "/metadata/name");
    match word.parse::<i64>() {
        Ok(n) => all
            .find(|p| p["port"] == n)
            .ok_or_else(|| Error::plain(format!("Service {name} does not have a service port {n}"))),
        Err(_) => all
            .find(|p| text(p, "/name") == word)
            .ok_or_else(|| Error::plain(format!("Service '{name}' does not have a named port '{word}'"))),
    }
}

fn not_udp<'p>(same: impl Iterator<Item = &'p Value>, word: &str) -> Result<(), Error> {
    let same: Vec<&Value> = same.collect();
    let udp = same.iter().any(|p| p["protocol"] == "UDP");
    if udp && !same.iter().any(|p| p["protocol"].as_str().unwrap_or("TCP") == "TCP") {
        return Err(Error::plain(format!("UDP protocol is not supported for {word}")));
    }
    Ok(())
}

/// Local and remote port; local 0: any.
fn resolve(spec: &str, svc: Option<&Value>, pod: &Value) -> Result<(u16, u16), Error> {
    let (local, word) = split(spec);
    if word.is_empty() {
        return Err(Error::plain("remote port cannot be empty"));
    }
    let remote = match svc {
        Some(s) => {
            let p = service_port(s, word)?;
            not_udp(
                s["spec"]["ports"].as_array().into_iter().flatten().filter(|o| o["port"] == p["port"]),
                word,
            )?;
            match &p["targetPort"] {
                _ if text(s, "/spec/clusterIP") == "None" && !p["targetPort"].is_string() => {
                    p["targetPort"].as_i64().or(p["port"].as_i64()).unwrap_or(0)
                }
                Value::String(t) => named(pod, t)?,
                t => t.as_i64().filter(|t| *t != 0).or(p["port"].as_i64()).unwrap_or(0),
            }
        }
        None => {
            let n = match word.parse::<i64>() {
                Ok(n) => n,
                Err(_) => named(pod, word)?,
            };
            let all = pod["spec"]["containers"].as_array().into_iter().flatten().flat_map(ports);
            not_udp(all.filter(|p| p["containerPort"] == n), word)?;
            n
        }
    };
    let local = match (local, svc) {
        (l, Some(s)) if l == word && l.parse::<u16>().is_err() => service_port(s, word)?["port"].to_string(),
        (l, None) if l == word => remote.to_string(),
        (l, _) => l.to_owned(),
    };
    let number = |s: &str| {
        s.parse::<u16>().map_err(|_| {
            Error::plain(format!(
                "error parsing local port '{s}': strconv.ParseUint: parsing {s:?}: invalid syntax"
            ))
        })
    };
    let local = if local.is_empty() { 0 } else { number(&local)? };
    match u16::try_from(remote) {
        Ok(r) if r > 0 => Ok((local, r)),
        _ => Err(Error::plain("remote port must be > 0")),
    }
}

pub async fn run(cx: Cx) -> Result<(), Error> {
    let [word, specs @ ..] = cx.p.args.as_slice() else { return Err(usage()) };
    if specs.is_empty() {
        return Err(usage());
    }
    let (t, v) = pods::object(&cx, word).await?;
    let service = (t.resource.kind == "Service").then(|| v.clone());
    let pods = pods::of(&cx, &t, v, For::Sessions).await?;
    let pod = pods.first().ok_or_else(|| Error::plain("no pod found"))?;
    let pairs = specs.iter().map(|s| resolve(s, service.as_ref(), pod)).collect::<Result<Vec<_>, _>>()?;
    let phase = text(pod, "/status/phase");
    if phase != "Running" {
        return Err(Error::plain(format!(
            "unable to forward port because pod is not running. Current status={phase}"
        )));
    }
    let of = cx.discovery().await?.find("pods")?;
    let path = of.object(text(pod, "/metadata/namespace"), text(pod, "/metadata/name"), "portforward");
    let net = cx.net().await?;
    let pf = PortForward::open(|req| net.upgrade(req), &path, &cx.rt).await.map_err(remote::failed)?;
    let pf = Arc::new(pf);
    let mut addresses = cx.p.list("address");
    if addresses.is_empty() {
        addresses.push("localhost".into());
    }
    let mut any = false;
    for (local, remote) in &pairs {
        any |= listen(&cx, &pf, &addresses, *local, *remote).await?;
    }
    if !any {
        return Err(Error::plain(format!(
            "unable to listen on any of the requested ports: {}",
            shown(&pairs)
        )));
    }
    pf.closed().await;
    Err(Error::plain("lost connection to pod"))
}

fn shown(pairs: &[(u16, u16)]) -> String {
    let all: Vec<String> = pairs.iter().map(|(l, r)| format!("{{{l} {r}}}")).collect();
    format!("[{}]", all.join(" "))
}

fn usage() -> Error {
    Error::plain(
        "TYPE/NAME and list of ports are required for port-forward\nSee 'kubectl port-forward -h' for help and examples",
    )
}

/// Listens on a port on each address; false: on none of them.
async fn listen(
    cx: &Cx,
    pf: &Arc<PortForward>,
    addresses: &[String],
    local: u16,
    remote: u16,
) -> Result<bool, Error> {
    let mut bound = local;
    let mut any = false;
    let mut failures = Vec::new();
    for a in addresses
        .iter()
        .flat_map(|a| if a == "localhost" { vec!["127.0.0.1", "::1"] } else { vec![a.as_str()] })
    {
        let l = match TcpListener::bind((a, bound)).await {
            Ok(l) => l,
            Err(e) => {
                failures.push(format!("unable to create listener: Error listen {a}:{bound}: {e}"));
                continue;
            }
        };
        let at = l.local_addr()?;
        (bound, any) = (at.port(), true);
        print::line(&format!("Forwarding from {at} -> {remote}"));
        let (pf, rt) = (pf.clone(), cx.rt.clone());
        cx.rt.spawn("port-forward", async move {
            while let Ok((s, _)) = l.accept().await {
                print::line(&format!("Handling connection for {}", at.port()));
                let pf = pf.clone();
                rt.spawn("port-forward connection", async move {
                    match pf.forward(remote, s).await {
                        Ok(Some(said)) => {
                            eprintln!(
                                "error: an error occurred forwarding {} -> {remote}: {said}",
                                at.port()
                            );
                        }
                        Ok(None) => {}
                        Err(e) => eprintln!("error: {e}"),
                    }
                });
            }
        });
    }
    // One address of localhost is enough; an address that was asked for is not left out silently.
    if !any || addresses.iter().any(|a| a != "localhost") {
        failures.iter().for_each(|f| eprintln!("{f}"));
    }
    Ok(any)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ports_of_pods_and_services() {
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"ports": [
            {"name": "http", "containerPort": 8080}, {"name": "dns", "containerPort": 53, "protocol": "UDP"}]}]}});
        let svc = json!({"metadata": {"name": "s"}, "spec": {"clusterIP": "10.0.0.1", "ports": [
            {"name": "web", "port": 80, "targetPort": "http"}, {"name": "raw", "port": 90, "targetPort": 9090}]}});
        let pairs = |s: &str, of: Option<&Value>| resolve(s, of, &pod).map_err(|e| e.bare());
        assert_eq!(pairs("5000", None), Ok((5000, 5000)));
        assert_eq!(pairs("http", None), Ok((8080, 8080)));
        assert_eq!(pairs(":80", None), Ok((0, 80)));
        assert_eq!(pairs("1:http", None), Ok((1, 8080)));
        assert_eq!(pairs("nope", None), Err("Pod 'p' does not have a named port 'nope'".into()));
        assert_eq!(pairs("53", None), Err("UDP protocol is not supported for 53".into()));
        assert_eq!(pairs("80", Some(&svc)), Ok((80, 8080)));
        assert_eq!(pairs("web", Some(&svc)), Ok((80, 8080)));
        assert_eq!(pairs("7:90", Some(&svc)), Ok((7, 9090)));
        assert_eq!(pairs("91", Some(&svc)), Err("Service s does not have a service port 91".into()));
    }
}
