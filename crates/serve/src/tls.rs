//! Server TLS: certificates that can be swapped while serving, client certificates that are looked at but not required.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

/// How often, at most, certificate files are looked at again; only while handshakes come in.
const RELOAD_EVERY: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {0}: {1}")]
    Read(PathBuf, std::io::Error),
    #[error("{0}: {1}")]
    File(PathBuf, Box<TlsError>),
    #[error("{key} is not the key of {cert}, or one of them is of an unknown kind ({why})")]
    Pair { cert: PathBuf, key: PathBuf, why: rustls::Error },
    #[error("{0}")]
    Pem(String),
    #[error("no certificate in the PEM data")]
    NoCertificate,
    #[error("certificate and key do not go together, or the key is of an unknown kind")]
    Key(#[source] rustls::Error),
    #[error("client authority")]
    ClientCa(#[source] rustls::server::VerifierBuilderError),
    #[error("{0}")]
    Config(#[source] rustls::Error),
}

/// The process's crypto: aws-lc.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The certificates of a PEM text, in order.
pub fn parse_certs(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certs: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|e| TlsError::Pem(format!("bad certificate: {e}")))?;
    if certs.is_empty() { Err(TlsError::NoCertificate) } else { Ok(certs) }
}

/// The first private key of a PEM text (PKCS#8, PKCS#1 or SEC1).
pub fn parse_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|e| TlsError::Pem(format!("bad private key: {e}")))
}

fn certified(cert_pem: &[u8], key_pem: &[u8]) -> Result<Arc<CertifiedKey>, TlsError> {
    let (certs, key) = (parse_certs(cert_pem)?, parse_key(key_pem)?);
    CertifiedKey::from_der(certs, key, &provider()).map(Arc::new).map_err(TlsError::Key)
}

/// The same from files, which errors name.
fn certified_files(cert: (&Path, &[u8]), key: (&Path, &[u8])) -> Result<Arc<CertifiedKey>, TlsError> {
    let of = |p: &Path| {
        let p = p.to_owned();
        move |e| TlsError::File(p, Box::new(e))
    };
    parse_certs(cert.1).map_err(of(cert.0))?;
    parse_key(key.1).map_err(of(key.0))?;
    certified(cert.1, key.1).map_err(|e| match e {
        TlsError::Key(why) => TlsError::Pair { cert: cert.0.to_owned(), key: key.0.to_owned(), why },
        other => TlsError::File(cert.0.to_owned(), Box::new(other)),
    })
}

/// What is wrong with the time of a chain's first certificate, now (Unix seconds).
fn not_valid(chain: &[CertificateDer<'_>], now: i64) -> Option<String> {
    use x509_cert::der::Decode;
    let leaf = x509_cert::Certificate::from_der(chain.first()?).ok()?;
    let v = leaf.tbs_certificate.validity;
    let unix = |t: &x509_cert::time::Time| i64::try_from(t.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
    if now > unix(&v.not_after) {
        return Some(format!("the certificate expired at {}", v.not_after));
    }
    (now < unix(&v.not_before)).then(|| {
        format!("the certificate is not valid before {}; is the clock of this host right?", v.not_before)
    })
}

struct Files {
    cert: PathBuf,
    key: PathBuf,
    checked: Instant,
    stamp: Option<(SystemTime, SystemTime)>,
}

/// Where a server's certificate comes from. It may be replaced at any time: new handshakes see the new one.
pub struct CertSource {
    current: RwLock<Arc<CertifiedKey>>,
    files: Option<Mutex<Files>>,
}

impl std::fmt::Debug for CertSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertSource").finish_non_exhaustive()
    }
}

fn stamp(cert: &Path, key: &Path) -> Option<(SystemTime, SystemTime)> {
    let m = |p: &Path| std::fs::metadata(p).and_then(|m| m.modified()).ok();
    Some((m(cert)?, m(key)?))
}

impl CertSource {
    /// A certificate chain and its key, both PEM.
    pub fn from_pem(cert: &[u8], key: &[u8]) -> Result<Arc<Self>, TlsError> {
        Ok(Arc::new(Self { current: RwLock::new(certified(cert, key)?), files: None }))
    }

    /// Two files, read again when they change.
    pub fn from_files(cert: &Path, key: &Path) -> Result<Arc<Self>, TlsError> {
        let read = |p: &Path| std::fs::read(p).map_err(|e| TlsError::Read(p.to_owned(), e));
        let stamp = stamp(cert, key);
        let current = certified_files((cert, &read(cert)?), (key, &read(key)?))?;
        if let Some(why) = not_valid(&current.cert, runtime::Clock::system().unix_seconds()) {
            tracing::error!("{}: {why}: clients will refuse it", cert.display());
        }
        let files = Files { cert: cert.to_owned(), key: key.to_owned(), checked: Instant::now(), stamp };
        Ok(Arc::new(Self { current: RwLock::new(current), files: Some(Mutex::new(files)) }))
    }

    /// Puts another certificate in place.
    pub fn replace(&self, cert: &[u8], key: &[u8]) -> Result<(), TlsError> {
        let new = certified(cert, key)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    fn refresh(&self) {
        let Some(files) = &self.files else { return };
        let mut f = files.lock().unwrap_or_else(PoisonError::into_inner);
        if f.checked.elapsed() < RELOAD_EVERY {
            return;
        }
        f.checked = Instant::now();
        let now = stamp(&f.cert, &f.key);
        if now.is_none() || now == f.stamp {
            return;
        }
        let (Ok(cert), Ok(key)) = (std::fs::read(&f.cert), std::fs::read(&f.key)) else { return };
        match self.replace(&cert, &key) {
            Ok(()) => {
                f.stamp = now;
                tracing::info!(cert = %f.cert.display(), "serving certificate reloaded");
            }
            // Half-written files: the old pair stays until the new one is whole.
            Err(e) => {
                tracing::warn!(cert = %f.cert.display(), error = %e, "serving certificate not reloaded")
            }
        }
    }
}

impl ResolvesServerCert for CertSource {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.refresh();
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// A bundle of authorities that client certificates are checked against.
pub struct ClientCa {
    verifier: RwLock<Arc<dyn ClientCertVerifier>>,
    pem: RwLock<String>,
}

impl std::fmt::Debug for ClientCa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientCa").finish_non_exhaustive()
    }
}

