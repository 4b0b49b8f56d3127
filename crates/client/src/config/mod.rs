//! How to reach an API server and as whom: from kubeconfig files or from inside a pod.

pub mod exec;
pub mod kubeconfig;

use crate::Error;
use kubeconfig::{AuthInfo, Cluster, Kubeconfig};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// PEM data, given or in a file that is read again for each new connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pem {
    Data(Vec<u8>),
    File(PathBuf),
}

impl Pem {
    pub fn read(&self) -> Result<Vec<u8>, Error> {
        match self {
            Self::Data(d) => Ok(d.clone()),
            Self::File(p) => {
                std::fs::read(p).map_err(|e| Error::Config(format!("unable to read {}: {e}", p.display())))
            }
        }
    }
}

/// What goes into the `Authorization` header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    #[default]
    None,
    Token(String),
    /// Read again when it is a minute old, as bound tokens change.
    TokenFile(PathBuf),
    Basic {
        username: String,
        password: String,
    },
    Exec(Box<exec::ExecConfig>),
}

/// `--as` and its kin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Impersonate {
    pub user: String,
    pub uid: String,
    pub groups: Vec<String>,
    pub extra: Vec<(String, Vec<String>)>,
}

/// Everything a network transport needs.
#[derive(Clone, Debug)]
pub struct Config {
    /// `https://host:port` and maybe a path that all requests get in front.
    pub server: String,
    /// More servers of the same cluster: another is taken when one is not there or not ready. Without a path.
    pub others: Vec<String>,
    pub ca: Option<Pem>,
    pub insecure_skip_tls_verify: bool,
    /// The name to verify in the server's certificate instead of the host.
    pub tls_server_name: Option<String>,
    pub client_cert: Option<(Pem, Pem)>,
    pub auth: Auth,
    pub impersonate: Impersonate,
    /// The namespace of the context.
    pub namespace: String,
    /// Limit on waiting for an answer to begin, except for watches; `None`: the server's own limit.
    pub timeout: Option<Duration>,
    /// How often to try again when no connection could be made, before the failure is answered.
    pub connect_retries: u32,
    pub user_agent: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            server: "http://localhost:8080".into(),
            others: Vec::new(),
            ca: None,
            insecure_skip_tls_verify: false,
            tls_server_name: None,
            client_cert: None,
            auth: Auth::None,
            impersonate: Impersonate::default(),
            namespace: "default".into(),
            timeout: None,
            connect_retries: 3,
            user_agent: "keelson".into(),
        }
    }
}

const IN_CLUSTER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

impl Config {
    /// One kubeconfig file and its current context, as components are given it (`--kubeconfig`).
    pub fn from_kubeconfig_file(path: &Path) -> Result<Self, Error> {
        Self::from_kubeconfig(&Kubeconfig::read(path)?, &kubeconfig::Overrides::default())
    }
    /// A merged kubeconfig, with what the command line puts over it.
    pub fn from_kubeconfig(k: &Kubeconfig, o: &kubeconfig::Overrides) -> Result<Self, Error> {
        k.resolve(o)
    }
    /// From the service account of the pod this process runs in.
    pub fn in_cluster() -> Result<Self, Error> {
        Self::in_cluster_at(
            Path::new(IN_CLUSTER),
            std::env::var("KUBERNETES_SERVICE_HOST").ok(),
            std::env::var("KUBERNETES_SERVICE_PORT").ok(),
        )
    }
    fn in_cluster_at(dir: &Path, host: Option<String>, port: Option<String>) -> Result<Self, Error> {
        let (Some(host), Some(port)) = (host.filter(|h| !h.is_empty()), port.filter(|p| !p.is_empty()))
        else {
            return Err(Error::Config(
                "unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined".into(),
            ));
        };
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let token = dir.join("token");
        if !token.exists() {
            return Err(Error::Config(format!("open {}: no such file or directory", token.display())));
        }
        let namespace = std::fs::read_to_string(dir.join("namespace")).unwrap_or_default();
        let namespace = namespace.trim();
        Ok(Self {
            server: format!("https://{host}:{port}"),
            ca: Some(Pem::File(dir.join("ca.crt"))),
            auth: Auth::TokenFile(token),
            namespace: if namespace.is_empty() { "default".into() } else { namespace.to_owned() },
            ..Self::default()
        })
    }
    /// As components are told it: `--kubeconfig`, with `--master` over its server or in its place, else from inside
    /// the pod.
    pub fn for_component(kubeconfig: Option<&Path>, master: &str) -> Result<Self, Error> {
        match kubeconfig {
            Some(p) => {
                let o = kubeconfig::Overrides { server: master.to_owned(), ..Default::default() };
                Self::from_kubeconfig(&Kubeconfig::read(p)?, &o)
            }
            None if !master.is_empty() => Ok(Self { server: master.to_owned(), ..Self::default() }),
            None => Self::in_cluster(),
        }
    }
    /// `--kubeconfig` if given, else from inside the pod.
    pub fn infer(kubeconfig: Option<&Path>) -> Result<Self, Error> {
        match kubeconfig {
            Some(p) => Self::from_kubeconfig_file(p),
            None => Self::in_cluster(),
        }
    }

