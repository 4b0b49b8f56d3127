//! Flags, with etcd's names and defaults; each may also be given as an environment variable (`ETCD_DATA_DIR`).

use clap::{Args, CommandFactory, FromArgMatches, Parser};
use std::path::PathBuf;
use std::time::Duration;

/// A key-value store that speaks the etcd v3 API: one member, kept in SQLite.
#[derive(Parser, Clone, Debug)]
#[command(name = "etcd", disable_version_flag = true)]
pub struct Config {
    /// Name of this member.
    #[arg(long, default_value = "default")]
    pub name: String,
    /// Where the data is. [default: NAME.etcd]
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
    /// Addresses to serve clients on (http, https, unix).
    #[arg(long, value_delimiter = ',', default_value = "http://localhost:2379")]
    pub listen_client_urls: Vec<String>,
    /// Addresses that clients are told.
    #[arg(long, value_delimiter = ',', default_value = "http://localhost:2379")]
    pub advertise_client_urls: Vec<String>,
    /// Further addresses for health and metrics only.
    #[arg(long, value_delimiter = ',')]
    pub listen_metrics_urls: Vec<String>,
    /// The members of the cluster: this one.
    #[arg(long)]
    pub initial_cluster: Option<String>,
    /// Part of the cluster's identity.
    #[arg(long, default_value = "etcd-cluster")]
    pub initial_cluster_token: String,
    /// Shown in the list of members.
    #[arg(long, value_delimiter = ',', default_value = "http://localhost:2380")]
    pub initial_advertise_peer_urls: Vec<String>,
    /// The server's certificate.
    #[arg(long)]
    pub cert_file: Option<PathBuf>,
    /// The server's key.
    #[arg(long)]
    pub key_file: Option<PathBuf>,
    /// Serve only clients that have a certificate of --trusted-ca-file.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
    pub client_cert_auth: bool,
    /// The authority of clients.
    #[arg(long)]
    pub trusted_ca_file: Option<PathBuf>,
    /// Refuse writes when the database is larger; 0 is 2 GiB, a negative number no bound.
    #[arg(long, default_value_t = 0, allow_hyphen_values = true)]
    pub quota_backend_bytes: i64,
    /// Operations in one transaction.
    #[arg(long, default_value_t = 128)]
    pub max_txn_ops: usize,
    /// Bytes of one request.
    #[arg(long, default_value_t = 1_572_864)]
    pub max_request_bytes: usize,
    /// What --auto-compaction-retention counts.
    #[arg(long, default_value = "periodic", value_parser = ["periodic", "revision"])]
    pub auto_compaction_mode: String,
    /// History to keep: hours or a duration, or revisions; 0 keeps all of it.
    #[arg(long, default_value = "0")]
    pub auto_compaction_retention: String,
    /// How often idle watches that asked for it are told the revision.
    #[arg(long, alias = "experimental-watch-progress-notify-interval", default_value = "10m", value_parser = duration)]
    pub watch_progress_notify_interval: Duration,
    /// Answer before the disk has it. A power cut loses writes.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
    pub unsafe_no_fsync: bool,
    /// debug, info, warn, error, panic or fatal.
    #[arg(long, default_value = "info")]
    pub log_level: String,
    #[command(flatten)]
    peers: Peers,
}

/// What only a cluster of several members needs. A manifest written for one names them all.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Known, without effect for one member")]
struct Peers {
    #[arg(long)]
    listen_peer_urls: Option<String>,
    #[arg(long)]
    initial_cluster_state: Option<String>,
    #[arg(long)]
    peer_cert_file: Option<String>,
    #[arg(long)]
    peer_key_file: Option<String>,
    #[arg(long)]
    peer_trusted_ca_file: Option<String>,
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    peer_client_cert_auth: Option<String>,
    #[arg(long)]
    snapshot_count: Option<String>,
    #[arg(long)]
    heartbeat_interval: Option<String>,
    #[arg(long)]
    election_timeout: Option<String>,
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    strict_reconfig_check: Option<String>,
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pre_vote: Option<String>,
}

pub enum Parsed {
    Run(Box<Config>),
    /// What `--help` prints.
    Text(String),
}

/// How much history is kept by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    All,
    Time(Duration),
    Revisions(i64),
}

/// Go's durations: `1h30m`, `5s`, `100ms`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("{text:?} is no duration, as 90s or 1h30m");
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let n: f64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        total += n * match &rest[..unit] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return Err(bad()),
        };
        rest = &rest[unit..];
    }
    if text.is_empty() || total > 1e9 {
        return Err(bad());
    }
    Ok(Duration::from_secs_f64(total))
}