impl ClientCa {
    pub fn from_pem(bundle: &[u8]) -> Result<Arc<Self>, TlsError> {
        let pem = RwLock::new(String::from_utf8_lossy(bundle).into_owned());
        Ok(Arc::new(Self { verifier: RwLock::new(Self::verifier(bundle)?), pem }))
    }
    /// Puts another bundle in place; connections that stand keep the verdict they got.
    pub fn replace(&self, bundle: &[u8]) -> Result<(), TlsError> {
        let new = Self::verifier(bundle)?;
        *self.verifier.write().unwrap_or_else(PoisonError::into_inner) = new;
        *self.pem.write().unwrap_or_else(PoisonError::into_inner) =
            String::from_utf8_lossy(bundle).into_owned();
        Ok(())
    }
    /// The bundle as it was given.
    pub fn pem(&self) -> String {
        self.pem.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
    fn verifier(bundle: &[u8]) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let mut roots = RootCertStore::empty();
        for c in parse_certs(bundle)? {
            roots.add(c).map_err(TlsError::Config)?;
        }
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(TlsError::ClientCa)
    }
    /// Checks a chain, leaf first, for client use at this time (Unix seconds).
    pub fn verify(&self, chain: &[CertificateDer<'_>], unix_seconds: u64) -> Result<(), String> {
        let Some((leaf, rest)) = chain.split_first() else { return Err("no certificate".into()) };
        let v = self.verifier.read().unwrap_or_else(PoisonError::into_inner).clone();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(unix_seconds));
        v.verify_client_cert(leaf, rest, now).map(|_| ()).map_err(|e| e.to_string())
    }
    fn hints(&self) -> Vec<DistinguishedName> {
        self.verifier.read().unwrap_or_else(PoisonError::into_inner).root_hint_subjects().to_vec()
    }
}

/// What a TLS listener needs.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    pub certificates: Arc<CertSource>,
    /// Ask clients for a certificate, and check it against this bundle.
    pub client_ca: Option<Arc<ClientCa>>,
    /// Offer HTTP/2.
    pub http2: bool,
}

impl TlsSettings {
    pub(crate) fn build(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let b = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Config)?;
        let b = match &self.client_ca {
            None => b.with_no_client_auth(),
            Some(ca) => {
                b.with_client_cert_verifier(Arc::new(AskOnly { provider: provider(), hints: ca.hints() }))
            }
        };
        let mut cfg = b.with_cert_resolver(self.certificates.clone());
        cfg.alpn_protocols =
            if self.http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
        Ok(Arc::new(cfg))
    }
}

/// Asks for a certificate and takes any whose key the client has; the chain is judged after the handshake, so that a
/// stranger gets an HTTP answer (401) and not a broken connection.
#[derive(Debug)]
struct AskOnly {
    provider: Arc<CryptoProvider>,
    hints: Vec<DistinguishedName>,
}

impl ClientCertVerifier for AskOnly {
    fn client_auth_mandatory(&self) -> bool {
        false
    }
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }
    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algs = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algs)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algs = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algs)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_files_is_said_with_their_names() {
        let dir = std::env::temp_dir().join(format!("keelson-tls-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let pair = || {
            let key = rcgen::KeyPair::generate().unwrap();
            let cert = rcgen::CertificateParams::new(vec!["x".into()]).unwrap().self_signed(&key).unwrap();
            (cert.pem(), key.serialize_pem())
        };
        let ((cert, key), (_, other)) = (pair(), pair());
        let file = |name: &str, text: &str| {
            std::fs::write(dir.join(name), text).unwrap();
            dir.join(name)
        };
        let (cert, key, other) = (file("c.pem", &cert), file("k.pem", &key), file("o.pem", &other));
        let none = file("empty.pem", "");
        let why = |c: &Path, k: &Path| {
            CertSource::from_files(c, k).unwrap_err().to_string().replace(&format!("{}/", dir.display()), "")
        };
        assert!(CertSource::from_files(&cert, &key).is_ok());
        assert!(why(&cert, &other).starts_with("o.pem is not the key of c.pem"), "{}", why(&cert, &other));
        assert!(why(&dir.join("no"), &key).starts_with("cannot read no: No such file"));
        assert!(why(&none, &key).starts_with("empty.pem: no certificate"));
        assert!(why(&cert, &none).starts_with("empty.pem: bad private key"));
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn certificates_have_their_time() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut p = rcgen::CertificateParams::new(vec!["x".into()]).unwrap();
        (p.not_before, p.not_after) = (rcgen::date_time_ymd(2001, 1, 1), rcgen::date_time_ymd(2002, 1, 1));
        let chain = [p.self_signed(&key).unwrap().der().clone()];
        assert_eq!(not_valid(&chain, 990_000_000), None);
        assert!(not_valid(&chain, 1_700_000_000).unwrap().contains("expired at 2002-01-01"));
        assert!(not_valid(&chain, 900_000_000).unwrap().contains("not valid before 2001-01-01"));
    }
}
