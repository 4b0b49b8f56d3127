//! Authorizers: RBAC with upstream's bootstrap policy, Node; what escalation checks and rule reviews need.
//!
//! Everything is a function of the objects it was told of: `upsert` and `remove` keep the indexes of [`rbac::Rbac`] and
//! [`node::NodeAuthorizer`] up to date, [`Authorizer::authorize`] answers from them.

pub mod aggregate;
pub mod bootstrap;
pub mod chain;
pub mod escalation;
pub mod forbidden;
pub mod impersonate;
pub mod node;
pub mod rbac;
pub mod reconcile;
pub mod rule;

pub use chain::{AlwaysAllow, AlwaysDeny, Chain, PrivilegedGroup};
pub use forbidden::forbidden;
pub use rule::PolicyRule;

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

impl Decision {
    pub fn allowed(&self) -> bool {
        matches!(self, Self::Allow(_))
    }
    pub fn reason(&self) -> &str {
        match self {
            Self::Allow(r) | Self::Deny(r) | Self::NoOpinion(r) => r,
        }
    }
}

/// What a user may do in a namespace, as `SelfSubjectRulesReview` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    pub rules: Vec<PolicyRule>,
    /// The list is not the whole truth: an authorizer could not enumerate its rules.
    pub incomplete: bool,
    pub errors: Vec<String>,
}

/// One authorizer of the chain; the first that has an opinion decides, none means no.
pub trait Authorizer: Send + Sync {
    fn authorize(&self, a: &Attributes) -> Decision;
    /// The rules that apply to a user in a namespace (empty: cluster-wide only).
    fn rules_for(&self, _user: &UserInfo, _namespace: &str) -> Rules {
        Rules::default()
    }
}