/// `--data-dir` as `ETCD_DATA_DIR`, when the command line does not say otherwise.
fn from_environment(args: &[String], env: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut out = vec!["etcd".to_owned()];
    for a in Config::command().get_arguments() {
        let Some(long) = a.get_long() else { continue };
        let flag = format!("--{long}");
        let given = args.iter().any(|x| *x == flag || x.starts_with(&format!("{flag}=")));
        if !given && let Some(v) = env(&format!("ETCD_{}", long.to_uppercase().replace('-', "_"))) {
            out.push(format!("{flag}={v}"));
        }
    }
    out.extend_from_slice(args);
    out
}

pub fn parse(args: Vec<String>, env: impl Fn(&str) -> Option<String>) -> Result<Parsed, String> {
    let args = from_environment(&args, env);
    let matches = match Config::command().try_get_matches_from(args) {
        Ok(m) => m,
        Err(e) if !e.use_stderr() => return Ok(Parsed::Text(e.to_string())),
        Err(e) => return Err(e.to_string()),
    };
    let c = Config::from_arg_matches(&matches).map_err(|e| e.to_string())?;
    c.check()?;
    Ok(Parsed::Run(Box::new(c)))
}

impl Config {
    /// From flags alone, without the environment.
    pub fn from_args(args: Vec<String>) -> Result<Self, String> {
        match parse(args, |_| None)? {
            Parsed::Run(c) => Ok(*c),
            Parsed::Text(t) => Err(t),
        }
    }

    fn check(&self) -> Result<(), String> {
        self.retention()?;
        if let Some(c) = &self.initial_cluster {
            let others: Vec<_> =
                c.split(',').filter(|m| m.split('=').next() != Some(self.name.as_str())).collect();
            if !others.is_empty() {
                return Err(format!(
                    "--initial-cluster names other members ({}): this server is a cluster by itself; for several \
                     members run etcd",
                    others.join(",")
                ));
            }
        }
        if self.cert_file.is_some() != self.key_file.is_some() {
            return Err("--cert-file and --key-file go together".into());
        }
        if self.client_cert_auth && self.trusted_ca_file.is_none() {
            return Err("--client-cert-auth needs --trusted-ca-file".into());
        }
        let secure = self.listen_client_urls.iter().any(|u| u.starts_with("https://"));
        if secure && self.cert_file.is_none() {
            return Err("an https address in --listen-client-urls needs --cert-file and --key-file".into());
        }
        Ok(())
    }

    pub fn retention(&self) -> Result<Retention, String> {
        let text = self.auto_compaction_retention.as_str();
        let bad = || format!("--auto-compaction-retention: {text:?} is no {}", self.auto_compaction_mode);
        let number = text.parse::<i64>();
        match (number, self.auto_compaction_mode.as_str()) {
            (Ok(0), _) => Ok(Retention::All),
            (Ok(n), _) if n < 0 => Err(bad()),
            (Ok(n), "revision") => Ok(Retention::Revisions(n)),
            (Ok(h), _) => Ok(Retention::Time(Duration::from_secs(
                h.unsigned_abs().saturating_mul(3600).min(1_000_000_000),
            ))),
            (Err(_), "revision") => Err(bad()),
            (Err(_), _) => {
                duration(text).map(|d| if d.is_zero() { Retention::All } else { Retention::Time(d) })
            }
        }
    }

    pub fn dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| format!("{}.etcd", self.name).into())
    }

    /// Bytes the database may have.
    pub fn quota(&self) -> Option<u64> {
        match self.quota_backend_bytes {
            0 => Some(2 << 30),
            n => u64::try_from(n).ok(),
        }
    }

    pub fn verbosity(&self) -> u8 {
        match self.log_level.as_str() {
            "debug" => 4,
            _ => 0,
        }
    }

    /// What was asked for and has no effect here.
    pub fn notices(&self) -> Vec<String> {
        let p = &self.peers;
        let given = [
            ("listen-peer-urls", &p.listen_peer_urls),
            ("initial-cluster-state", &p.initial_cluster_state),
            ("peer-cert-file", &p.peer_cert_file),
            ("peer-key-file", &p.peer_key_file),
            ("peer-trusted-ca-file", &p.peer_trusted_ca_file),
            ("peer-client-cert-auth", &p.peer_client_cert_auth),
            ("snapshot-count", &p.snapshot_count),
            ("heartbeat-interval", &p.heartbeat_interval),
            ("election-timeout", &p.election_timeout),
            ("strict-reconfig-check", &p.strict_reconfig_check),
            ("pre-vote", &p.pre_vote),
        ];
        let named: Vec<_> =
            given.iter().filter(|(_, v)| v.is_some()).map(|(n, _)| format!("--{n}")).collect();
        if named.is_empty() {
            return Vec::new();
        }
        vec![format!("one member has no peers and no elections: without effect are {}", named.join(", "))]
    }
}

#[cfg(test)]
mod tests;
