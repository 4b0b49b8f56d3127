//! Looking at a server's certificates before trusting it: for a node that joins with the hash of the cluster's CA.

use crate::Error;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(10);

/// Accepts any chain: nothing is sent over such a connection, it is only looked at.
#[derive(Debug)]
struct Look(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for Look {
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
        m: &[u8],
        c: &CertificateDer<'_>,
        d: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(m, c, d, &self.0.signature_verification_algorithms)
    }
    fn verify_tls13_signature(
        &self,
        m: &[u8],
        c: &CertificateDer<'_>,
        d: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(m, c, d, &self.0.signature_verification_algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// The certificates (DER) that the server at an `https://host[:port]` URL shows, leaf first.
pub async fn certificates(server: &str) -> Result<Vec<Vec<u8>>, Error> {
    let uri: http::Uri = server.parse().map_err(|e| Error::Config(format!("server {server:?}: {e}")))?;
    if uri.scheme_str() != Some("https") {
        return Err(Error::Config(format!("server {server:?}: must begin with https://")));
    }
    let host = uri.host().ok_or_else(|| Error::Config(format!("server {server:?}: it has no host")))?;
    let bare = host.trim_matches(['[', ']']).to_owned();
    let port = uri.port_u16().unwrap_or(443);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::Config(e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Look(provider)))
        .with_no_client_auth();
    let name = ServerName::try_from(bare.clone()).map_err(|e| Error::Config(e.to_string()))?;
    let look = async {
        let tcp = TcpStream::connect((bare.as_str(), port)).await?;
        let tls = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
        let chain = tls.get_ref().1.peer_certificates().unwrap_or_default();
        Ok::<_, std::io::Error>(chain.iter().map(|c| c.to_vec()).collect())
    };
    match tokio::time::timeout(PATIENCE, look).await {
        Ok(Ok(c)) => Ok(c),
        Ok(Err(e)) => Err(Error::Transport(format!("{server}: {e}"))),
        Err(_) => Err(Error::Transport(format!("{server}: no answer within {} s", PATIENCE.as_secs()))),
    }
}
