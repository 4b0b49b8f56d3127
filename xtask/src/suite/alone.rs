//! A cluster of components that run alone, each ours or upstream's, by the same command line: the control plane and a
//! node on n1, a node on n2.
//!
//! What is the same for both sides is written once, so a swap changes a program and nothing else. Only cluster DNS is
//! configured differently (CoreDNS has a file), and pods get their network from the side that is the cluster's base:
//! `keelson net`, or the bridge plugin and routes.

use super::build;
use super::parts::{Cast, PARTS, Part, Who};
use super::pki::Pki;
use crate::hosts::{self, Hosts};
use crate::sh;
use serde_json::json;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

const SERVICES: &str = "10.96.0.0/12";
const PODS: &str = "10.244.0.0/16";
const DNS_IP: &str = "10.96.0.10";
const DNS_PORT: u16 = 10053;
/// Where Debian's containernetworking-plugins are.
const PLUGINS: &str = "/usr/lib/cni";
/// Where a host keeps links to our own plugin: one of the folders that each host has for itself.
const OWN_PLUGINS: &str = "/var/lib/cni/bin";
pub const NODES: [&str; 2] = ["n1", "n2"];

pub struct Alone<'a> {
    hosts: &'a Hosts,
    cast: &'a Cast,
    keelson: &'a Path,
    logs: &'a Path,
    pki: Pki,
    ip: [String; 2],
}

/// What a cluster of this cast runs, built; and the Debian packages its nodes need.
pub fn programs(cast: &Cast) -> Result<(), String> {
    for (part, _, _, upstream) in PARTS {
        if cast.who(*part) == Who::Upstream {
            build::peer(upstream)?;
        }
    }
    let mut debs =
        vec![("containerd", "containerd"), ("runc", "runc"), ("conntrack", "conntrack"), ("nft", "nftables")];
    if cast.base == Who::Upstream {
        debs.push(("iptables", "iptables"));
        if !Path::new(PLUGINS).join("bridge").is_file() {
            debs.push(("(the bridge plugin)", "containernetworking-plugins"));
        }
    }
    crate::packages::install(&debs)
}

/// Brings the cluster up. Answers the admin's kubeconfig.
pub fn up(hosts: &Hosts, cast: &Cast, keelson: &Path, images: &Path, logs: &Path) -> Result<PathBuf, String> {
    let ip = [hosts.ip("n1")?, hosts.ip("n2")?];
    std::fs::create_dir_all(logs).map_err(|e| format!("{}: {e}", logs.display()))?;
    let pki = Pki::new(hosts::dir().join("pki"), &format!("https://{}:6443", ip[0]))?;
    let a = Alone { hosts, cast, keelson, logs, pki, ip };
    sh::step("certificates and kubeconfigs");
    a.identities()?;
    a.runtimes()?;
    sh::step("the control plane");
    a.control_plane()?;
    sh::step("importing the suite's images");
    a.import(images)?;
    sh::step("the nodes");
    a.nodes()?;
    a.dns()?;
    a.wait("both nodes to be Ready", 120, || {
        a.kubectl(&["get", "nodes", "--no-headers"])
            .is_ok_and(|s| s.lines().filter(|l| l.split_whitespace().nth(1) == Some("Ready")).count() == 2)
    })?;
    Ok(a.pki.dir.join("admin.conf"))
}

