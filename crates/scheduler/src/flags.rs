//! kube-scheduler's command line, with upstream's names and defaults.

use clap::Parser;
use scheduling::config::duration;
use std::path::PathBuf;
use std::time::Duration;

/// The Kubernetes scheduler: finds a node for each pod.
#[derive(Clone, Debug, Parser)]
#[command(name = "kube-scheduler", disable_version_flag = true, args_override_self = true)]
pub struct Flags {
    /// The path to the configuration file.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// The address of the Kubernetes API server (overrides any value in kubeconfig).
    #[arg(long, default_value = "")]
    pub master: String,
    /// How to reach the API server; ignored if a config file is given. Default: from inside the pod.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,

    #[command(flatten)]
    pub serving: guard::Serving,

    /// Schedule only while leading.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, action = clap::ArgAction::Set)]
    pub leader_elect: Option<bool>,
    /// How long a leader that was not heard of stays leader. Default: 15s.
    #[arg(long, value_parser = duration)]
    pub leader_elect_lease_duration: Option<Duration>,
    /// How long a leader tries to renew before it gives up. Default: 10s.
    #[arg(long, value_parser = duration)]
    pub leader_elect_renew_deadline: Option<Duration>,
    /// How long to wait between attempts. Default: 2s.
    #[arg(long, value_parser = duration)]
    pub leader_elect_retry_period: Option<Duration>,
    /// The type of object that is used for locking.
    #[arg(long, value_parser = ["leases"])]
    pub leader_elect_resource_lock: Option<String>,
    /// The name of that object. Default: kube-scheduler.
    #[arg(long)]
    pub leader_elect_resource_name: Option<String>,
    /// The namespace of that object. Default: kube-system.
    #[arg(long)]
    pub leader_elect_resource_namespace: Option<String>,

    /// How much is logged: 0 notices, 4 debug, 6 trace.
    #[arg(short, long, default_value_t = 0)]
    pub v: u8,
    /// Print the version and end.
    #[arg(long)]
    pub version: bool,
}

impl Flags {
    /// What the configuration file says, with the flags over it.
    pub fn scheduling(&self) -> Result<scheduling::Config, String> {
        let mut c = match &self.config {
            None => scheduling::Config {
                kubeconfig: self.kubeconfig.as_ref().map(|k| k.to_string_lossy().into_owned()),
                ..scheduling::Config::default()
            },
            Some(p) => {
                let text = std::fs::read(p).map_err(|e| format!("open {}: {e}", p.display()))?;
                let v = schema::yaml::parse(&text).map_err(|e| format!("{}: {e}", p.display()))?;
                scheduling::Config::parse(&v).map_err(|e| format!("{}: {e}", p.display()))?
            }
        };
        let l = &mut c.leader_election;
        l.on = self.leader_elect.unwrap_or(l.on);
        l.lease_duration = self.leader_elect_lease_duration.unwrap_or(l.lease_duration);
        l.renew_deadline = self.leader_elect_renew_deadline.unwrap_or(l.renew_deadline);
        l.retry_period = self.leader_elect_retry_period.unwrap_or(l.retry_period);
        if let Some(n) = &self.leader_elect_resource_name {
            l.name.clone_from(n);
        }
        if let Some(n) = &self.leader_elect_resource_namespace {
            l.namespace.clone_from(n);
        }
        l.check().map_err(|e| format!("leaderElection.{e}"))?;
        Ok(c)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<scheduling::Config, String> {
        let args = std::iter::once("kube-scheduler").chain(args.iter().copied());
        Flags::try_parse_from(args).map_err(|e| e.to_string())?.scheduling()
    }

    #[test]
    fn flags_are_over_the_file() {
        let file = std::env::temp_dir().join(format!("keelson-scheduler-{}.yaml", std::process::id()));
        let text = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nleaderElection: {leaderElect: true, leaseDuration: 30s}\nclientConnection: {kubeconfig: /a}\n";
        std::fs::write(&file, text).unwrap();
        let at = format!("--config={}", file.display());
        let c = parse(&[&at, "--kubeconfig=/b", "--leader-elect=false", "--leader-elect-renew-deadline=20s"])
            .unwrap();
        std::fs::remove_file(&file).unwrap();
        let l = &c.leader_election;
        assert_eq!((l.on, l.lease_duration.as_secs(), l.renew_deadline.as_secs()), (false, 30, 20));
        assert_eq!(c.kubeconfig.as_deref(), Some("/a"));
    }

    #[test]
    fn a_control_plane_manifest_of_upstream_is_understood() {
        let c = parse(&[
            "--authentication-kubeconfig=/etc/kubernetes/scheduler.conf",
            "--authorization-kubeconfig=/etc/kubernetes/scheduler.conf",
            "--bind-address=127.0.0.1",
            "--kubeconfig=/etc/kubernetes/scheduler.conf",
            "--leader-elect=true",
            "-v=2",
        ])
        .unwrap();
        assert_eq!(c.kubeconfig.as_deref(), Some("/etc/kubernetes/scheduler.conf"));
        assert!(parse(&["--leader-elect-lease-duration=5s"]).is_err());
        assert!(parse(&["--write-config-to=/x"]).is_err());
    }
}
