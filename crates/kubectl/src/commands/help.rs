//! What `--help` says: of kubectl, of a command, of the flags that every command has.

use super::{Command, every};
use crate::flags::{Flag, Form, GLOBAL};
use std::fmt::Write;

/// The commands as people know them.
const SECTIONS: &[(&str, &[&str])] = &[
    ("Basic Commands (Beginner)", &["create", "expose", "run", "set"]),
    ("Basic Commands (Intermediate)", &["explain", "get", "edit", "delete"]),
    ("Deploy Commands", &["rollout", "scale", "autoscale"]),
    (
        "Cluster Management Commands",
        &["certificate", "cluster-info", "top", "cordon", "uncordon", "drain", "taint"],
    ),
    (
        "Troubleshooting and Debugging Commands",
        &["describe", "logs", "attach", "exec", "port-forward", "proxy", "cp", "auth", "debug", "events"],
    ),
    ("Advanced Commands", &["diff", "apply", "patch", "replace", "wait"]),
    ("Settings Commands", &["label", "annotate", "completion"]),
    ("Other Commands", &["api-resources", "api-versions", "config", "version"]),
    ("Not part of this kubectl", &["kustomize", "kuberc", "plugin", "alpha"]),
];

fn first(c: &Command) -> &str {
    c.about.lines().next().unwrap_or_default()
}

pub fn overview() -> String {
    let mut s = String::from(
        "kubectl controls the Kubernetes cluster manager.\n\nIt talks to the API server that a kubeconfig names (--kubeconfig, KUBECONFIG or ~/.kube/config).\n",
    );
    for (title, names) in SECTIONS {
        let _ = writeln!(s, "\n{title}:");
        for n in *names {
            if let Some(c) = every().find(|c| c.name == *n) {
                let _ = writeln!(s, "  {:15} {}", c.name, first(c));
            }
        }
    }
    s.push_str("\nUsage:\n  kubectl [flags] [options]\n\nUse \"kubectl <command> --help\" for more information about a given command.\nUse \"kubectl options\" for a list of global command-line options (applies to all commands).\n");
    s
}

/// `kubectl options`.
pub fn options() -> String {
    let mut s = String::from("The following options can be passed to any command:\n\n");
    flags(&mut s, GLOBAL);
    s.truncate(s.trim_end().len());
    s.push('\n');
    s
}

fn flags(s: &mut String, all: &[Flag]) {
    let mut all: Vec<&Flag> = all.iter().collect();
    all.sort_by_key(|f| f.name);
    for f in all {
        let short = f.short.map(|c| format!("-{c}, ")).unwrap_or_default();
        let numeric = f.default.parse::<i64>().is_ok() || meta::time::parse_duration(f.default).is_ok();
        let default = match f.form {
            Form::List | Form::Each => format!("[{}]", f.default),
            Form::Bool => f.default.to_owned(),
            _ if numeric => f.default.to_owned(),
            _ => format!("'{}'", f.default),
        };
        let _ = writeln!(s, "    {short}--{}={default}:\n\t{}\n", f.name, f.help);
    }
}

pub fn help(c: &Command, path: &str) -> String {
    let mut s = match c.about.split_once('\n') {
        Some((first, rest)) => format!("{first}.\n\n{}\n", rest.trim()),
        None => format!("{}.\n", c.about),
    };
    if !c.examples.is_empty() {
        s.push_str("\nExamples:\n");
        for l in c.examples.lines() {
            let _ = writeln!(s, "{}", format!("  {l}").trim_end());
        }
    }
    let mut subs: Vec<&Command> = every()
        .filter(|o| {
            o.name.strip_prefix(path).and_then(|r| r.strip_prefix(' ')).is_some_and(|r| !r.contains(' '))
        })
        .collect();
    subs.sort_by_key(|o| o.name);
    if !subs.is_empty() {
        s.push_str("\nAvailable Commands:\n");
        for o in &subs {
            let _ = writeln!(s, "  {:20} {}", o.name[path.len()..].trim(), first(o));
        }
    }
    if !c.flags.is_empty() {
        s.push_str("\nOptions:\n");
        flags(&mut s, c.flags);
        s.truncate(s.trim_end().len());
        s.push('\n');
    }
    let usage = if c.usage.is_empty() { String::new() } else { format!(" {}", c.usage) };
    let _ = writeln!(s, "\nUsage:\n  kubectl {path}{usage} [options]\n");
    if !subs.is_empty() {
        let _ = writeln!(
            s,
            "Use \"kubectl {path} <command> --help\" for more information about a given command."
        );
    }
    s.push_str(
        "Use \"kubectl options\" for a list of global command-line options (applies to all commands).\n",
    );
    s
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_its_place() {
        let mut named: Vec<&str> = SECTIONS.iter().flat_map(|(_, n)| n.iter().copied()).collect();
        let mut all: Vec<&str> = every().map(|c| c.name).filter(|n| !n.contains(' ')).collect();
        named.sort_unstable();
        all.sort_unstable();
        assert_eq!(named, all);
        for c in every().filter(|c| c.run.is_some() && !c.usage.is_empty()) {
            assert!(!c.examples.is_empty(), "{} has no example", c.name);
        }
    }
}
