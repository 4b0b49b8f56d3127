//! The commands: one file each, and one line each in [`COMMANDS`].

mod api;
mod apply;
mod auth;
mod autoscale;
mod certificate;
mod cluster_info;
mod config;
mod create;
mod create_more;
mod delete;
mod describe;
mod exec;
mod expose;
mod get;
mod history;
mod label;
mod logs;
mod patch;
mod port_forward;
mod rollout;
mod run;
mod scale;
mod set_image;
mod taint;
mod version;
mod wait;

use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, GLOBAL};
use futures::future::LocalBoxFuture;
use std::fmt::Write;

pub type Run = fn(Cx) -> LocalBoxFuture<'static, Result<(), Error>>;

pub struct Command {
    /// Words of its name: `get`, `config view`.
    pub name: &'static str,
    /// Arguments.
    pub usage: &'static str,
    pub about: &'static str,
    pub examples: &'static str,
    pub flags: &'static [Flag],
    /// None: a group of others.
    pub run: Option<Run>,
}

macro_rules! commands {
    ($($name:literal $usage:literal $about:literal $examples:literal $flags:expr, $run:path;)*) => {
        /// Every command.
        pub const COMMANDS: &[Command] = &[$(Command {
            name: $name, usage: $usage, about: $about, examples: $examples, flags: $flags,
            run: Some(|cx| Box::pin($run(cx))),
        }),*];
    };
}

