//! Identities vouched for by a front proxy in headers (`--requestheader-*`;
//! apiserver `pkg/authentication/request/headerrequest`).

use crate::impersonate::unescape;
use crate::{Error, VerifyChain, cert};
use http::{HeaderMap, HeaderName};
use meta::UserInfo;
use meta::time::Timestamp;
use rustls_pki_types::CertificateDer;

/// Which proxies are believed, and where they put what they say. Header names in lower case.
pub struct FrontProxy {
    /// Whether the certificates are of `--requestheader-client-ca-file`.
    pub verify: VerifyChain,
    /// `--requestheader-allowed-names`; empty: all.
    pub allowed_names: Vec<String>,
    pub name_headers: Vec<String>,
    pub uid_headers: Vec<String>,
    pub group_headers: Vec<String>,
    pub extra_prefixes: Vec<String>,
}

impl FrontProxy {
    /// With the headers that everybody uses.
    pub fn new(verify: VerifyChain, allowed_names: Vec<String>) -> Self {
        let one = |s: &str| vec![s.to_owned()];
        Self {
            verify,
            allowed_names,
            name_headers: one("x-remote-user"),
            uid_headers: one("x-remote-uid"),
            group_headers: one("x-remote-group"),
            extra_prefixes: one("x-remote-extra-"),
        }
    }

    /// The user that a trusted proxy speaks for; `None` where the certificate is not a proxy's or no user is named.
    pub(crate) fn user(
        &self,
        certs: &[CertificateDer<'_>],
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<Option<UserInfo>, Error> {
        let Some(leaf) = certs.first() else { return Ok(None) };
        if !(self.verify)(certs, now) {
            return Err(Error::Certificate("not signed by the front proxy's authority".into()));
        }
        if !self.allowed_names.is_empty() {
            let cn = cert::common_name(leaf)?;
            if !self.allowed_names.contains(&cn) {
                return Err(Error::Certificate(format!(
                    "x509: subject with cn={cn} is not in the allowed list"
                )));
            }
        }
        let first = |names: &[String]| {
            let mut values = names.iter().filter_map(|n| headers.get(n)).map(text);
            values.find(|v| !v.is_empty()).unwrap_or_default()
        };
        let name = first(&self.name_headers);
        if name.is_empty() {
            return Ok(None);
        }
        let mut user = UserInfo { name, uid: first(&self.uid_headers), ..UserInfo::default() };
        for h in &self.group_headers {
            user.groups.extend(headers.get_all(h).iter().map(text).filter(|g| !g.is_empty()));
        }
        for prefix in &self.extra_prefixes {
            for (h, v) in headers {
                if let Some(key) = h.as_str().strip_prefix(prefix.as_str()) {
                    user.extra.entry(unescape(key)).or_default().push(text(v));
                }
            }
        }
        cert::add_authenticated(&mut user);
        Ok(Some(user))
    }

    /// Whether a request names a user in this proxy's headers.
    pub(crate) fn names_user(&self, headers: &HeaderMap) -> bool {
        self.name_headers.iter().any(|n| headers.contains_key(n))
    }

    /// Takes the headers of this proxy away.
    pub(crate) fn strip(&self, headers: &mut HeaderMap) {
        for n in self.name_headers.iter().chain(&self.uid_headers).chain(&self.group_headers) {
            headers.remove(n);
        }
        let extra: Vec<HeaderName> = headers
            .keys()
            .filter(|h| self.extra_prefixes.iter().any(|p| h.as_str().starts_with(p.as_str())))
            .cloned()
            .collect();
        for h in extra {
            headers.remove(h);
        }
    }
}

fn text(v: &http::HeaderValue) -> String {
    String::from_utf8_lossy(v.as_bytes()).into_owned()
}
