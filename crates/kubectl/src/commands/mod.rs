//! The commands: one file each (a few files hold some that are alike), and one line each in [`ALL`].

mod api;
mod apply;
mod attach;
mod auth;
mod autoscale;
mod certificate;
mod cluster_info;
mod completion;
mod config;
mod config_more;
mod cp;
pub(crate) mod create;
mod create_cluster;
mod create_more;
mod create_secret;
mod debug;
mod delete;
mod describe;
mod diff;
mod drain;
mod edit;
mod events;
mod exec;
mod explain;
mod expose;
mod get;
mod help;
mod history;
mod label;
mod last_applied;
mod logs;
mod patch;
mod port_forward;
mod proxy;
mod reconcile;
mod refused;
mod replace;
mod rollout;
mod run;
mod scale;
mod set_env;
mod set_image;
mod set_more;
mod taint;
mod top;
mod version;
mod wait;

use crate::cx::Cx;
use crate::error::Error;
use crate::flags::Flag;
use futures::future::LocalBoxFuture;

pub use help::{help, options, overview};

pub type Run = fn(Cx) -> LocalBoxFuture<'static, Result<(), Error>>;

pub struct Command {
    /// Words of its name: `get`, `config view`.
    pub name: &'static str,
    /// Arguments.
    pub usage: &'static str,
    /// What it does: a line, and after an empty one perhaps more.
    pub about: &'static str,
    pub examples: &'static str,
    pub flags: &'static [Flag],
    /// None: a group of others.
    pub run: Option<Run>,
}

/// The commands of a file: name, arguments, what they do, examples, flags, function.
macro_rules! commands {
    ($($name:literal $usage:literal $about:literal $examples:literal $flags:expr, $run:path;)*) => {
        pub const COMMANDS: &[super::Command] = &[$(super::Command {
            name: $name, usage: $usage, about: $about, examples: $examples, flags: $flags,
            run: Some(|cx| Box::pin($run(cx))),
        }),*];
    };
}
use commands;

/// Every command.
const ALL: &[&[Command]] = &[
    api::COMMANDS,
    apply::COMMANDS,
    attach::COMMANDS,
    auth::COMMANDS,
    autoscale::COMMANDS,
    certificate::COMMANDS,
    cluster_info::COMMANDS,
    completion::COMMANDS,
    config::COMMANDS,
    config_more::COMMANDS,
    cp::COMMANDS,
    create::COMMANDS,
    create_cluster::COMMANDS,
    create_more::COMMANDS,
    create_secret::COMMANDS,
    debug::COMMANDS,
    delete::COMMANDS,
    describe::COMMANDS,
    diff::COMMANDS,
    drain::COMMANDS,
    edit::COMMANDS,
    events::COMMANDS,
    exec::COMMANDS,
    explain::COMMANDS,
    expose::COMMANDS,
    get::COMMANDS,
    history::COMMANDS,
    label::COMMANDS,
    last_applied::COMMANDS,
    logs::COMMANDS,
    patch::COMMANDS,
    port_forward::COMMANDS,
    proxy::COMMANDS,
    reconcile::COMMANDS,
    refused::COMMANDS,
    replace::COMMANDS,
    rollout::COMMANDS,
    run::COMMANDS,
    scale::COMMANDS,
    set_env::COMMANDS,
    set_image::COMMANDS,
    set_more::COMMANDS,
    taint::COMMANDS,
    top::COMMANDS,
    version::COMMANDS,
    wait::COMMANDS,
    GROUPS,
];