commands! {
    "get" "[(-o|--output=)json|yaml|name|jsonpath|custom-columns|wide] (TYPE[.VERSION][.GROUP] [NAME | -l label] | TYPE/NAME ...)"
        "Display one or many resources" "kubectl get pods -A -o wide\nkubectl get deploy/web -o yaml" get::FLAGS, get::run;
    "describe" "(-f FILENAME | TYPE [NAME_PREFIX | -l label] | TYPE/NAME)"
        "Show details of a specific resource or group of resources" "kubectl describe pod web-0" describe::FLAGS, describe::run;
    "create" "-f FILENAME" "Create a resource from a file or from stdin" "kubectl create -f pod.yaml" create::FLAGS, create::run;
    "create namespace" "NAME" "Create a namespace with the specified name" "kubectl create namespace team" create::MAKE, create::namespace;
    "create serviceaccount" "NAME" "Create a service account with the specified name" "kubectl create serviceaccount robot" create::MAKE, create::serviceaccount;
    "create configmap" "NAME [--from-literal=key=value] [--from-file=[key=]source]" "Create a config map from a local file, directory or literal value"
        "kubectl create configmap c --from-literal=a=b" create::DATA, create::configmap;
    "create secret generic" "NAME [--type=string] [--from-file=[key=]source] [--from-literal=key1=value1]"
        "Create a secret from a local file, directory, or literal value" "kubectl create secret generic s --from-literal=a=b" create::SECRET, create::secret;
    "create deployment" "NAME --image=image -- [COMMAND] [args...]" "Create a deployment with the specified name"
        "kubectl create deployment web --image=nginx --replicas=3" create::DEPLOY, create::deployment;
    "apply" "-f FILENAME" "Apply a configuration to a resource by file name or stdin" "kubectl apply -f app.yaml\nkubectl apply --server-side -f app.yaml" apply::FLAGS, apply::run;
    "replace" "-f FILENAME" "Replace a resource by file name or stdin" "kubectl replace -f pod.yaml" create::REPLACE, create::replace;
    "patch" "(-f FILENAME | TYPE NAME) [-p PATCH|--patch-file FILE]" "Update fields of a resource"
        "kubectl patch node n1 -p '{\"spec\":{\"unschedulable\":true}}'" patch::FLAGS, patch::run;
    "delete" "([-f FILENAME] | TYPE [(NAME | -l label | --all)])" "Delete resources by file names, stdin, resources and names, or by resources and label selector"
        "kubectl delete pod web-0\nkubectl delete -f app.yaml" delete::FLAGS, delete::run;
    "label" "[--overwrite] (-f FILENAME | TYPE NAME) KEY_1=VAL_1 ... KEY_N=VAL_N" "Update the labels on a resource"
        "kubectl label pods web app=web\nkubectl label pods web app-" label::FLAGS, label::label;
    "annotate" "[--overwrite] (-f FILENAME | TYPE NAME) KEY_1=VAL_1 ... KEY_N=VAL_N" "Update the annotations on a resource"
        "kubectl annotate pods web note=x" label::FLAGS, label::annotate;
    "scale" "--replicas=COUNT (-f FILENAME | TYPE NAME)" "Set a new size for a deployment, replica set, or replication controller"
        "kubectl scale --replicas=3 deploy/web" scale::FLAGS, scale::run;
    "cordon" "NODE" "Mark node as unschedulable" "kubectl cordon n1" scale::NODE, scale::cordon;
    "uncordon" "NODE" "Mark node as schedulable" "kubectl uncordon n1" scale::NODE, scale::uncordon;
    "rollout status" "(TYPE NAME | TYPE/NAME)" "Show the status of the rollout" "kubectl rollout status deploy/web" rollout::STATUS, rollout::status;
    "rollout restart" "(TYPE NAME | TYPE/NAME)" "Restart a resource" "kubectl rollout restart deploy/web" rollout::FLAGS, rollout::restart;
    "rollout pause" "(TYPE NAME | TYPE/NAME)" "Mark the provided resource as paused" "kubectl rollout pause deploy/web" rollout::FLAGS, rollout::pause;
    "rollout resume" "(TYPE NAME | TYPE/NAME)" "Resume a paused resource" "kubectl rollout resume deploy/web" rollout::FLAGS, rollout::resume;
    "rollout history" "(TYPE NAME | TYPE/NAME) [--revision=N]" "View rollout history" "kubectl rollout history deploy/web" history::HISTORY, history::history;
    "rollout undo" "(TYPE NAME | TYPE/NAME) [--to-revision=N]" "Undo a previous rollout" "kubectl rollout undo deploy/web" history::UNDO, history::undo;
    "expose" "(-f FILENAME | TYPE NAME) [--port=port] [--target-port=number-or-name]" "Take an object with pods and expose it as a service"
        "kubectl expose deploy web --port=80 --target-port=8080" expose::FLAGS, expose::run;
    "run" "NAME --image=image [--env=key=value] [--port=port] [--command] -- [COMMAND] [args...]" "Run a particular image on the cluster"
        "kubectl run web --image=nginx" run::FLAGS, run::run;
    "set image" "(-f FILENAME | TYPE NAME) CONTAINER=IMAGE ..." "Update the image of a pod template" "kubectl set image deploy/web nginx=nginx:2" set_image::FLAGS, set_image::run;
    "cluster-info" "" "Display addresses of the control plane and of services that belong to it" "kubectl cluster-info" &[], cluster_info::run;
    "certificate approve" "(-f FILENAME | NAME)" "Approve a certificate signing request" "kubectl certificate approve csr-x" certificate::FLAGS, certificate::approve;
    "certificate deny" "(-f FILENAME | NAME)" "Deny a certificate signing request" "kubectl certificate deny csr-x" certificate::FLAGS, certificate::deny;
    "auth can-i" "VERB [TYPE | TYPE/NAME | NONRESOURCEURL]" "Check whether an action is allowed" "kubectl auth can-i create pods" auth::CAN_I, auth::can_i;
    "auth whoami" "" "Check self subject attributes" "kubectl auth whoami" &[], auth::whoami;
    "wait" "(-f FILENAME | TYPE NAME | TYPE -l label) --for=delete|create|condition=name[=value]|jsonpath='{path}'[=value]"
        "Wait for a specific condition on one or many resources" "kubectl wait --for=condition=Ready pod/web --timeout=60s" wait::FLAGS, wait::run;
    "taint" "NODE NAME KEY_1=VAL_1:TAINT_EFFECT_1 ..." "Update the taints on one or more nodes" "kubectl taint nodes n1 a=b:NoSchedule\nkubectl taint nodes n1 a-" taint::FLAGS, taint::run;
    "autoscale" "(-f FILENAME | TYPE NAME) [--min=MINPODS] --max=MAXPODS [--cpu=TARGET]" "Autoscale a deployment, replica set, stateful set, or replication controller"
        "kubectl autoscale deploy web --min=2 --max=10 --cpu=80%" autoscale::FLAGS, autoscale::run;
    "create token" "SERVICE_ACCOUNT_NAME" "Request a service account token" "kubectl create token robot --duration=10m" create_more::TOKEN, create_more::token;
    "create role" "NAME --verb=verb --resource=resource.group/subresource" "Create a role with single rule" "kubectl create role r --verb=get,list --resource=pods" create_more::ROLE, create_more::role;
    "create clusterrole" "NAME --verb=verb --resource=resource.group" "Create a cluster role" "kubectl create clusterrole r --verb=get --resource=nodes" create_more::CLUSTERROLE, create_more::clusterrole;
    "create rolebinding" "NAME --clusterrole=NAME|--role=NAME [--user=u] [--group=g] [--serviceaccount=ns:name]" "Create a role binding for a particular role or cluster role"
        "kubectl create rolebinding b --role=r --user=ann" create_more::BINDING, create_more::rolebinding;
    "create clusterrolebinding" "NAME --clusterrole=NAME [--user=u] [--group=g] [--serviceaccount=ns:name]" "Create a cluster role binding for a particular cluster role"
        "kubectl create clusterrolebinding b --clusterrole=view --group=dev" create_more::CLUSTERBINDING, create_more::clusterrolebinding;
    "create service clusterip" "NAME [--tcp=port:targetPort]" "Create a ClusterIP service" "kubectl create service clusterip s --tcp=80:8080" create_more::CLUSTERIP, create_more::clusterip;
    "create service nodeport" "NAME [--tcp=port:targetPort]" "Create a NodePort service" "kubectl create service nodeport s --tcp=80:8080" create_more::NODEPORT, create_more::nodeport;
    "create service loadbalancer" "NAME [--tcp=port:targetPort]" "Create a LoadBalancer service" "kubectl create service loadbalancer s --tcp=80:8080" create_more::LOADBALANCER, create_more::loadbalancer;
    "create service externalname" "NAME --external-name external.name" "Create an ExternalName service" "kubectl create service externalname s --external-name=db.example.com" create_more::EXTERNALNAME, create_more::externalname;
    "create job" "NAME (--image=image | --from=cronjob/name) -- [COMMAND] [args...]" "Create a job with the specified name" "kubectl create job j --image=busybox -- date" create_more::JOB, create_more::job;
    "logs" "[-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]" "Print the logs for a container in a pod" "kubectl logs -f web-0 -c app" logs::FLAGS, logs::run;
    "exec" "(POD | TYPE/NAME) [-c CONTAINER] [flags] -- COMMAND [args...]" "Execute a command in a container" "kubectl exec -it web-0 -- sh" exec::FLAGS, exec::exec;
    "port-forward" "TYPE/NAME [options] [LOCAL_PORT:]REMOTE_PORT ..." "Forward one or more local ports to a pod" "kubectl port-forward web-0 8080:80" port_forward::FLAGS, port_forward::run;
    "api-resources" "" "Print the supported API resources on the server" "kubectl api-resources --namespaced=false" api::FLAGS, api::resources;
    "api-versions" "" "Print the supported API versions on the server, in the form of \"group/version\"" "kubectl api-versions" &[], api::versions;
    "version" "" "Print the client and server version information" "kubectl version" version::FLAGS, version::run;
    "config view" "" "Display merged kubeconfig settings or a specified kubeconfig file" "kubectl config view --minify" config::VIEW, config::view;
    "config current-context" "" "Display the current-context" "kubectl config current-context" &[], config::current_context;
    "config get-contexts" "[NAME]" "Describe one or many contexts" "kubectl config get-contexts" config::GET, config::get_contexts;
    "config get-clusters" "" "Display clusters defined in the kubeconfig" "kubectl config get-clusters" &[], config::get_clusters;
    "config get-users" "" "Display users defined in the kubeconfig" "kubectl config get-users" &[], config::get_users;
    "config use-context" "CONTEXT_NAME" "Set the current-context in a kubeconfig file" "kubectl config use-context prod" &[], config::use_context;
    "config set-cluster" "NAME [--server=server]" "Set a cluster entry in kubeconfig" "kubectl config set-cluster c --server=https://h:6443" config::CLUSTER, config::set_cluster;
    "config set-credentials" "NAME [--token=bearer_token]" "Set a user entry in kubeconfig" "kubectl config set-credentials u --token=t" config::USER, config::set_credentials;
    "config set-context" "[NAME | --current] [--cluster=cluster] [--user=user] [--namespace=namespace]" "Set a context entry in kubeconfig"
        "kubectl config set-context --current --namespace=dev" config::CONTEXT, config::set_context;
    "config delete-context" "NAME" "Delete the specified context from the kubeconfig" "kubectl config delete-context c" &[], config::delete_context;
    "config delete-cluster" "NAME" "Delete the specified cluster from the kubeconfig" "kubectl config delete-cluster c" &[], config::delete_cluster;
    "config delete-user" "NAME" "Delete the specified user from the kubeconfig" "kubectl config delete-user u" &[], config::delete_user;
}

