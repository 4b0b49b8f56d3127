//! The `Authorization` header: tokens, token files, credential plugins.

use crate::Error;
use crate::config::exec::Credential;
use crate::config::{Auth, Config};
use base64::Engine;
use http::HeaderValue;
use runtime::Clock;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::{Duration, Instant};

/// How long a token read from a file is used before the file is read again.
const TOKEN_FILE_AGE: Duration = Duration::from_secs(60);

/// A client certificate that a credential plugin gave, for new connections.
#[derive(Clone, Default)]
pub struct CertSlot(Arc<Mutex<Option<CertAndKey>>>);

/// PEM of certificates and of their key.
type CertAndKey = (Vec<u8>, Vec<u8>);

impl CertSlot {
    pub fn get(&self) -> Option<CertAndKey> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    fn set(&self, c: Option<CertAndKey>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = c;
    }
}

/// Who the client says it is.
pub struct Credentials {
    auth: Auth,
    clock: Clock,
    cert: CertSlot,
    /// The token of a file and when it was read; the plugin's answer. Held while either is fetched.
    cached: tokio::sync::Mutex<Cached>,
}

#[derive(Default)]
struct Cached {
    file: Option<(String, Instant)>,
    plugin: Option<Credential>,
}

fn bearer(token: &str) -> Result<HeaderValue, Error> {
    let mut v = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| Error::Config("the token has characters that a header may not have".into()))?;
    v.set_sensitive(true);
    Ok(v)
}

impl Credentials {
    pub fn new(config: &Config, clock: Clock) -> Self {
        Self {
            auth: config.auth.clone(),
            clock,
            cert: CertSlot::default(),
            cached: tokio::sync::Mutex::default(),
        }
    }
    pub fn cert_slot(&self) -> CertSlot {
        self.cert.clone()
    }
    pub async fn authorization(&self) -> Result<Option<HeaderValue>, Error> {
        match &self.auth {
            Auth::None => Ok(None),
            Auth::Token(t) => bearer(t).map(Some),
            Auth::Basic { username, password } => {
                let text = base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}"));
                let v = HeaderValue::from_str(&format!("Basic {text}"));
                v.map(Some).map_err(|e| Error::Config(e.to_string()))
            }
            Auth::TokenFile(path) => {
                let mut c = self.cached.lock().await;
                if let Some((t, at)) = &c.file
                    && at.elapsed() < TOKEN_FILE_AGE
                {
                    return bearer(t).map(Some);
                }
                match tokio::fs::read_to_string(path).await {
                    Ok(t) => {
                        let t = t.trim().to_owned();
                        let v = bearer(&t)?;
                        c.file = Some((t, Instant::now()));
                        Ok(Some(v))
                    }
                    // The file may be just being replaced: the old token still works for a while.
                    Err(e) => match &c.file {
                        Some((t, _)) => bearer(t).map(Some),
                        None => {
                            Err(Error::Config(format!("failed to read token file {}: {e}", path.display())))
                        }
                    },
                }
            }
            Auth::Exec(exec) => {
                let mut c = self.cached.lock().await;
                let now = self.clock.unix_seconds();
                let fresh = c.plugin.as_ref().is_some_and(|p| p.expires.is_none_or(|e| e > now));
                if !fresh {
                    let got = exec.run().await?;
                    self.cert.set(got.client_cert.clone());
                    c.plugin = Some(got);
                }
                let token = c.plugin.as_ref().and_then(|p| p.token.as_deref());
                token.map(bearer).transpose()
            }
        }
    }
    /// After a 401: forget what was cached; answers whether there is anything new to try.
    pub async fn forget(&self) -> bool {
        let mut c = self.cached.lock().await;
        let had = c.plugin.is_some() || c.file.is_some();
        *c = Cached::default();
        had
    }
}
