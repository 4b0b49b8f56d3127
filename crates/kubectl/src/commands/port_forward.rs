//! `port-forward`: local ports to ports of a pod.

use super::logs;
use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag};
use crate::objects::text;
use crate::print;
use std::sync::Arc;
use streams::client::PortForward;
use tokio::net::TcpListener;

pub const FLAGS: &[Flag] =
    &[flag("address", None, Form::List, "localhost", "Addresses to listen on, separated by commas")];

fn port(s: &str, all: &str) -> Result<u16, Error> {
    s.parse().map_err(|_| {
        Error::plain(format!("invalid port in {all:?}: name a number; named ports are not looked up here"))
    })
}

pub async fn run(cx: Cx) -> Result<(), Error> {
    let [word, ports @ ..] = cx.p.args.as_slice() else {
        return Err(Error::plain(
            "TYPE/NAME and list of ports are required for port-forward\nSee 'kubectl port-forward -h' for help and examples",
        ));
    };
    if ports.is_empty() {
        return Err(Error::plain(
            "TYPE/NAME and list of ports are required for port-forward\nSee 'kubectl port-forward -h' for help and examples",
        ));
    }
    if word.starts_with("svc/") || word.starts_with("service") {
        return Err(Error::plain(
            "port-forward to a service is not supported by this kubectl yet: name a pod or a workload",
        ));
    }
    let pods = logs::pods(&cx, word).await?;
    let pod = pods.first().ok_or_else(|| Error::plain("no pod found"))?;
    let phase = text(pod, "/status/phase");
    if phase != "Running" {
        return Err(Error::plain(format!(
            "unable to forward port because pod is not running. Current status={phase}"
        )));
    }
    let of = cx.discovery().await?.find("pods")?;
    let path = of.object(text(pod, "/metadata/namespace"), text(pod, "/metadata/name"), "portforward");
    let net = cx.net().await?;
    let pf = PortForward::open(|req| net.upgrade(req), &path, &cx.rt).await.map_err(|e| {
        match e.status().and_then(|s| serde_json::from_value(s).ok()) {
            Some(s) => Error::Status(Box::new(s)),
            None => Error::plain(e.to_string()),
        }
    })?;
    let pf = Arc::new(pf);
    let mut addresses = cx.p.list("address");
    if addresses.is_empty() {
        addresses.push("localhost".into());
    }
    for spec in ports {
        let (local, remote) = spec.split_once(':').unwrap_or((spec, spec));
        let remote = port(remote, spec)?;
        let local = if local.is_empty() { 0 } else { port(local, spec)? };
        let mut bound = 0;
        for a in addresses
            .iter()
            .flat_map(|a| if a == "localhost" { vec!["127.0.0.1", "::1"] } else { vec![a.as_str()] })
        {
            let Ok(l) = TcpListener::bind((a, if local == 0 { bound } else { local })).await else {
                continue;
            };
            let at = l.local_addr()?;
            bound = at.port();
            print::line(&format!("Forwarding from {at} -> {remote}"));
            let (pf, rt) = (pf.clone(), cx.rt.clone());
            cx.rt.spawn("port-forward", async move {
                while let Ok((s, _)) = l.accept().await {
                    print::line(&format!("Handling connection for {}", at.port()));
                    let pf = pf.clone();
                    rt.spawn("port-forward connection", async move {
                        match pf.forward(remote, s).await {
                            Ok(Some(said)) => eprintln!(
                                "error: an error occurred forwarding {} -> {remote}: {said}",
                                at.port()
                            ),
                            Ok(None) => {}
                            Err(e) => eprintln!("error: {e}"),
                        }
                    });
                }
            });
        }
        if bound == 0 {
            return Err(Error::plain(format!("unable to listen on any of the requested ports: [{spec}]")));
        }
    }
    pf.closed().await;
    Err(Error::plain("lost connection to pod"))
}