/// Groups that are no commands themselves.
const GROUPS: &[Command] = &[
    group("config", "Modify kubeconfig files"),
    group("auth", "Inspect authorization"),
    group("certificate", "Modify certificate resources"),
    group("set", "Set specific features on objects"),
    group("create service", "Create a service using a specified subcommand"),
    group("rollout", "Manage the rollout of a resource"),
    group("create secret", "Create a secret using a specified subcommand"),
];

const fn group(name: &'static str, about: &'static str) -> Command {
    Command { name, usage: "SUBCOMMAND", about, examples: "", flags: &[], run: None }
}

/// Other names of commands.
const ALIASES: &[(&str, &str)] = &[
    ("create ns", "create namespace"),
    ("create cm", "create configmap"),
    ("create sa", "create serviceaccount"),
    ("create deploy", "create deployment"),
    ("create svc", "create service"),
    ("create svc clusterip", "create service clusterip"),
    ("create svc nodeport", "create service nodeport"),
    ("create svc loadbalancer", "create service loadbalancer"),
    ("create svc externalname", "create service externalname"),
    ("log", "logs"),
];

/// The command that arguments begin with, the arguments after its name, and its name.
pub fn find(args: &[String]) -> Option<(&'static Command, Vec<String>, String)> {
    (1..=3.min(args.len())).rev().find_map(|n| {
        let mut name = args[..n].join(" ");
        if let Some((_, real)) = ALIASES.iter().find(|(a, _)| *a == name) {
            name = (*real).to_owned();
        }
        let c = COMMANDS.iter().chain(GROUPS).find(|c| c.name == name)?;
        Some((c, args[n..].to_vec(), name))
    })
}

