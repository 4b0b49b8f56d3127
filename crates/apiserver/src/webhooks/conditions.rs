//! `matchConditions`: CEL over the request, as of v1.30 of upstream (apiserver `pkg/admission/plugin/webhook/matchconditions`).

use crate::admit::Admission;
use crate::cx::Cx;
use crate::server::ApiServer;
use cel::authorizer::{Ask, Authorize, Decision};
use cel::{EvalError, Limits, Program, Variables};
use meta::{UserInfo, Value};
use std::sync::Arc;

/// Cost of all conditions of one webhook, at most (apiserver `apis/cel/config.go`).
const BUDGET: u64 = 10_000_000 / 4;

/// The server's authorizer, asked about the user of the request.
struct Asker {
    server: Arc<ApiServer>,
    user: UserInfo,
}

impl Authorize for Asker {
    fn authorize(&self, ask: &Ask) -> Decision {
        let user = match &ask.service_account {
            Some((ns, name)) => UserInfo {
                name: format!("system:serviceaccount:{ns}:{name}"),
                groups: vec!["system:serviceaccounts".into(), format!("system:serviceaccounts:{ns}")],
                ..UserInfo::default()
            },
            None => self.user.clone(),
        };
        let a = authz::Attributes {
            user,
            verb: ask.verb.clone(),
            namespace: ask.namespace.clone(),
            group: ask.group.clone(),
            version: "*".into(),
            resource: ask.resource.clone(),
            subresource: ask.subresource.clone(),
            name: ask.name.clone(),
            is_resource: ask.path.is_none(),
            path: ask.path.clone().unwrap_or_default(),
            ..authz::Attributes::default()
        };
        Decision { allowed: self.server.authorizer.authorize(&a).allowed(), ..Decision::default() }
    }
}

struct Vars<'a> {
    cx: &'a Cx,
    a: &'a Admission<'a>,
    object: &'a Value,
    old: &'a Value,
    request: &'a Value,
}

impl Variables for Vars<'_> {
    fn get(&self, name: &str) -> Option<Result<cel::Value, EvalError>> {
        let asker = || Arc::new(Asker { server: self.cx.server.clone(), user: self.cx.user.clone() });
        Some(Ok(match name {
            "object" => cel::json::dynamic(self.object),
            "oldObject" => cel::json::dynamic(self.old),
            "request" => cel::json::dynamic(self.request),
            "authorizer" => cel::authorizer::authorizer(asker()),
            "authorizer.requestResource" => cel::authorizer::request_resource(
                asker(),
                Ask {
                    group: self.cx.res.gvr.group.clone(),
                    resource: self.cx.res.gvr.resource.clone(),
                    subresource: self.a.subresource.to_owned(),
                    namespace: self.a.namespace.to_owned(),
                    name: self.a.name.to_owned(),
                    ..Ask::default()
                },
            ),
            _ => return None,
        }))
    }
}

/// Whether all conditions hold. One that does not decides, whatever is wrong with the others.
pub fn hold(
    cx: &Cx,
    a: &Admission<'_>,
    conditions: &[(String, Result<Program, String>)],
    object: &Value,
    old: &Value,
    request: &Value,
) -> Result<bool, String> {
    let vars = Vars { cx, a, object, old, request };
    let mut left = BUDGET;
    let mut wrong = Vec::new();
    for (name, p) in conditions {
        let p = match p {
            Ok(p) => p,
            Err(e) => {
                wrong.push(e.clone());
                continue;
            }
        };
        let (value, cost) = p.run(&vars, &Limits { cost: left, interrupt: None });
        left = left.saturating_sub(cost);
        match value {
            Ok(cel::Value::Bool(true)) => {}
            Ok(cel::Value::Bool(false)) => return Ok(false),
            Ok(_) => wrong.push(format!("match condition {name:?} did not evaluate to a bool")),
            Err(e) => {
                wrong.push(format!("expression of match condition {name:?} resulted in error: {}", e.message))
            }
        }
    }
    if wrong.is_empty() { Ok(true) } else { Err(wrong.join(", ")) }
}
