//! The guide, as commands on three machines and what they must print.

mod bad;
mod ca;
mod cluster;
mod micro;
mod simple;

pub use bad::BAD;
pub use ca::{CERTIFICATES, CFSSL, ROTATION, STOP, WITH_CA, WITH_CA_WORKERS};
pub use cluster::{DASHBOARD, DEPLOYMENT, NODES, SERVICES};
pub use micro::MICRO;
pub use simple::{SIMPLE, SIMPLE_PROPERTIES, SIMPLE_WORKERS};

/// Commands, one a line: where they are typed, what they show, what their output must hold (a line with `!` must not)
/// and by when.
pub struct Step {
    /// `m` the master, `w1` `w2` the workers, `workers`, `all`; `copy`: paths of the master onto each worker.
    pub on: &'static str,
    pub shows: &'static str,
    pub run: &'static str,
    pub expect: &'static str,
    pub within: u64,
}

const fn s(
    on: &'static str,
    shows: &'static str,
    run: &'static str,
    expect: &'static str,
    within: u64,
) -> Step {
    Step { on, shows, run, expect, within }
}

/// `$M`, `$W1`, `$W2` are the addresses, `$IP` that of the machine itself. The folder is root's home.
pub const PREPARE: &[Step] = &[
    s(
        "all",
        "preflight",
        "keelson preflight --fix || true",
        "[ ok ] ip_forward\n[ ok ] container runtime",
        60,
    ),
    s("all", "init", "keelson gen-config init\nls", "config.properties", 5),
];

/// A build machine's disk may be nearly full: that is not what is shown.
pub const DISK: &[Step] = &[s(
    "workers",
    "(a nearly full disk is no reason here)",
    r"sed -i 's#^  --fail-swap-on#  --eviction-hard=memory.available<50Mi,nodefs.available<1%,imagefs.available<1% \\\n  --image-gc-high-threshold=100 \\\n&#' target/worker-node/kubelet.service; cat target/worker-node/kubelet.service",
    "eviction-hard",
    5,
)];

/// After the control plane stands, in either form.
pub const STATUS: &[Step] = &[s(
    "m",
    "componentstatus",
    "kubectl get componentstatus",
    "scheduler            Healthy\ncontroller-manager   Healthy\netcd-0               Healthy",
    30,
)];