pub fn overview() -> String {
    let mut s = String::from("kubectl controls the Kubernetes cluster manager.\n\nCommands:\n");
    for c in COMMANDS {
        let _ = writeln!(s, "  {:24} {}", c.name, c.about);
    }
    s.push_str("\nUsage:\n  kubectl [flags] [options]\n\nUse \"kubectl <command> --help\" for more information about a given command.\n");
    s
}

pub fn help(c: &Command, path: &str) -> String {
    let mut s = format!("{}.\n", c.about);
    if !c.examples.is_empty() {
        s.push_str("\nExamples:\n");
        for l in c.examples.lines() {
            let _ = writeln!(s, "  {l}");
        }
    }
    let subs: Vec<_> =
        COMMANDS.iter().filter(|o| o.name.strip_prefix(path).is_some_and(|r| r.starts_with(' '))).collect();
    if !subs.is_empty() {
        s.push_str("\nAvailable Commands:\n");
        for o in subs {
            let _ = writeln!(s, "  {:24} {}", o.name[path.len()..].trim(), o.about);
        }
    }
    for (title, flags) in [("Options", c.flags), ("Global options", GLOBAL)] {
        if flags.is_empty() {
            continue;
        }
        let _ = writeln!(s, "\n{title}:");
        for f in flags {
            let short = f.short.map(|c| format!("-{c}, ")).unwrap_or_default();
            let default = if f.default.is_empty() { "''".to_owned() } else { f.default.to_owned() };
            let _ = writeln!(s, "    {short}--{}={default}:\n\t{}", f.name, f.help);
        }
    }
    let _ = writeln!(s, "\nUsage:\n  kubectl {path} {} [options]", c.usage);
    s
}
