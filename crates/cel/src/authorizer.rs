//! Questions to the authorizer (apiserver `pkg/cel/library/authz.go`).

use crate::Value;
use crate::eval::{Eval, EvalError};
use crate::value::Opaque;
use meta::names;
use std::fmt;
use std::sync::Arc;

/// Answers whether someone may do something. The one who asks first is the user of the request.
pub trait Authorize: Send + Sync {
    fn authorize(&self, ask: &Ask) -> Decision;
}

/// What is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// Namespace and name, if it is not about the user of the request.
    pub service_account: Option<(String, String)>,
    pub verb: String,
    /// Of a request that is not for a resource.
    pub path: Option<String>,
    pub group: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    pub field_selector: String,
    pub label_selector: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    pub reason: String,
    pub error: Option<String>,
}

impl Decision {
    pub fn part(&self, f: &str) -> Option<Value> {
        Some(match f {
            "allowed" => self.allowed.into(),
            "reason" => self.reason.clone().into(),
            "errored" => self.error.is_some().into(),
            "error" => self.error.clone().unwrap_or_default().into(),
            _ => return None,
        })
    }
}

/// Someone who may be asked about.
#[derive(Clone)]
pub struct Subject {
    by: Arc<dyn Authorize>,
    service_account: Option<(String, String)>,
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subject({:?})", self.service_account)
    }
}

/// A question that lacks its verb.
#[derive(Clone, Debug)]
pub struct Check {
    subject: Subject,
    ask: Ask,
    kind: CheckKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CheckKind {
    Path,
    Group,
    Resource,
}

impl Check {
    pub fn type_name(&self) -> &'static str {
        match self.kind {
            CheckKind::Path => "kubernetes.authorization.PathCheck",
            CheckKind::Group => "kubernetes.authorization.GroupCheck",
            CheckKind::Resource => "kubernetes.authorization.ResourceCheck",
        }
    }
}

/// The variable `authorizer`.
pub fn authorizer(by: Arc<dyn Authorize>) -> Value {
    Opaque::Authorizer(Subject { by, service_account: None }).into()
}

/// The variable `authorizer.requestResource`.
pub fn request_resource(by: Arc<dyn Authorize>, ask: Ask) -> Value {
    Opaque::Check(Check { subject: Subject { by, service_account: None }, ask, kind: CheckKind::Resource })
        .into()
}

fn fail(what: &str) -> Eval {
    Err(EvalError::new(what))
}

pub fn two(f: &str, o: &Opaque, s: &str) -> Option<Eval> {
    let check = |subject: &Subject, ask: Ask, kind: CheckKind| {
        Ok(Opaque::Check(Check { subject: subject.clone(), ask, kind }).into())
    };
    let s = s.to_owned();
    match o {
        Opaque::Authorizer(a) => Some(match f {
            "path" if s.trim().is_empty() => fail("path must not be empty"),
            "path" => check(a, Ask { path: Some(s), ..Ask::default() }, CheckKind::Path),
            "group" => check(a, Ask { group: s, ..Ask::default() }, CheckKind::Group),
            _ => return None,
        }),
        Opaque::Check(c) => {
            let mut ask = c.ask.clone();
            let mut kind = c.kind;
            match (f, c.kind) {
                ("resource", CheckKind::Group) => {
                    if s.trim().is_empty() {
                        return Some(fail("resource must not be empty"));
                    }
                    ask.resource = s;
                    kind = CheckKind::Resource;
                }
                ("subresource", CheckKind::Resource) => ask.subresource = s,
                ("namespace", CheckKind::Resource) => ask.namespace = s,
                ("name", CheckKind::Resource) => ask.name = s,
                ("fieldSelector", CheckKind::Resource) => ask.field_selector = s,
                ("labelSelector", CheckKind::Resource) => ask.label_selector = s,
                ("check", CheckKind::Resource | CheckKind::Path) => {
                    ask.verb = s;
                    ask.service_account.clone_from(&c.subject.service_account);
                    return Some(Ok(Opaque::Decision(c.subject.by.authorize(&ask)).into()));
                }
                _ => return None,
            }
            Some(check(&c.subject, ask, kind))
        }
        _ => None,
    }
}

pub fn more(f: &str, args: &[Value]) -> Option<Eval> {
    let ("serviceAccount", [Value::Opaque(o), Value::String(ns), Value::String(name)]) = (f, args) else {
        return None;
    };
    let Opaque::Authorizer(a) = o.as_ref() else { return None };
    if !names::is_dns1123_subdomain(name).is_empty() {
        return Some(fail("Invalid service account name"));
    }
    if !names::is_dns1123_label(ns).is_empty() {
        return Some(fail("Invalid service account namespace"));
    }
    let service_account = Some((ns.to_string(), name.to_string()));
    Some(Ok(Opaque::Authorizer(Subject { by: a.by.clone(), service_account }).into()))
}
