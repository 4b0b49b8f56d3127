//! `pods/eviction`: a delete that respects disruption budgets (kubernetes `pkg/registry/core/pod/storage/eviction.go`).

use super::binding::set_condition;
use super::{decode, success};
use crate::admit::{self, Admission};
use crate::body::Expect;
use crate::cx::Cx;
use crate::delete::delete_object;
use crate::options::{DeleteOptions, WriteOptions};
use crate::write::modify;
use crate::{Failure, Result, object, read};
use bytes::Bytes;
use http::{Response, StatusCode};
use meta::object::ObjectExt;
use meta::{FieldError, GroupKind, GroupResource, GroupVersionKind, Path, Reason, Status, Value};
use serve::Body;
use std::time::Duration;

const TRIES: usize = 20;
const PAUSE: Duration = Duration::from_millis(500);
const MAX_DISRUPTED: usize = 2000;

pub async fn create(cx: &Cx, input: &Bytes) -> Result<Response<Body>> {
    let opts = WriteOptions::parse(&cx.query, "CreateOptions", false)?;
    let want = Expect { group: "policy", version: "v1", kind: "Eviction", any_version: false };
    let mut e = decode(cx, input, &want, &opts)?;
    crate::prepare::match_namespace(&cx.res, &cx.info.namespace, &mut e)?;
    let name = cx.info.name.as_str();
    let gvk = GroupVersionKind::new("policy", "v1", "Eviction");
    let mut o = DeleteOptions::from_value(e.get("deleteOptions").unwrap_or(&Value::Null))?;
    o.dry_run |= opts.dry_run;
    let a = Admission {
        operation: admission::Operation::Create,
        subresource: "eviction",
        namespace: &cx.info.namespace,
        name,
        dry_run: o.dry_run,
        kind: Some(&gvk),
        options: &|| opts.shown(&cx.query, "CreateOptions"),
    };
    admit::mutate(cx, &a, Some(&mut e), None).await?;
    if e.name() != name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object").into());
    }
    if o.ignore_store_read_error {
        let at = Path::new("deleteOptions").child("ignoreStoreReadErrorWithClusterBreakingPotential");
        let why = "can not be set for pod eviction, try after removing the option";
        let kind = GroupKind::new("policy", "Eviction");
        return Err(Status::invalid(&kind, name, &vec![FieldError::invalid(&at, true, why)]).into());
    }
    admit::validate(cx, &a, Some(&mut e.clone()), None).await?;
    evict(cx, name, &o).await?;
    success(cx, StatusCode::CREATED)
}

async fn pod(cx: &Cx) -> Result<Value> {
    let r = read::record(cx, "").await?;
    object::decode(&cx.res, &r).await
}

/// Pods that disrupt nobody any more, or nobody yet.
fn ignores_budget(pod: &Value) -> bool {
    matches!(pod.str_at("status.phase"), "Succeeded" | "Failed" | "Pending" | "")
        || pod.deletion_timestamp().is_some()
}

async fn evict(cx: &Cx, name: &str, o: &DeleteOptions) -> Result<()> {
    let own_version = o.resource_version.is_some();
    let mut current = pod(cx).await?;
    for _ in 0..TRIES {
        if !ignores_budget(&current) {
            break;
        }
        let mut d = o.clone();
        let ended = matches!(current.str_at("status.phase"), "Succeeded" | "Failed")
            || current.deletion_timestamp().is_some();
        if !ended && !own_version {
            // It might become ready meanwhile, and then count.
            d.resource_version = Some(current.resource_version().to_owned());
        }
        match mark_and_delete(cx, name, &d).await {
            Err(e) if e.is(Reason::Conflict) && !own_version => {
                tokio::time::sleep(PAUSE).await;
                current = pod(cx).await?;
            }
            other => return other,
        }
    }
    let budgets = budgets(cx, &current).await?;
    let mut d = o.clone();
    let mut pinned = false;
    let mut budget_name = String::new();
    match budgets.as_slice() {
        [] => {}
        [one] => {
            budget_name = one.name().to_owned();
            if unready_may_go(&current, one) {
                pinned = true;
                d.resource_version = Some(current.resource_version().to_owned());
            } else {
                charge(cx, &budget_name, name, o.dry_run).await?;
            }
        }
        _ => {
            let text = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
            return Err(Status::failure(Reason::Unknown, text).into());
        }
    }
    match mark_and_delete(cx, name, &d).await {
        Err(e) if e.is(Reason::Conflict) && pinned && !own_version => Err(being_processed(&budget_name)),
        other => other,
    }
}

fn is_ready(pod: &Value) -> bool {
    pod.array_at("status.conditions")
        .iter()
        .any(|c| c.str_at("type") == "Ready" && c.str_at("status") == "True")
}

/// An unready pod does not count among the healthy ones, and may go where the policy or the others' health allow it.
fn unready_may_go(pod: &Value, pdb: &Value) -> bool {
    if is_ready(pod) {
        return false;
    }
    let n = |p: &str| pdb.i64_at(p).unwrap_or(0);
    pdb.str_at("spec.unhealthyPodEvictionPolicy") == "AlwaysAllow"
        || n("status.currentHealthy") >= n("status.desiredHealthy") && n("status.desiredHealthy") > 0
}