/// Groups that are no commands themselves.
const GROUPS: &[Command] = &[
    group(
        "auth",
        "Inspect authorization\n\nAsk whether something is allowed, and who the server takes you for.",
    ),
    group(
        "certificate",
        "Modify certificate resources\n\nApprove or deny certificate signing requests, so that the cluster signs them or does not.",
    ),
    group(
        "config",
        "Modify kubeconfig files\n\nThe file is that of --kubeconfig, else those of the list in KUBECONFIG together, else ~/.kube/config. A value is changed\nin the file that has it; something new goes to the first file that exists.",
    ),
    group("create secret", "Create a secret using a specified subcommand"),
    group("create service", "Create a service using a specified subcommand"),
    group(
        "rollout",
        "Manage the rollout of one or many resources\n\nOf deployments, daemon sets and stateful sets: see how far it is, go back, pause, restart.",
    ),
    group(
        "set",
        "Set specific features on objects\n\nChanges one thing of objects that exist: images, environment, resources, service account, selector, subjects.",
    ),
    group(
        "top",
        "Display resource (CPU/memory) usage\n\nThe figures are those of the metrics API, which a metrics server in the cluster must serve.",
    ),
];

const fn group(name: &'static str, about: &'static str) -> Command {
    Command { name, usage: "SUBCOMMAND", about, examples: "", flags: &[], run: None }
}

/// Other words of commands' names; the whole beginning of a line.
const ALIASES: &[(&str, &str)] = &[
    ("certificates", "certificate"),
    ("config use", "config use-context"),
    ("create cj", "create cronjob"),
    ("create cm", "create configmap"),
    ("create deploy", "create deployment"),
    ("create ing", "create ingress"),
    ("create ns", "create namespace"),
    ("create pc", "create priorityclass"),
    ("create pdb", "create poddisruptionbudget"),
    ("create resourcequota", "create quota"),
    ("create sa", "create serviceaccount"),
    ("create svc", "create service"),
    ("log", "logs"),
    ("set sa", "set serviceaccount"),
    ("top no", "top node"),
    ("top nodes", "top node"),
    ("top po", "top pod"),
    ("top pods", "top pod"),
];

pub fn every() -> impl Iterator<Item = &'static Command> {
    ALL.iter().flat_map(|a| a.iter())
}

/// The command that arguments begin with, the arguments after its name, and its name.
pub fn find(args: &[String]) -> Option<(&'static Command, Vec<String>, String)> {
    (1..=3.min(args.len())).rev().find_map(|n| {
        let mut name = args[..n].join(" ");
        for i in 1..=n {
            let start = args[..i].join(" ");
            if let Some((_, real)) = ALIASES.iter().find(|(a, _)| *a == start) {
                name = format!("{real}{}", &name[start.len()..]);
                break;
            }
        }
        let c = every().find(|c| c.name == name)?;
        Some((c, args[n..].to_vec(), name))
    })
}

/// What to say of a word that is no command, with those that look like it.
pub fn unknown(word: &str) -> Error {
    let mut s = format!("unknown command {word:?} for \"kubectl\"");
    let mut like: Vec<&str> =
        every().map(|c| c.name).filter(|n| !n.contains(' ') && similar(word, n)).collect();
    like.sort_unstable();
    if !like.is_empty() {
        s.push_str("\n\nDid you mean this?");
        for l in like {
            s.push_str("\n\t");
            s.push_str(l);
        }
    }
    Error::plain(s)
}

/// At most two letters apart, or the beginning.
fn similar(word: &str, name: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (word.to_lowercase().chars().collect(), name.chars().collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut last = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let next = (last + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            last = row[j + 1];
            row[j + 1] = next;
        }
    }
    row[b.len()] <= 2 || name.starts_with(&word.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let words = |s: &str| s.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let found = |s: &str| find(&words(s)).map(|(c, rest, _)| (c.name, rest.join(" ")));
        assert_eq!(found("create svc nodeport x"), Some(("create service nodeport", "x".into())));
        assert_eq!(found("create ns a b"), Some(("create namespace", "a b".into())));
        assert_eq!(found("top po x"), Some(("top pod", "x".into())));
        assert_eq!(found("nope"), None);
        assert_eq!(
            unknown("foo").tell().0,
            "error: unknown command \"foo\" for \"kubectl\"\n\nDid you mean this?\n\ttop"
        );
        let mut all: Vec<_> = every().map(|c| c.name).collect();
        let n = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), n, "a name stands twice");
        for (_, real) in ALIASES {
            assert!(every().any(|c| c.name == *real || c.name.starts_with(&format!("{real} "))), "{real}");
        }
    }
}