impl Alone<'_> {
    fn identities(&self) -> Result<(), String> {
        let p = &self.pki;
        let names = "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local";
        p.certificate(
            "apiserver",
            "/CN=kube-apiserver",
            &format!("{names},IP:{},IP:127.0.0.1,IP:10.96.0.1", self.ip[0]),
        )?;
        p.certificate(
            "kubelet-client",
            "/O=system:masters/CN=kube-apiserver-kubelet-client",
            "IP:127.0.0.1",
        )?;
        p.certificate("front-proxy", "/CN=front-proxy", "IP:127.0.0.1")?;
        p.client("admin", "/O=system:masters/CN=admin")?;
        for (name, user) in [
            ("controllers", "system:kube-controller-manager"),
            ("scheduler", "system:kube-scheduler"),
            ("proxy", "system:kube-proxy"),
        ] {
            p.client(name, &format!("/CN={user}"))?;
        }
        for (n, ip) in NODES.iter().zip(&self.ip) {
            p.certificate(n, &format!("/O=system:nodes/CN=system:node:{n}"), &format!("IP:{ip},DNS:{n}"))?;
            p.kubeconfig(n)?;
        }
        Ok(())
    }

    /// Starts a program on a host; it ends with the host. What it says is in `HOST-NAME.log`.
    fn start(&self, host: &str, name: &str, program: &[&str], args: &[String]) -> Result<(), String> {
        let log =
            std::fs::File::create(self.logs.join(format!("{host}-{name}.log"))).map_err(|e| e.to_string())?;
        let mut c = self.hosts.on(host);
        c.args(program).args(args).process_group(0).stdin(Stdio::null());
        c.stdout(log.try_clone().map_err(|e| e.to_string())?).stderr(log);
        c.spawn().map(drop).map_err(|e| format!("cannot start {name}: {e}"))
    }

    /// Starts a part: our applet or upstream's program, with the same arguments.
    fn part(&self, host: &str, part: Part, args: &[&str]) -> Result<(), String> {
        let Some((_, name, applet, program)) = PARTS.iter().find(|(p, ..)| *p == part) else { return Ok(()) };
        let args: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
        match self.cast.who(part) {
            Who::Ours => self.start(host, name, &[&self.keelson.to_string_lossy(), applet], &args),
            Who::Upstream => self.start(host, name, &[&build::bin(program).to_string_lossy()], &args),
        }
    }

    fn kubectl(&self, args: &[&str]) -> Result<String, String> {
        let mut c = self.hosts.on("n1");
        c.arg(build::kubectl()?).arg(format!("--kubeconfig={}", self.pki.path("admin.conf"))).args(args);
        sh::output(&mut c)
    }

    fn wait(&self, what: &str, seconds: u64, done: impl Fn() -> bool) -> Result<(), String> {
        let end = Instant::now() + Duration::from_secs(seconds);
        while !done() {
            if Instant::now() > end {
                return Err(format!(
                    "waited {seconds} s for {what}; the logs are in {}",
                    self.logs.display()
                ));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    fn control_plane(&self) -> Result<(), String> {
        let p = |n: &str| self.pki.path(n);
        self.part(
            "n1",
            Part::Etcd,
            &[
                "--data-dir=/var/lib/etcd",
                "--listen-client-urls=http://127.0.0.1:2379",
                "--advertise-client-urls=http://127.0.0.1:2379",
                "--log-level=error",
            ],
        )?;
        self.part(
            "n1",
            Part::Apiserver,
            &[
                "--etcd-servers=http://127.0.0.1:2379",
                &format!("--service-cluster-ip-range={SERVICES}"),
                &format!("--advertise-address={}", self.ip[0]),
                &format!("--tls-cert-file={}", p("apiserver.crt")),
                &format!("--tls-private-key-file={}", p("apiserver.key")),
                &format!("--client-ca-file={}", p("ca.crt")),
                &format!("--service-account-key-file={}", p("sa.pub")),
                &format!("--service-account-signing-key-file={}", p("sa.key")),
                "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
                "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction",
                "--allow-privileged=true",
                &format!("--kubelet-certificate-authority={}", p("ca.crt")),
                &format!("--kubelet-client-certificate={}", p("kubelet-client.crt")),
                &format!("--kubelet-client-key={}", p("kubelet-client.key")),
                "--kubelet-preferred-address-types=InternalIP",
                &format!("--requestheader-client-ca-file={}", p("ca.crt")),
                "--requestheader-allowed-names=front-proxy",
                "--requestheader-extra-headers-prefix=X-Remote-Extra-",
                "--requestheader-group-headers=X-Remote-Group",
                "--requestheader-username-headers=X-Remote-User",
                &format!("--proxy-client-cert-file={}", p("front-proxy.crt")),
                &format!("--proxy-client-key-file={}", p("front-proxy.key")),
            ],
        )?;
        self.wait("the API server to be ready", 90, || self.kubectl(&["get", "--raw", "/readyz"]).is_ok())?;
        let client = |conf: &str| {
            ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"]
                .map(|f| format!("--{f}={}", p(conf)))
        };
        let conf = client("controllers.conf");
        let mut args: Vec<&str> = conf.iter().map(String::as_str).collect();
        let more = [
            format!("--cluster-cidr={PODS}"),
            "--allocate-node-cidrs=true".to_owned(),
            format!("--service-cluster-ip-range={SERVICES}"),
            format!("--root-ca-file={}", p("ca.crt")),
            format!("--service-account-private-key-file={}", p("sa.key")),
            "--use-service-account-credentials=true".to_owned(),
            format!("--cluster-signing-cert-file={}", p("ca.crt")),
            format!("--cluster-signing-key-file={}", p("ca.key")),
        ];
        args.extend(more.iter().map(String::as_str));
        self.part("n1", Part::Controllers, &args)?;
        let conf = client("scheduler.conf");
        let args: Vec<&str> = conf.iter().map(String::as_str).collect();
        self.part("n1", Part::Scheduler, &args)
    }

    /// A containerd on each node.
    fn runtimes(&self) -> Result<(), String> {
        let plugins = if self.cast.base == Who::Ours { OWN_PLUGINS } else { PLUGINS };
        let cri = "plugins.\"io.containerd.grpc.v1.cri\"";
        let text = format!(
            "version = 2\n[{cri}]\n  sandbox_image = \"registry.k8s.io/pause:3.10.2\"\n  restrict_oom_score_adj = true\n[{cri}.cni]\n  bin_dir = \"{plugins}\"\n  conf_dir = \"/etc/cni/net.d\"\n[{cri}.registry]\n  config_path = \"{}\"\n",
            super::MIRRORS_ALONE
        );
        for n in NODES {
            std::fs::write(hosts::path(n, "/run/containerd.toml"), &text).map_err(|e| e.to_string())?;
            self.start(n, "containerd", &["containerd", "-c", "/run/containerd.toml"], &[])?;
        }
        for n in NODES {
            self.wait("containerd", 30, || hosts::path(n, "/run/containerd/containerd.sock").exists())?;
        }
        Ok(())
    }

    fn import(&self, images: &Path) -> Result<(), String> {
        let tars: Vec<PathBuf> = std::fs::read_dir(images)
            .map_err(|e| e.to_string())?
            .flatten()
            .map(|e| e.path())
            .filter(|p| p.extension().is_some_and(|x| x == "tar"))
            .collect();
        let one = |n: &str| -> Result<(), String> {
            for t in &tars {
                let mut c = self.hosts.on(n);
                sh::output(c.args(["ctr", "-n", "k8s.io", "images", "import"]).arg(t))?;
            }
            Ok(())
        };
        std::thread::scope(|s| {
            let other = s.spawn(|| one("n2"));
            one("n1").and(other.join().unwrap_or_else(|_| Err("importing images panicked".to_owned())))
        })
    }

    fn nodes(&self) -> Result<(), String> {
        for (n, ip) in NODES.iter().zip(&self.ip) {
            let p = |name: &str| self.pki.path(name);
            let config = json!({"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
                "failCgroupV1": false, "cgroupDriver": "cgroupfs", "failSwapOn": false,
                "authentication": {"x509": {"clientCAFile": p("ca.crt")}, "webhook": {"enabled": true}, "anonymous": {"enabled": false}},
                "authorization": {"mode": "Webhook"},
                "clusterDNS": [DNS_IP], "clusterDomain": "cluster.local", "resolvConf": "/etc/resolv.conf",
                "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
                "tlsCertFile": p(&format!("{n}.crt")), "tlsPrivateKeyFile": p(&format!("{n}.key")),
                "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
                "imageGCHighThresholdPercent": 100});
            let file = p(&format!("{n}-kubelet.yaml"));
            std::fs::write(&file, config.to_string()).map_err(|e| format!("{file}: {e}"))?;
            self.part(
                n,
                Part::Kubelet,
                &[
                    &format!("--kubeconfig={}", p(&format!("{n}.conf"))),
                    &format!("--config={file}"),
                    &format!("--node-ip={ip}"),
                    &format!("--hostname-override={n}"),
                ],
            )?;
            self.part(
                n,
                Part::Proxy,
                &[
                    &format!("--kubeconfig={}", p("proxy.conf")),
                    "--proxy-mode=nftables",
                    &format!("--cluster-cidr={PODS}"),
                    &format!("--hostname-override={n}"),
                ],
            )?;
        }
        match self.cast.base {
            Who::Ours => NODES.iter().try_for_each(|n| {
                let args = [
                    format!("--kubeconfig={}", self.pki.path("admin.conf")),
                    format!("--hostname-override={n}"),
                    format!("--cluster-cidr={PODS}"),
                    format!("--service-cluster-ip-range={SERVICES}"),
                    format!("--cni-bin-dir={OWN_PLUGINS}"),
                ];
                self.start(n, "net", &[&self.keelson.to_string_lossy(), "net"], &args)
            }),
            Who::Upstream => self.bridges(),
        }
    }

    /// The bridge plugin on each node, and each node's way to the other's pods.
    fn bridges(&self) -> Result<(), String> {
        let range =
            |n: &str| self.kubectl(&["get", "node", n, "-o", "jsonpath={.spec.podCIDR}"]).unwrap_or_default();
        for (i, n) in NODES.iter().enumerate() {
            self.wait("addresses for pods of both nodes", 90, || !range(n).is_empty())?;
            let own = range(n);
            let conf = json!({"cniVersion": "0.4.0", "name": "pods", "plugins": [
                {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipam": {"type": "host-local",
                    "ranges": [[{"subnet": own}]], "routes": [{"dst": "0.0.0.0/0"}]}},
                {"type": "portmap", "capabilities": {"portMappings": true}}]});
            let dir = hosts::path(n, "/etc/cni/net.d");
            std::fs::create_dir_all(&dir)
                .and_then(|()| std::fs::write(dir.join("10-pods.conflist"), conf.to_string()))
                .map_err(|e| format!("{}: {e}", dir.display()))?;
            let mut c = self.hosts.on(NODES[1 - i]);
            sh::run(c.args(["ip", "route", "add", &own, "via", &self.ip[i]]))?;
        }
        Ok(())
    }

    /// Cluster DNS on n1, behind the Service `kube-dns`.
    fn dns(&self) -> Result<(), String> {
        let (conf, ip) = (self.pki.path("admin.conf"), &self.ip[0]);
        match self.cast.who(Part::Dns) {
            Who::Ours => self.part(
                "n1",
                Part::Dns,
                &[
                    &format!("--kubeconfig={conf}"),
                    &format!("--dns-bind-address={ip}"),
                    &format!("--dns-port={DNS_PORT}"),
                    "--domain=cluster.local",
                    &format!("--own-addresses={DNS_IP},{ip}"),
                ],
            )?,
            Who::Upstream => {
                let file = self.pki.path("Corefile");
                let text = format!(
                    ".:{DNS_PORT} {{\n errors\n bind {ip}\n kubernetes cluster.local in-addr.arpa ip6.arpa {{\n  kubeconfig {conf}\n  pods insecure\n  fallthrough in-addr.arpa ip6.arpa\n  ttl 30\n }}\n cache 30\n loadbalance\n}}\n"
                );
                std::fs::write(&file, text).map_err(|e| format!("{file}: {e}"))?;
                self.part("n1", Part::Dns, &["-conf", &file])?;
            }
        }
        let ports = |target: &str| {
            let port = |name: &str, protocol: &str| {
                let mut p = json!({"name": name, "protocol": protocol, "port": if target.is_empty() { DNS_PORT } else { 53 }});
                if !target.is_empty() {
                    p[target] = DNS_PORT.into();
                }
                p
            };
            [port("dns", "UDP"), port("dns-tcp", "TCP")]
        };
        let meta = |name: &str, labels: serde_json::Value| json!({"name": name, "namespace": "kube-system", "labels": labels});
        let objects = [
            json!({"apiVersion": "v1", "kind": "Service", "metadata": meta("kube-dns", json!({"k8s-app": "kube-dns"})),
                "spec": {"clusterIP": DNS_IP, "ports": ports("targetPort")}}),
            json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                "metadata": meta("kube-dns-1", json!({"kubernetes.io/service-name": "kube-dns"})),
                "ports": ports(""), "endpoints": [{"addresses": [ip], "nodeName": "n1", "conditions": {"ready": true}}]}),
        ]
        .map(|o| o.to_string())
        .join("\n---\n");
        let file = self.pki.path("kube-dns.yaml");
        std::fs::write(&file, objects).map_err(|e| format!("{file}: {e}"))?;
        self.kubectl(&["create", "-f", &file]).map(drop)
    }
}

/// The kubectl under test, as a link that says which program it is.
pub fn kubectl(cast: &Cast, keelson: &Path) -> Result<PathBuf, String> {
    if cast.who(Part::Kubectl) == Who::Upstream {
        return build::kubectl();
    }
    let link = hosts::dir().join("kubectl");
    let _ = std::fs::remove_file(&link);
    std::os::unix::fs::symlink(keelson, &link).map_err(|e| format!("{}: {e}", link.display()))?;
    Ok(link)
}