    pub(crate) fn from_parts(cluster: &Cluster, user: &AuthInfo, namespace: &str) -> Result<Self, Error> {
        let data = |b64: &Option<String>, file: &Option<PathBuf>, what: &str| -> Result<Option<Pem>, Error> {
            match (b64.as_deref().filter(|s| !s.is_empty()), file) {
                (Some(b), _) => kubeconfig::base64_data(b)
                    .map(|d| Some(Pem::Data(d)))
                    .map_err(|e| Error::Config(format!("{what}: {e}"))),
                (None, Some(p)) if !p.as_os_str().is_empty() => Ok(Some(Pem::File(p.clone()))),
                _ => Ok(None),
            }
        };
        let cert = data(&user.client_certificate_data, &user.client_certificate, "client-certificate-data")?;
        let key = data(&user.client_key_data, &user.client_key, "client-key-data")?;
        let client_cert = match (cert, key) {
            (Some(c), Some(k)) => Some((c, k)),
            (None, None) => None,
            _ => {
                return Err(Error::Config(
                    "client-certificate and client-key must both be given, or neither".into(),
                ));
            }
        };
        let some = |s: &Option<String>| s.clone().filter(|s| !s.is_empty());
        let auth = if let Some(t) = some(&user.token) {
            Auth::Token(t)
        } else if let Some(f) = user.token_file.clone().filter(|f| !f.as_os_str().is_empty()) {
            Auth::TokenFile(f)
        } else if let Some(u) = some(&user.username) {
            Auth::Basic { username: u, password: user.password.clone().unwrap_or_default() }
        } else if let Some(e) = &user.exec {
            let mut e = e.clone();
            if e.provide_cluster_info.unwrap_or_default() {
                e.cluster = Some(Box::new(cluster.clone()));
            }
            Auth::Exec(Box::new(e))
        } else {
            Auth::None
        };
        Ok(Self {
            server: if cluster.server.is_empty() { Self::default().server } else { cluster.server.clone() },
            ca: data(
                &cluster.certificate_authority_data,
                &cluster.certificate_authority,
                "certificate-authority-data",
            )?,
            insecure_skip_tls_verify: cluster.insecure_skip_tls_verify.unwrap_or_default(),
            tls_server_name: some(&cluster.tls_server_name),
            client_cert,
            auth,
            impersonate: Impersonate {
                user: user.r#as.clone().unwrap_or_default(),
                uid: user.as_uid.clone().unwrap_or_default(),
                groups: user.as_groups.clone().unwrap_or_default(),
                extra: user.as_user_extra.clone().unwrap_or_default().into_iter().collect(),
            },
            namespace: if namespace.is_empty() { "default".into() } else { namespace.to_owned() },
            ..Self::default()
        })
    }
}

#[cfg(test)]
mod tests;
