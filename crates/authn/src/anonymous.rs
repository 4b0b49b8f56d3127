//! Which requests may come without a name.
//!
//! keelson is stricter than upstream here: unless told otherwise, only probes and the version may be asked for without
//! credentials, where upstream lets everything through to the authorizer as `system:anonymous`.

use meta::UserInfo;

/// `--anonymous-auth`, or `anonymous` of an AuthenticationConfiguration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Anonymous {
    /// Every request without credentials is `system:anonymous` (upstream's default, `--anonymous-auth=true`).
    Everywhere,
    /// Only requests for exactly these paths (`conditions`).
    Paths(Vec<String>),
    /// `--anonymous-auth=false`
    Nowhere,
}

impl Default for Anonymous {
    fn default() -> Self {
        Self::Paths(["/healthz", "/livez", "/readyz", "/version", "/version/"].map(String::from).to_vec())
    }
}

impl Anonymous {
    /// The anonymous user, where this path allows one.
    pub fn user(&self, path: &str) -> Option<UserInfo> {
        let yes = match self {
            Self::Everywhere => true,
            Self::Paths(list) => list.iter().any(|p| p == path),
            Self::Nowhere => false,
        };
        yes.then(UserInfo::anonymous)
    }
}
