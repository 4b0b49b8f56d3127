//! The applets: one line each.

use std::process::ExitCode;

pub struct Applet {
    pub name: &'static str,
    pub about: &'static str,
    pub run: fn(Vec<String>) -> ExitCode,
}

macro_rules! applets {
    ($($name:literal $about:literal $run:path;)*) => {
        /// Everything this program can be.
        pub const APPLETS: &[Applet] = &[$(Applet { name: $name, about: $about, run: $run }),*];
    };
}

applets! {
    "server" "a whole cluster in one process: control plane and this node" crate::server::main;
    "agent" "a node of a cluster whose server is elsewhere" crate::agent::main;
    "kube-apiserver" "the API server alone, with its store" crate::kube_apiserver::main;
    "kube-controller-manager" "the controllers alone" controllers::run_applet;
    "kube-scheduler" "the scheduler alone" scheduler::run_applet;
    "kubelet" "a node's agent alone: runs the pods of its node" kubelet::run_applet;
    "kube-proxy" "a node's service proxy alone" kube_proxy::run_applet;
    "kube-dns" "cluster DNS alone, from the API" dns::run_applet;
    "net" "the pod network of a node alone: routes, masquerade, CNI configuration; `net status`" crate::net::main;
    "gen-config" "the files of an installation from binaries (simple, with-ca, certs)" crate::tools::gen_config;
    "image" "an image of this program, as an OCI archive" crate::tools::image;
    "preflight" "what a host needs to be a node: checks, and repairs with --fix" crate::preflight::main;
    "etcd" "the store alone, served over the etcd v3 API" etcd_store;
    "dashboard" "the web interface, used with each user's own token" web_interface;
    "kubectl" "the command line client" kubectl::run;
    "keelson-cni" "the CNI plugin of the pod network (run by the container runtime)" cni_plugin;
    "loopback" "the CNI plugin of the loopback interface (run by the container runtime)" cni_plugin;
}

fn etcd_store(args: Vec<String>) -> ExitCode {
    crate::block_on(etcd::run(args, runtime::Runtime::new()))
}

fn web_interface(args: Vec<String>) -> ExitCode {
    crate::block_on(dashboard::run(args, runtime::Runtime::new()))
}

fn cni_plugin(_: Vec<String>) -> ExitCode {
    ExitCode::from(cni::plugin_main())
}

pub fn find(name: &str) -> Option<&'static Applet> {
    APPLETS.iter().find(|a| a.name == name)
}

pub fn help() -> String {
    let mut s = String::from(
        "keelson: Kubernetes, whole, in one program.\n\nusage: keelson APPLET [flags]     (or a link named like the applet)\n\n",
    );
    for a in APPLETS {
        s.push_str(&format!("  {:26} {}\n", a.name, a.about));
    }
    s.push_str("\n`keelson APPLET --help` tells an applet's flags.\n");
    s
}
