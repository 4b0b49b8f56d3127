//! Admission webhooks (apiserver `pkg/admission/plugin/webhook`).
//!
//! [`Webhooks`] holds the configurations of the store, taken in again at each write of one; [`matching`] says which of
//! them a request concerns, [`review`] is what is said to and by a webhook, [`calling`] one call. Mutating webhooks are
//! called one after the other, validating ones all at once.

mod calling;
mod config;
mod matching;
pub(crate) mod review;

use crate::admit::Admission;
use crate::crd::webhook::Hook;
use crate::cx::Cx;
use crate::object::decode_builtin;
use crate::registry::ResourceInfo;
use crate::server::ApiServer;
use crate::{Failure, Result};
use arc_swap::ArcSwap;
use calling::{Call, Fault};
use config::Webhook;
use futures::future::join_all;
use matching::{Found, Versioned};
use meta::{Status, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use storage::{Watch, WatchItem};

pub const GROUP: &str = "admissionregistration.k8s.io";
const MUTATING: &str = "mutatingwebhookconfigurations";
const VALIDATING: &str = "validatingwebhookconfigurations";
const RETRY: Duration = Duration::from_secs(1);

/// Kinds that no webhook may stand before: it could not be repaired.
const EXEMPT: [&str; 6] = [
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
];

/// Questions about users, which webhooks themselves may need answered.
const VIRTUAL: [(&str, &str); 6] = [
    ("authentication.k8s.io", "selfsubjectreviews"),
    ("authentication.k8s.io", "tokenreviews"),
    ("authorization.k8s.io", "localsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
    ("authorization.k8s.io", "subjectaccessreviews"),
];

/// The webhooks of one kind of configuration, in the order in which they are called.
type List = Arc<Vec<Arc<Webhook>>>;

/// All webhooks, as the store's configurations have them.
#[derive(Default)]
pub struct Webhooks {
    mutating: ArcSwap<Vec<Arc<Webhook>>>,
    validating: ArcSwap<Vec<Arc<Webhook>>>,
    /// Connections, by client configuration; held while the configurations are taken in.
    hooks: Mutex<BTreeMap<String, Arc<Hook>>>,
}

/// What one round of mutating webhooks leaves for the second.
#[derive(Default)]
pub struct Rounds {
    /// Something changed the object: all mutating plugins are asked once more.
    pub again: bool,
    /// This is the second round.
    pub second: bool,
    /// The object as the webhooks left it.
    output: Option<Value>,
    /// Webhooks that want to see later changes and were called since the last.
    called: BTreeSet<String>,
    /// Webhooks to be called again.
    wanted: BTreeSet<String>,
}

impl Rounds {
    fn changed(&mut self) {
        let called = std::mem::take(&mut self.called);
        self.wanted.extend(called);
    }
}

fn info(s: &ApiServer, resource: &str) -> Option<Arc<ResourceInfo>> {
    s.registry().any_version(GROUP, resource).cloned()
}

/// Takes in the configurations that the store holds; answers their revision.
pub fn load(s: &ApiServer) -> i64 {
    let mut hooks = s.webhooks.hooks.lock().unwrap_or_else(PoisonError::into_inner);
    // Under the lock, so that an older state never replaces a newer one.
    let snap = s.store.cached();
    let mut kept = BTreeMap::new();
    for (resource, slot) in [(MUTATING, &s.webhooks.mutating), (VALIDATING, &s.webhooks.validating)] {
        let mut all = Vec::new();
        if s.admission.outside().contains(&plugin(resource))
            && let Some(i) = info(s, resource)
        {
            // In the order of keys, which is that of names.
            snap.scan(&i.prefix, "", &mut |r| {
                match decode_builtin(&i, r) {
                    Ok((v, _)) => {
                        all.extend(config::parse(&v, |key, target| {
                            let hook = hooks.get(key).cloned().unwrap_or_else(|| Arc::new(Hook::new(target)));
                            kept.insert(key.to_owned(), hook.clone());
                            hook
                        }));
                    }
                    Err(e) => {
                        tracing::error!(key = %r.key, error = %e, "a webhook configuration cannot be read");
                    }
                }
                true
            });
        }
        slot.store(Arc::new(all));
    }
    *hooks = kept;
    snap.revision()
}

fn plugin(resource: &str) -> &'static str {
    if resource == MUTATING { "MutatingAdmissionWebhook" } else { "ValidatingAdmissionWebhook" }
}

/// Follows the configurations until the server stops: others may write them too.
pub async fn follow(s: Arc<ApiServer>) {
    loop {
        let revision = load(&s);
        let watch = |resource: &str| s.store.watch(&info(&s, resource)?.prefix, revision).ok();
        match (watch(MUTATING), watch(VALIDATING)) {
            (Some(mut a), Some(mut b)) => {
                if !changed(&mut *a, &mut *b).await {
                    return;
                }
            }
            _ => tokio::time::sleep(RETRY).await,
        }
    }
}

/// Ends when something changed; false: the store is closing.
async fn changed(a: &mut dyn Watch, b: &mut dyn Watch) -> bool {
    loop {
        let item = tokio::select! { i = a.next() => i, i = b.next() => i };
        match item {
            None => return false,
            Some(WatchItem::Progress(_)) => {}
            Some(_) => return true,
        }
    }
}

/// Whether there are mutating webhooks.
pub fn mutating(cx: &Cx) -> bool {
    !cx.server.webhooks.mutating.load().is_empty()
}
/// Whether there are validating webhooks.
pub fn validating(cx: &Cx) -> bool {
    !cx.server.webhooks.validating.load().is_empty()
}

/// Whether webhooks are asked about this at all.
fn exempt(cx: &Cx, a: &Admission<'_>) -> bool {
    let kind = a.kind.unwrap_or(&cx.res.gvk);
    if kind.group == GROUP && EXEMPT.contains(&kind.kind.as_str()) {
        return true;
    }
    VIRTUAL.contains(&(cx.res.gvr.group.as_str(), cx.res.gvr.resource.as_str()))
        && schema::facts::gate("ExcludeAdmissionWebhookVirtualResources")
}

/// Lets the mutating webhooks change the object.
pub async fn mutate(
    cx: &Cx,
    a: &Admission<'_>,
    mut obj: Option<&mut Value>,
    old: Option<&Value>,
    rounds: &mut Rounds,
) -> Result<()> {
    let all: List = cx.server.webhooks.mutating.load_full();
    if all.is_empty() || exempt(cx, a) {
        return Ok(());
    }
    if rounds.second && rounds.output.as_ref() != obj.as_deref() {
        // The plugins changed the object in between.
        rounds.changed();
    }
    let done = each(cx, a, obj.as_deref_mut(), old, rounds, &all).await;
    rounds.output = obj.as_deref().cloned();
    done
}

async fn each(
    cx: &Cx,
    a: &Admission<'_>,
    mut obj: Option<&mut Value>,
    old: Option<&Value>,
    rounds: &mut Rounds,
    all: &[Arc<Webhook>],
) -> Result<()> {
    let round = u8::from(rounds.second);
    for (i, w) in all.iter().enumerate() {
        let Some(found) = matching::find(cx, a, obj.as_deref(), old, w)? else { continue };
        let versioned = Versioned::new(cx, a, &found, obj.as_deref(), old).await?;
        if !w.conditions.is_empty() && !matching::conditions(cx, a, w, &found, &versioned)? {
            continue;
        }
        if rounds.second && !rounds.wanted.contains(&w.uid) {
            continue;
        }
        let called =
            calling::call(Call { cx, a, w, found: &found, mutating: true, object: &versioned }).await;
        let key = |p: &str| format!("{p}round_{round}_index_{i}");
        let mut was_changed = false;
        let failed = match called {
            Ok(None) => None,
            Ok(Some(patch)) => match apply(cx, a, w, &found, obj.as_deref_mut(), &versioned, &patch).await {
                Ok(c) => {
                    was_changed = c;
                    let note = serde_json::json!({
                        "configuration": w.configuration, "webhook": w.name, "patch": patch, "patchType": "JSONPatch",
                    });
                    cx.annotate(&key("patch.webhook.admission.k8s.io/"), &note.to_string());
                    None
                }
                Err(f) => Some(f),
            },
            Err(f) => Some(f),
        };
        let note =
            serde_json::json!({"configuration": w.configuration, "webhook": w.name, "mutated": was_changed});
        cx.annotate(&key("mutation.webhook.admission.k8s.io/"), &note.to_string());
        if was_changed {
            rounds.changed();
            rounds.again = true;
        }
        if w.reinvoke {
            rounds.called.insert(w.uid.clone());
        }
        match failed {
            None => {}
            Some(f) if w.ignores(&f) => {
                tracing::warn!(webhook = w.name, error = %f, "failed calling webhook, failing open");
                cx.annotate(&key("failed-open.mutation.webhook.admission.k8s.io/"), &w.name);
            }
            Some(f) => return Err(f.failure(w)),
        }
    }
    Ok(())
}

/// Applies a patch to the object; true where that changed it.
async fn apply(
    cx: &Cx,
    a: &Admission<'_>,
    w: &Webhook,
    found: &Found,
    obj: Option<&mut Value>,
    v: &Versioned,
    patch: &Value,
) -> std::result::Result<bool, Fault> {
    let internal = |e: String| Fault::Rejected(Status::internal(e).into());
    let (Some(obj), Some(wire)) = (obj, &v.object) else {
        return Err(internal(format!(
            "admission webhook {:?} attempted to modify the object, which is not supported for this operation",
            w.name
        )));
    };
    let patched = patch::json_patch(wire, patch).map_err(|e| internal(e.to_string()))?;
    let next = matching::back(cx, a, found, patched).await.map_err(Fault::Rejected)?;
    let changed = *obj != next;
    *obj = next;
    Ok(changed)
}

/// Asks the validating webhooks about the final object.
pub async fn validate(cx: &Cx, a: &Admission<'_>, obj: Option<&Value>, old: Option<&Value>) -> Result<()> {
    let all: List = cx.server.webhooks.validating.load_full();
    if all.is_empty() || exempt(cx, a) {
        return Ok(());
    }
    // What is sent, by the resource it is sent as.
    let mut forms: Vec<(Found, Arc<Versioned>)> = Vec::new();
    let mut asked: Vec<(&Arc<Webhook>, usize)> = Vec::new();
    for w in all.iter() {
        let Some(found) = matching::find(cx, a, obj, old, w)? else { continue };
        let at = match forms.iter().position(|(f, _)| f.same(&found)) {
            Some(i) => i,
            None => {
                let v = Versioned::new(cx, a, &found, obj, old).await?;
                forms.push((found, Arc::new(v)));
                forms.len() - 1
            }
        };
        let (found, v) = &forms[at];
        if w.conditions.is_empty() || matching::conditions(cx, a, w, found, v)? {
            asked.push((w, at));
        }
    }
    let calls = asked.iter().map(|(w, at)| {
        let (found, v) = &forms[*at];
        calling::call(Call { cx, a, w, found, mutating: false, object: v })
    });
    let mut first: Option<Failure> = None;
    for (i, (answer, (w, _))) in join_all(calls).await.into_iter().zip(&asked).enumerate() {
        match answer {
            Ok(_) => {}
            Err(f) if w.ignores(&f) => {
                tracing::warn!(webhook = w.name, error = %f, "failed calling webhook, failing open");
                let key = format!("failed-open.validating.webhook.admission.k8s.io/round_0_index_{i}");
                cx.annotate(&key, &w.name);
            }
            Err(f) => drop(first.get_or_insert(f.failure(w))),
        }
    }
    first.map_or(Ok(()), Err)
}

/// Before and after each write: configurations hold from the answer on.
pub fn written(cx: &Cx) {
    if cx.res.gvr.group == GROUP && matches!(cx.res.gvr.resource.as_str(), MUTATING | VALIDATING) {
        load(&cx.server);
    }
}
