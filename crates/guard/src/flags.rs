//! The flags of serving, as all components of the control plane have them.

use clap::{Args, FromArgMatches};
use runtime::args::Foreign;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Debug, Args)]
pub struct Serving {
    /// The address on which to serve health and metrics.
    #[arg(long, default_value = "0.0.0.0")]
    pub bind_address: IpAddr,
    /// The port on which to serve HTTPS; 0: none. Default: the component's own.
    #[arg(long)]
    pub secure_port: Option<u16>,
    /// The certificate for HTTPS, with its intermediates. Default: a self-signed one, made at start.
    #[arg(long, requires = "tls_private_key_file")]
    pub tls_cert_file: Option<PathBuf>,
    /// The private key of --tls-cert-file.
    #[arg(long, requires = "tls_cert_file")]
    pub tls_private_key_file: Option<PathBuf>,
    /// Clients with a certificate of one of these authorities are who it says.
    #[arg(long)]
    pub client_ca_file: Option<PathBuf>,
    /// How to reach the API server for TokenReviews and the cluster's client CA. Without: tokens are not accepted.
    #[arg(long)]
    pub authentication_kubeconfig: Option<PathBuf>,
    /// Do not look up the client CA in the cluster.
    #[arg(long, num_args = 0..=1, default_value_t = false, default_missing_value = "true", require_equals = true, action = clap::ArgAction::Set)]
    pub authentication_skip_lookup: bool,
    /// How long the answer to a TokenReview is kept.
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub authentication_token_webhook_cache_ttl: Duration,
    /// How to reach the API server for SubjectAccessReviews. Without: all but --authorization-always-allow-paths is
    /// forbidden.
    #[arg(long)]
    pub authorization_kubeconfig: Option<PathBuf>,
    /// Paths that everybody may see.
    #[arg(long, value_delimiter = ',', default_value = "/healthz,/readyz,/livez")]
    pub authorization_always_allow_paths: Vec<String>,
    /// How long the answer that something is allowed is kept.
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub authorization_webhook_cache_authorized_ttl: Duration,
    /// How long the answer that something is forbidden is kept.
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub authorization_webhook_cache_unauthorized_ttl: Duration,
}

impl Default for Serving {
    fn default() -> Self {
        let none = Self::augment_args(clap::Command::new("x")).get_matches_from(["x"]);
        Self::from_arg_matches(&none).expect("every flag has a default")
    }
}

fn duration(s: &str) -> Result<Duration, String> {
    let n = meta::time::parse_duration(s)?;
    u64::try_from(n).map(Duration::from_nanos).map_err(|_| "must not be negative".to_owned())
}

/// Flags of upstream's control plane that none of ours carries out: serving, metrics, logging, gates.
pub const SHARED: &[Foreign] = &[
    Foreign("disable-http2-serving", true, &["false"]),
    Foreign("http2-max-streams-per-connection", false, &["", "0", "0s"]),
    Foreign("permit-address-sharing", true, &["false"]),
    Foreign("permit-port-sharing", true, &["false"]),
    Foreign("tls-cipher-suites", false, &[""]),
    Foreign("tls-curve-preferences", false, &[""]),
    Foreign("tls-min-version", false, &[""]),
    Foreign("tls-sni-cert-key", false, &[""]),
    Foreign("contention-profiling", true, &["false", "true"]),
    Foreign("profiling", true, &["false"]),
    Foreign("emulated-version", false, &[""]),
    Foreign("feature-gates", false, &[""]),
    Foreign("min-compatibility-version", false, &[""]),
    Foreign("allow-metric-labels", false, &[""]),
    Foreign("allow-metric-labels-manifest", false, &[""]),
    Foreign("disabled-metrics", false, &[""]),
    Foreign("show-hidden-metrics-for-version", false, &[""]),
    Foreign("log-flush-frequency", false, &["5s"]),
    Foreign("log-json-info-buffer-size", false, &[""]),
    Foreign("log-json-split-stream", true, &["false"]),
    Foreign("log-text-info-buffer-size", false, &[""]),
    Foreign("log-text-split-stream", true, &["false"]),
    Foreign("logging-format", false, &["text", ""]),
    Foreign("vmodule", false, &[""]),
];

/// The flags of a parser, for [`runtime::args`].
pub fn own(c: &clap::Command) -> Vec<runtime::args::Own> {
    let one = |a: &clap::Arg| {
        let switch = !a.get_action().takes_values() || a.get_num_args().is_some_and(|n| n.min_values() == 0);
        a.get_long().map(|l| runtime::args::Own { name: l.to_owned(), switch })
    };
    let mut all: Vec<_> = c.get_arguments().filter_map(one).collect();
    all.extend(["help", "version"].map(|n| runtime::args::Own { name: n.into(), switch: true }));
    all
}

/// Parses a component's command line. `Err` holds what to print and whether it is an error.
pub fn parse<T: clap::Parser>(
    args: Vec<String>,
    component: &'static str,
    old: &[runtime::args::Old],
    foreign: &[&[Foreign]],
) -> Result<(T, Vec<String>), (String, bool)> {
    let command = T::command();
    let known = runtime::args::Known { component, own: &own(&command), old, foreign };
    let words = runtime::args::read(args, &known).map_err(|e| (e, true))?;
    let all = std::iter::once(component.to_owned()).chain(words.args);
    match T::try_parse_from(all) {
        Ok(f) => Ok((f, words.notes)),
        Err(e) => Err((e.render().to_string(), e.use_stderr())),
    }
}

/// Prints what [`parse`] had to say, as a program's last words.
pub fn last_words(component: &str, (text, error): &(String, bool)) -> std::process::ExitCode {
    use std::io::Write;
    if *error {
        eprintln!("{component}: {}", text.trim_start_matches("error: ").trim_end());
        return std::process::ExitCode::FAILURE;
    }
    // Whoever reads may have gone.
    let _ = std::io::stdout().write_all(text.as_bytes());
    std::process::ExitCode::SUCCESS
}
