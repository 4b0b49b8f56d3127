//! The authenticators in upstream's order: front proxy, client certificate, bearer tokens, then anonymous
//! (pkg/kubeapiserver/authenticator/config.go).

use crate::anonymous::Anonymous;
use crate::front_proxy::FrontProxy;
use crate::static_tokens::StaticTokens;
use crate::{Authenticated, Error, Lookup, ServiceAccountTokens, bootstrap_token, cert, token};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use meta::UserInfo;
use meta::time::Timestamp;
use rustls_pki_types::CertificateDer;
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};

/// Whether a chain of certificates is good at a time: the part that knows the authorities is the TLS stack's.
pub type VerifyChain = Box<dyn Fn(&[CertificateDer<'_>], Timestamp) -> bool + Send + Sync>;

/// What there is to authenticate with.
#[derive(Default)]
pub struct Config {
    pub front_proxy: Option<FrontProxy>,
    /// Client certificates count. TLS has verified that one of the authorities it trusts signed them.
    pub client_certificates: bool,
    /// Checked besides, where TLS trusts more authorities than `--client-ca-file` (the front proxy's).
    pub client_ca: Option<VerifyChain>,
    pub static_tokens: StaticTokens,
    pub service_accounts: Option<ServiceAccountTokens>,
    /// `--enable-bootstrap-token-auth`
    pub bootstrap_tokens: bool,
    pub anonymous: Anonymous,
}

/// A request as far as authentication looks at it.
pub struct Request<'a> {
    /// The client's certificates, its own first; empty without.
    pub certs: &'a [CertificateDer<'a>],
    pub headers: &'a HeaderMap,
    pub path: &'a str,
    /// What was found out of the certificates before, kept with the connection that they came with.
    pub memo: Option<&'a Memo>,
}

/// What a connection's certificates say. They are the same with each of its requests.
#[derive(Debug, Default)]
pub struct Memo {
    named: OnceLock<Result<cert::Named, Error>>,
    /// The verdict on the chain, and the minute in which it was given.
    trusted: Mutex<Option<(i64, bool)>>,
}

impl Memo {
    fn named(&self, leaf: &[u8], now: Timestamp) -> Result<Option<UserInfo>, Error> {
        match self.named.get_or_init(|| cert::Named::from_der(leaf)) {
            Ok(n) => n.at(now),
            Err(e) => Err(e.clone()),
        }
    }
    fn trusted(&self, now: Timestamp, verify: impl FnOnce() -> bool) -> bool {
        let minute = now.seconds / 60;
        let mut known = self.trusted.lock().unwrap_or_else(PoisonError::into_inner);
        match *known {
            Some((at, verdict)) if at == minute => verdict,
            _ => {
                let verdict = verify();
                *known = Some((minute, verdict));
                verdict
            }
        }
    }
}

/// The chain.
pub struct Authenticator {
    config: Config,
}

impl Authenticator {
    pub fn new(config: Config) -> Self {
        Self { config }
    }
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Who sent the request: `None` is a request without credentials that may not be anonymous. Both that and an error
    /// are answered with 401; credentials that are wrong never make a request anonymous.
    pub fn authenticate(
        &self,
        r: &Request<'_>,
        now: Timestamp,
        lookup: &dyn Lookup,
    ) -> Result<Option<Authenticated>, Error> {
        let mut first_error = None;
        let mut note = |e: Error| {
            first_error.get_or_insert(e);
        };
        if let Some(leaf) = r.certs.first() {
            let fresh = Memo::default();
            let memo = r.memo.unwrap_or(&fresh);
            // A user's certificate is looked at as a proxy's only where the request names somebody.
            let proxied = |p: &&FrontProxy| !self.config.client_certificates || p.names_user(r.headers);
            if let Some(proxy) = self.config.front_proxy.as_ref().filter(proxied) {
                match proxy.user(r.certs, r.headers, now) {
                    Ok(Some(u)) => return Ok(Some(u.into())),
                    Ok(None) => {}
                    // A certificate that is not the proxy's may still be a user's.
                    Err(e) if self.config.client_certificates => drop(e),
                    Err(e) => note(e),
                }
            }
            if self.config.client_certificates {
                let trusted =
                    self.config.client_ca.as_ref().is_none_or(|v| memo.trusted(now, || v(r.certs, now)));
                match memo.named(leaf, now) {
                    Ok(Some(u)) if trusted => return Ok(Some(u.into())),
                    Ok(_) if !trusted => {
                        note(Error::Certificate("certificate signed by unknown authority".into()));
                    }
                    Ok(_) => {}
                    Err(e) => note(e),
                }
            }
        }
        let bearer = token::bearer(r.headers).map(str::to_owned).or_else(|| token::websocket(r.headers));
        if let Some(t) = bearer {
            match self.authenticate_token(&t, None, now, lookup) {
                Ok(Some(a)) => return Ok(Some(a)),
                Ok(None) => note(Error::InvalidBearerToken),
                Err(e) => note(e),
            }
        }
        match first_error {
            Some(e) => Err(e),
            None => Ok(self.config.anonymous.user(r.path).map(Authenticated::from)),
        }
    }

    /// Who a bearer token stands for, as TokenReview asks too. `audiences`: those asked for, where the question names
    /// any; else the API's own. An error says why a token that looked like one of ours is none.
    pub fn authenticate_token(
        &self,
        token: &str,
        audiences: Option<&[String]>,
        now: Timestamp,
        lookup: &dyn Lookup,
    ) -> Result<Option<Authenticated>, Error> {
        let c = &self.config;
        // Tokens that know of no audience are good for the API's own only.
        let own = || -> Option<Vec<String>> {
            let api = c.service_accounts.as_ref().map_or(&[][..], |s| s.audiences());
            let Some(wanted) = audiences else { return Some(api.to_vec()) };
            let both: Vec<String> = wanted.iter().filter(|a| api.contains(a)).cloned().collect();
            (!both.is_empty() || api.is_empty()).then_some(both)
        };
        let found = |user: meta::UserInfo| {
            let mut a = Authenticated::from(user);
            cert::add_authenticated(&mut a.user);
            a.audiences = own()?;
            Some(a)
        };
        let mut error = None;
        if let Some(u) = c.static_tokens.user(token)
            && let Some(a) = found(u.clone())
        {
            return Ok(Some(a));
        }
        if let Some(s) = &c.service_accounts {
            match s.authenticate(token, audiences, now, lookup) {
                Ok(Some(a)) => return Ok(Some(a)),
                Ok(None) => {}
                Err(e) => error = Some(e),
            }
        }
        if c.bootstrap_tokens
            && let Some(u) = bootstrap_token::user(token, now, lookup)
            && let Some(a) = found(u)
        {
            return Ok(Some(a));
        }
        error.map_or(Ok(None), Err)
    }

    /// Takes credentials out of a request that has been authenticated.
    pub fn strip(&self, headers: &mut HeaderMap) {
        headers.remove(AUTHORIZATION);
        static STANDARD: LazyLock<FrontProxy> =
            LazyLock::new(|| FrontProxy::new(Box::new(|_, _| false), Vec::new()));
        STANDARD.strip(headers);
        if let Some(p) = &self.config.front_proxy {
            p.strip(headers);
        }
    }
}

#[cfg(test)]
mod tests;