async fn budgets(cx: &Cx, pod: &Value) -> Result<Vec<Value>> {
    if pod.labels().is_none_or(|l| l.is_empty()) {
        return Ok(Vec::new());
    }
    let l = crate::lookup::Lookup(&cx.server);
    let all = admission::Lookup::list(&l, "policy", "poddisruptionbudgets", &cx.info.namespace);
    let mut out = Vec::new();
    for b in all {
        let Ok(selector) = meta::labels::from_label_selector(b.at("spec.selector")) else { continue };
        if selector.matches_object(pod) {
            out.push((*b).clone());
        }
    }
    Ok(out)
}

fn being_processed(budget: &str) -> Failure {
    let why = format!("The disruption budget {budget} is still being processed by the server.");
    too_many(10).with_cause("DisruptionBudget", why, "").into()
}

fn too_many(retry: i32) -> Status {
    Status::too_many_requests("Cannot evict pod as it would violate the pod's disruption budget.", retry)
}

/// Takes one disruption from a budget.
async fn charge(cx: &Cx, budget: &str, pod: &str, dry_run: bool) -> Result<()> {
    let info = cx
        .server
        .registry()
        .any_version("policy", "poddisruptionbudgets")
        .cloned()
        .ok_or_else(Status::no_such_resource)?;
    let mut bcx = cx.on(info);
    bcx.info.name = budget.to_owned();
    let now = cx.now.rfc3339();
    modify(&bcx, budget, dry_run, &mut |b| take_disruption(b, pod, &now)).await.map(|_| ())
}

fn take_disruption(b: &mut Value, pod: &str, now: &str) -> Result<()> {
    let name = b.name().to_owned();
    let n = |p: &str| b.i64_at(p).unwrap_or(0);
    if n("status.observedGeneration") < b.generation() {
        return Err(being_processed(&name));
    }
    let forbidden = |why: &str| -> Failure {
        Status::forbidden(&GroupResource::new("policy", "poddisruptionbudget"), &name, why).into()
    };
    let allowed = n("status.disruptionsAllowed");
    if allowed < 0 {
        return Err(forbidden("pdb disruptions allowed is negative"));
    }
    let disrupted = b.at("status.disruptedPods").and_then(Value::as_object).map_or(0, |m| m.len());
    if disrupted > MAX_DISRUPTED {
        return Err(forbidden(
            "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
        ));
    }
    if allowed == 0 {
        let c = b.array_at("status.conditions").iter().find(|c| c.str_at("type") == "DisruptionAllowed");
        let why = match c {
            Some(c) if c.str_at("reason") == "SyncFailed" => format!(
                "The disruption budget {name} does not allow evicting pods currently because it failed sync: {}",
                c.str_at("message")
            ),
            _ => format!(
                "The disruption budget {name} needs {} healthy pods and has {} currently",
                n("status.desiredHealthy"),
                n("status.currentHealthy")
            ),
        };
        return Err(too_many(0).with_cause("DisruptionBudget", why, "").into());
    }
    if allowed == 1 {
        let observed = n("status.observedGeneration");
        let mut all = b.array_at("status.conditions").to_vec();
        let fresh = serde_json::json!({
            "type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods", "message": "",
            "observedGeneration": observed, "lastTransitionTime": now,
        });
        match all.iter_mut().find(|c| c.str_at("type") == "DisruptionAllowed") {
            Some(c) if c.str_at("status") == "False" => {
                c["reason"] = "InsufficientPods".into();
                c["observedGeneration"] = observed.into();
            }
            Some(c) => *c = fresh,
            None => all.push(fresh),
        }
        b.set_at("status.conditions", all);
    }
    b.set_at("status.disruptionsAllowed", allowed - 1);
    let mut pods = b.at("status.disruptedPods").and_then(Value::as_object).cloned().unwrap_or_default();
    pods.insert(pod.to_owned(), now.into());
    b.set_at("status.disruptedPods", Value::Object(pods));
    Ok(())
}

/// Tells the pod why it goes, and deletes it.
async fn mark_and_delete(cx: &Cx, name: &str, o: &DeleteOptions) -> Result<()> {
    let mut o = o.clone();
    if !o.dry_run {
        let now = cx.now.rfc3339();
        let (uid, version) = (o.uid.clone(), o.resource_version.clone());
        let marked = modify(cx, name, false, &mut |pod| {
            let conflict = |what: &str, want: &str, have: &str, end: &str| {
                let why = format!(
                    "the {what} in the precondition ({want}) does not match the {what} in record ({have}). The object might have been {end}"
                );
                Err(Status::conflict(&GroupResource::new("", "Pod"), name, &why).into())
            };
            if let Some(u) = uid.as_deref().filter(|u| !u.is_empty() && *u != pod.uid()) {
                return conflict("UID", u, pod.uid(), "deleted and then recreated");
            }
            if let Some(v) = version.as_deref().filter(|v| !v.is_empty() && *v != pod.resource_version()) {
                return conflict("ResourceVersion", v, pod.resource_version(), "modified");
            }
            set_condition(pod, "DisruptionTarget", "EvictionByEvictionAPI", "Eviction API: evicting", &now);
            Ok(())
        })
        .await?;
        if o.resource_version.is_some() {
            o.resource_version = Some(marked.value(&cx.res).await?.resource_version().to_owned());
        }
    }
    delete_object(cx, name, &o).await.map(|_| ())
}
