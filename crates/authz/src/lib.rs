//! Authorizers: RBAC with upstream's bootstrap policy, Node.

use meta::UserInfo;

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct Attributes {
    pub user: UserInfo,
    pub verb: String,
    pub namespace: String,
    pub group: String,
    pub version: String,
    pub resource: String,
    pub subresource: String,
    pub name: String,
    /// False for paths that are no resource; then `path` says which.
    pub is_resource: bool,
    pub path: String,
    /// The request's field selector, when it has one (`spec.nodeName=n1`).
    pub field_selector: Option<meta::selector::FieldSelector>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Allow(String),
    Deny(String),
    NoOpinion(String),
}

/// One authorizer of the chain; the first that has an opinion decides, none means no.
pub trait Authorizer: Send + Sync {
    fn authorize(&self, a: &Attributes) -> Decision;
}
