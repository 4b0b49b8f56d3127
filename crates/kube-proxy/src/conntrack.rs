//! Forgetting flows of datagrams that would go on to endpoints that are gone: for UDP the kernel keeps sending to the
//! endpoint a flow began with, as long as packets come.

use proxyplan::Model;
use proxyplan::model::{Key, Protocol};
use std::net::IpAddr;

/// The flows to forget when `old` becomes `new`: arguments for `conntrack`, sorted.
pub fn stale(old: &Model, new: &Model) -> Vec<Vec<String>> {
    let mut out = Vec::new();
    for (key, was) in &old.frontends {
        let (Key::Address(_, Protocol::Udp, _) | Key::NodePort(Protocol::Udp, _)) = key else { continue };
        let now = new.frontends.get(key).map_or(&[][..], |f| &f.endpoints);
        if was.endpoints.is_empty() && !now.is_empty() {
            // Flows that began while nobody answered were never translated.
            out.push(arguments(key, None));
        }
        for e in was.endpoints.iter().filter(|e| !now.contains(e)) {
            out.push(arguments(key, Some(e.0)));
        }
    }
    for (key, now) in &new.frontends {
        let (Key::Address(_, Protocol::Udp, _) | Key::NodePort(Protocol::Udp, _)) = key else { continue };
        if !old.frontends.contains_key(key) && !now.endpoints.is_empty() {
            out.push(arguments(key, None));
        }
    }
    out.sort();
    out.dedup();
    out
}

fn arguments(key: &Key, endpoint: Option<IpAddr>) -> Vec<String> {
    let mut a = vec!["-D".to_owned(), "-p".to_owned(), "udp".to_owned()];
    match key {
        Key::Address(ip, _, port) => {
            a.extend([
                "--orig-dst".to_owned(),
                ip.to_string(),
                "--orig-port-dst".to_owned(),
                port.to_string(),
            ]);
            if ip.is_ipv6() {
                a.extend(["-f".to_owned(), "ipv6".to_owned()]);
            }
        }
        Key::NodePort(_, port) => a.extend(["--orig-port-dst".to_owned(), port.to_string()]),
    }
    if let Some(ip) = endpoint {
        a.extend(["--dst-nat".to_owned(), ip.to_string()]);
    }
    a
}

/// Runs them; what cannot be forgotten is logged, once for a missing program.
pub async fn forget(flows: &[Vec<String>]) {
    for f in flows {
        let run = tokio::process::Command::new("conntrack")
            .env("PATH", "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin")
            .args(f)
            .stdin(std::process::Stdio::null())
            .output()
            .await;
        match run {
            Ok(o) if o.status.success() => {}
            // Nothing to forget is the usual case.
            Ok(o) if String::from_utf8_lossy(&o.stderr).contains("0 flow entries") => {}
            Ok(o) => {
                tracing::warn!("conntrack {}: {}", f.join(" "), String::from_utf8_lossy(&o.stderr).trim())
            }
            Err(e) => {
                tracing::warn!(
                    "cannot run conntrack (Debian package conntrack): {e}; UDP clients may stay with endpoints that are gone"
                );
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proxyplan::model::{Frontend, Masquerade, Otherwise};

    fn model(port: u16, protocol: Protocol, endpoints: &[&str]) -> Model {
        let f = Frontend {
            service: "a/b:".into(),
            endpoints: endpoints.iter().map(|e| (e.parse().unwrap(), 53)).collect(),
            masquerade: Masquerade::Never,
            affinity: None,
            sources: Vec::new(),
            otherwise: Otherwise::Reject,
            inside: None,
        };
        let mut m = Model::default();
        m.frontends.insert(Key::Address("10.96.0.10".parse().unwrap(), protocol, port), f);
        m
    }

    #[test]
    fn only_datagrams_to_what_changed_are_forgotten() {
        let two = model(53, Protocol::Udp, &["10.244.0.2", "10.244.0.3"]);
        let one = model(53, Protocol::Udp, &["10.244.0.3"]);
        let none = model(53, Protocol::Udp, &[]);
        let text = |a, b| stale(a, b).iter().map(|f| f.join(" ")).collect::<Vec<_>>();
        assert_eq!(
            text(&two, &one),
            ["-D -p udp --orig-dst 10.96.0.10 --orig-port-dst 53 --dst-nat 10.244.0.2"]
        );
        assert_eq!(text(&none, &one), ["-D -p udp --orig-dst 10.96.0.10 --orig-port-dst 53"]);
        assert_eq!(text(&one, &two), [""; 0]);
        let nothing = Model::default();
        assert_eq!(text(&nothing, &one).len(), 1);
        let tcp = model(53, Protocol::Tcp, &["10.244.0.2"]);
        let gone = model(53, Protocol::Tcp, &[]);
        assert_eq!(text(&tcp, &gone), [""; 0]);
    }
}
