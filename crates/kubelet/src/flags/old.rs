//! Flags of guides of years past, and what became of them.

use runtime::args::Old;

const fn gone(name: &'static str, switch: bool, became: &'static str) -> Old {
    Old { name, switch, now: None, became }
}

const OLD: &[Old] = &[
    Old {
        name: "experimental-bootstrap-kubeconfig",
        switch: false,
        now: Some("bootstrap-kubeconfig"),
        became: "is now --bootstrap-kubeconfig",
    },
    gone("network-plugin", false, "is gone: the container runtime calls CNI plugins, always"),
    gone(
        "cni-conf-dir",
        false,
        "is gone: the container runtime is told it in its own configuration (containerd: conf_dir, /etc/cni/net.d)",
    ),
    gone(
        "cni-bin-dir",
        false,
        "is gone: the container runtime is told it in its own configuration (containerd: bin_dir, /opt/cni/bin)",
    ),
    gone(
        "allow-privileged",
        true,
        "is gone: privileged containers are allowed; admission refuses them where a namespace says so",
    ),
    gone("logtostderr", true, "is always so: the log goes to standard error"),
    gone("alsologtostderr", true, "is always so: the log goes to standard error"),
    gone("require-kubeconfig", true, "is always so"),
    gone(
        "container-runtime",
        false,
        "is gone: any runtime that speaks CRI is used, at --container-runtime-endpoint",
    ),
    gone("cadvisor-port", false, "is gone: /metrics/cadvisor is on the kubelet's own port"),
];

/// Takes old flags out of the command line; answers the rest and a line for the log for each.
pub fn translate(args: Vec<String>) -> Result<(Vec<String>, Vec<String>), String> {
    let (mut out, mut notes) = (vec![], vec![]);
    let mut it = args.into_iter();
    while let Some(a) = it.next() {
        let body = a.strip_prefix("--").unwrap_or("");
        let (name, inline) = body.split_once('=').map_or((body, None), |(n, v)| (n, Some(v.to_owned())));
        let Some(o) = OLD.iter().find(|o| o.name == name) else {
            out.push(a);
            continue;
        };
        let value = match inline {
            Some(v) => v,
            None if o.switch => "true".to_owned(),
            None => it.next().ok_or_else(|| format!("flag needs an argument: --{name}"))?,
        };
        match (name, value.as_str()) {
            ("network-plugin", v) if v != "cni" => {
                return Err(format!(
                    "--network-plugin={v}: only cni is left (the container runtime calls the plugins)"
                ));
            }
            ("container-runtime", "docker") => {
                return Err(
                    "--container-runtime=docker: Docker is not spoken any more; install containerd".into()
                );
            }
            ("cadvisor-port", v) if v != "0" => {
                return Err(format!("--cadvisor-port={v}: there is no such port any more"));
            }
            _ => {}
        }
        if let Some(now) = o.now {
            out.push(format!("--{now}={value}"));
        }
        notes.push(format!("--{name} {}", o.became));
    }
    Ok((out, notes))
}

#[cfg(test)]
mod tests {
    use super::translate;

    #[test]
    fn the_guides_line_is_understood() {
        let line = "--address=192.0.2.1 --hostname-override=192.0.2.1 --pod-infra-container-image=x/pause:1 \
            --kubeconfig=/k --experimental-bootstrap-kubeconfig=/b --cert-dir=/c --hairpin-mode=hairpin-veth \
            --network-plugin=cni --cni-conf-dir=/etc/cni/net.d --cni-bin-dir /bin --cluster-dns=10.68.0.2 \
            --cluster-domain=cluster.local. --allow-privileged=true --fail-swap-on=false --logtostderr=true --v=2";
        let args = || line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let (rest, notes) = translate(args()).unwrap();
        assert_eq!(notes.len(), 6);
        assert!(rest.contains(&"--bootstrap-kubeconfig=/b".to_owned()) && !rest.contains(&"/bin".to_owned()));
        let (cfg, o) = super::super::parse(args()).unwrap();
        assert_eq!((cfg.node_name.as_str(), o.notes.len()), ("192.0.2.1", 6));
        assert!(cfg.auth.anonymous && !cfg.auth.authorize);
        assert!(translate(vec!["--network-plugin=kubenet".into()]).is_err());
    }
}
