//! TLS of the client's side: authorities, client certificates, names to verify.

use super::auth::CertSlot;
use crate::config::{Config, Pem};
use crate::raw::{BoxError, Error};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::sync::{Arc, Mutex, PoisonError};
use x509_cert::der::Decode;

/// Makes TLS configurations; files are read again for each connection, so that renewed certificates are taken up.
pub struct Tls {
    ca: Option<Pem>,
    insecure: bool,
    server_name: Option<String>,
    client_cert: Option<(Pem, Pem)>,
    plugin_cert: CertSlot,
    last: Mutex<Option<(Sources, Arc<ClientConfig>)>>,
}

/// What a configuration was made from.
#[derive(Clone, PartialEq)]
struct Sources {
    ca: Option<Vec<u8>>,
    cert: Option<(Vec<u8>, Vec<u8>)>,
    h2: bool,
}

impl Tls {
    pub fn new(c: &Config, plugin_cert: CertSlot) -> Result<Self, Error> {
        let me = Self {
            ca: c.ca.clone(),
            insecure: c.insecure_skip_tls_verify,
            server_name: c.tls_server_name.clone(),
            client_cert: c.client_cert.clone(),
            plugin_cert,
            last: Mutex::default(),
        };
        if c.insecure_skip_tls_verify && c.ca.is_some() {
            return Err(Error::Config(
                "specifying a root certificates file with the insecure flag is not allowed".into(),
            ));
        }
        me.config(true)?;
        Ok(me)
    }

    /// The configuration for a connection to `host`, and the name to verify.
    pub fn client_config(
        &self,
        host: &str,
        h2: bool,
    ) -> Result<(Arc<ClientConfig>, ServerName<'static>), BoxError> {
        let name = self.server_name.as_deref().unwrap_or(host).to_owned();
        Ok((self.config(h2)?, ServerName::try_from(name)?))
    }

    fn config(&self, h2: bool) -> Result<Arc<ClientConfig>, Error> {
        let cert = match self.plugin_cert.get() {
            Some(c) => Some(c),
            None => {
                self.client_cert.as_ref().map(|(c, k)| Ok::<_, Error>((c.read()?, k.read()?))).transpose()?
            }
        };
        let from = Sources { ca: self.ca.as_ref().map(Pem::read).transpose()?, cert, h2 };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, config)) = last.as_ref().filter(|(f, _)| *f == from) {
            return Ok(config.clone());
        }
        let config = Arc::new(self.build(&from)?);
        *last = Some((from, config.clone()));
        Ok(config)
    }

    fn build(&self, from: &Sources) -> Result<ClientConfig, Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let bad = |what: &str, e: &dyn std::fmt::Display| Error::Config(format!("{what}: {e}"));
        let verifier: Arc<dyn ServerCertVerifier> = if self.insecure {
            Arc::new(AcceptAny(provider.clone()))
        } else {
            server_verifier(from.ca.as_deref(), provider.clone())?
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| bad("TLS", &e))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &from.cert {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let certs = certificates(cert).map_err(|e| bad("client certificate", &e))?;
                let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| bad("client key", &e))?;
                builder
                    .with_client_auth_cert(certs, key)
                    .map_err(|e| bad("client certificate and key", &e))?
            }
        };
        config.alpn_protocols =
            if from.h2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
        Ok(config)
    }
}

/// Checks servers against the authorities of a PEM bundle (`None`: the machine's own).
pub fn server_verifier(
    bundle: Option<&[u8]>,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    Ok(Arc::new(match bundle {
        Some(pem) => Verifier::new(pem, provider)?,
        None => Verifier::new(&system_roots()?, provider)?,
    }))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certs: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|e| e.to_string())?;
    if certs.is_empty() { Err("there is no certificate in the PEM data".into()) } else { Ok(certs) }
}

/// Whether PEM data is a certificate and its private key; the words are Go's.
pub fn check_key_pair(cert: &[u8], key: &[u8]) -> Result<(), String> {
    let certs =
        certificates(cert).map_err(|_| "tls: failed to find any PEM data in certificate input".to_owned())?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| "tls: failed to find any PEM data in key input".to_owned())?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    match rustls::sign::CertifiedKey::from_der(certs, key, &provider) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => Err("tls: private key does not match public key".into()),
        Err(e) => Err(format!("tls: {e}")),
    }
}

/// The machine's own authorities, for servers of which the configuration names none.
fn system_roots() -> Result<Vec<u8>, Error> {
    const PLACES: [&str; 4] = [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/ssl/cert.pem",
    ];
    let from = std::env::var("SSL_CERT_FILE").ok().filter(|p| !p.is_empty());
    let mut places = from.iter().map(String::as_str).chain(PLACES);
    places.find_map(|p| std::fs::read(p).ok()).ok_or_else(|| {
        Error::Config("no certificate-authority is given and the system has no bundle of authorities".into())
    })
}

/// Verifies as webpki does, and besides accepts a server certificate that is itself among the authorities (a self-signed
/// one, which webpki refuses as an authority used as an end entity).
#[derive(Debug)]
struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    roots: Vec<CertificateDer<'static>>,
}

impl Verifier {
    fn new(pem: &[u8], provider: Arc<CryptoProvider>) -> Result<Self, Error> {
        let bad = |e: &dyn std::fmt::Display| Error::Config(format!("certificate authority: {e}"));
        let roots = certificates(pem).map_err(|e| bad(&e))?;
        let mut store = RootCertStore::empty();
        let (added, _) = store.add_parsable_certificates(roots.iter().cloned());
        if added == 0 {
            return Err(bad(&"no certificate could be used"));
        }
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider)
            .build()
            .map_err(|e| bad(&e))?;
        Ok(Self { inner, roots })
    }
}

fn within_validity(cert: &[u8], now: UnixTime) -> Result<(), rustls::Error> {
    let c = x509_cert::Certificate::from_der(cert)
        .map_err(|_| rustls::Error::InvalidCertificate(CertificateError::BadEncoding))?;
    let v = &c.tbs_certificate.validity;
    let now = now.as_secs();
    if now > v.not_after.to_unix_duration().as_secs() {
        return Err(rustls::Error::InvalidCertificate(CertificateError::Expired));
    }
    if now < v.not_before.to_unix_duration().as_secs() {
        return Err(rustls::Error::InvalidCertificate(CertificateError::NotValidYet));
    }
    Ok(())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp, now) {
            Err(_) if self.roots.iter().any(|r| r == end_entity) => {
                within_validity(end_entity, now)?;
                rustls::client::verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// `insecure-skip-tls-verify`
#[derive(Debug)]
struct AcceptAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
