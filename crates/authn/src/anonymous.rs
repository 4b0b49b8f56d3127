//! Which requests may come without a name.
//!
//! keelson is stricter than upstream here: unless told otherwise, only probes and the version may be asked for without
//! credentials, where upstream lets everything through to the authorizer as `system:anonymous`.

use meta::object::ObjectExt;
use meta::{UserInfo, Value};

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
    /// From the field `anonymous` of an AuthenticationConfiguration: `{enabled: true, conditions: [{path: /livez}]}`.
    pub fn from_config(v: &Value) -> Self {
        let paths: Vec<String> =
            v.array_at("conditions").iter().map(|c| c.str_at("path").to_owned()).collect();
        match (v.bool_at("enabled"), paths.is_empty()) {
            (false, _) => Self::Nowhere,
            (true, true) => Self::Everywhere,
            (true, false) => Self::Paths(paths),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_configuration() {
        assert_eq!(Anonymous::from_config(&json!({"enabled": false})), Anonymous::Nowhere);
        assert_eq!(Anonymous::from_config(&json!({"enabled": true})), Anonymous::Everywhere);
        let a = Anonymous::from_config(&json!({"enabled": true, "conditions": [{"path": "/livez"}]}));
        assert!(a.user("/livez").is_some() && a.user("/api").is_none());
    }
}
