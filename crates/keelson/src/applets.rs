//! The applets: one line each.

use std::process::ExitCode;

pub struct Applet {
    pub name: &'static str,
    pub about: &'static str,
    pub run: fn(Vec<String>) -> ExitCode,
}

/// Everything this program can be.
pub const APPLETS: &[Applet] = &[Applet {
    name: "server",
    about: "a whole cluster in one process: control plane and this node",
    run: crate::server::main,
}];

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
