//! The applet `dashboard`.

use crate::{Dashboard, Error};
use clap::Parser;
use client::config::{Config, Pem};
use runtime::Runtime;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// The dashboard: a web interface to a cluster, used with each user's own token.
#[derive(Clone, Debug, Parser)]
#[command(name = "keelson dashboard", version, after_help = HELP)]
pub struct Flags {
    /// A kubeconfig that says where the API server is. Credentials in it are not used.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    /// The API server's address (`https://192.0.2.1:6443`), instead of a kubeconfig's.
    #[arg(long, alias = "apiserver-host")]
    pub server: Option<String>,
    /// The authority that signed the API server's certificate, with --server.
    #[arg(long, requires = "server")]
    pub certificate_authority: Option<PathBuf>,
    /// Do not check the API server's certificate. Whoever can answer in its place gets users' tokens.
    #[arg(long)]
    pub insecure_skip_tls_verify: bool,
    /// The address to serve on.
    #[arg(long, default_value = "127.0.0.1")]
    pub bind_address: IpAddr,
    /// The port to serve on.
    #[arg(long, default_value_t = 8443)]
    pub port: u16,
    /// The certificate to serve with. Without one: plain HTTP on a loopback address, and on any other a certificate that
    /// is made at the start and signed by itself.
    #[arg(long, requires = "tls_private_key_file")]
    pub tls_cert_file: Option<PathBuf>,
    /// The certificate's key.
    #[arg(long, requires = "tls_cert_file")]
    pub tls_private_key_file: Option<PathBuf>,
    /// How much is logged: 0 notices, 4 debug, 6 trace.
    #[arg(short, long, default_value_t = 2)]
    pub v: u8,
}

const HELP: &str = "Without --kubeconfig and --server the API server is found from inside a pod. \
Users log in with a token: kubectl create token NAME.";

impl Flags {
    fn upstream(&self) -> Result<Config, client::Error> {
        let mut c = match &self.server {
            Some(s) => Config { server: s.clone(), ..Config::default() },
            None => Config::infer(self.kubeconfig.as_deref())?,
        };
        if let Some(ca) = &self.certificate_authority {
            c.ca = Some(Pem::File(ca.clone()));
        }
        if self.insecure_skip_tls_verify {
            c.insecure_skip_tls_verify = true;
            c.ca = None;
        }
        Ok(c)
    }

    fn tls(&self) -> Result<Option<serve::TlsSettings>, Error> {
        let bad = |e: &dyn std::fmt::Display| Error::Tls(e.to_string());
        let certificates = match (&self.tls_cert_file, &self.tls_private_key_file) {
            (Some(cert), Some(key)) => serve::CertSource::from_files(cert, key).map_err(|e| bad(&e))?,
            _ if self.bind_address.is_loopback() => return Ok(None),
            _ => {
                tracing::info!("no --tls-cert-file: serving with a certificate signed by itself");
                let host = self.bind_address.to_string();
                let names = vec!["localhost".to_owned(), "keelson-dashboard".to_owned(), host];
                let made = rcgen::generate_simple_self_signed(names).map_err(|e| bad(&e))?;
                let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
                serve::CertSource::from_pem(cert.as_bytes(), key.as_bytes()).map_err(|e| bad(&e))?
            }
        };
        Ok(Some(serve::TlsSettings { certificates, client_ca: None, http2: true }))
    }
}

/// The applet: flags, then serving until the runtime stops.
pub async fn run(args: Vec<String>, rt: Runtime) -> Result<(), String> {
    let f = match Flags::try_parse_from(std::iter::once("dashboard".to_owned()).chain(args)) {
        Ok(f) => f,
        Err(e) if e.use_stderr() => return Err(e.to_string()),
        Err(e) => {
            print!("{e}");
            return Ok(());
        }
    };
    runtime::log::init(f.v);
    serve_with(f, rt).await.map_err(|e| e.to_string())
}

async fn serve_with(f: Flags, rt: Runtime) -> Result<(), Error> {
    let dashboard = Dashboard::new(f.upstream().map_err(Error::Upstream)?, rt.clone())?;
    let tls = f.tls()?;
    let address = SocketAddr::new(f.bind_address, f.port);
    let listener = serve::Listener::bind(address).await.map_err(Error::Bind)?;
    let address = listener.local_addr().unwrap_or(address);
    let scheme = if tls.is_some() { "https" } else { "http" };
    tracing::info!("the dashboard is at {scheme}://{address}/");
    let signals = rt.clone();
    rt.spawn_until_stop("signals", async move {
        runtime::tasks::terminated().await;
        signals.stop_token().cancel();
    });
    dashboard.serve(listener, tls.as_ref()).await
}
