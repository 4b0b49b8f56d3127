//! Mutating policies (apiserver `pkg/admission/plugin/policy/mutating`).

use super::input::{input, object, param, param_namespace};
use super::validate::refused;
use super::{Kept, all, bound, exempt, matching, params};
use crate::admit::Admission;
use crate::cx::Cx;
use crate::registry::Codec;
use crate::{Result, body, managed};
use admission::Operation;
use cel::policy::{Change, Mutating};
use meta::object::ObjectExt;
use meta::{GroupVersion, GroupVersionKind, Value};
use patch::typed;
use schema::Node;

/// Lets the mutating policies change the object. `second`: only those that may run again.
pub async fn mutate(
    cx: &Cx,
    a: &Admission<'_>,
    obj: Option<&mut Value>,
    old: Option<&Value>,
    second: bool,
) -> Result<()> {
    let Some(obj) = obj else { return Ok(()) };
    if exempt(&cx.res) || !matches!(a.operation, Operation::Create | Operation::Update) {
        return Ok(());
    }
    let p = &cx.server.policies;
    let policies = all(cx, "mutatingadmissionpolicies", &p.mutating, Mutating::compile);
    if policies.is_empty() {
        return Ok(());
    }
    let bindings = all(cx, "mutatingadmissionpolicybindings", &p.mutating_bindings, |_| ());
    // Policies run again when others changed the object after them.
    let mut again: Vec<usize> = Vec::new();
    for (n, p) in policies.iter().enumerate() {
        if second && !p.made.reinvoke {
            continue;
        }
        if run(cx, a, obj, old, p, &bindings).await? {
            again = (0..n).filter(|i| policies[*i].made.reinvoke).collect();
        }
    }
    for i in again {
        run(cx, a, obj, old, &policies[i], &bindings).await?;
    }
    Ok(())
}

/// Runs one policy with all its bindings; whether the object changed.
async fn run(
    cx: &Cx,
    a: &Admission<'_>,
    obj: &mut Value,
    old: Option<&Value>,
    p: &Kept<Mutating>,
    bindings: &[std::sync::Arc<Kept<()>>],
) -> Result<bool> {
    let fail = |obj: &Value, b: Option<&Kept<()>>, why: String| -> Result<()> {
        if !p.made.fails() {
            return Ok(());
        }
        let message = match b {
            Some(b) => format!("policy '{}' with binding '{}' denied request: {why}", p.name, b.name),
            None => format!("policy \"{}\" denied request: {why}", p.name),
        };
        Err(refused(cx, a, Some(obj), message, "Invalid").into())
    };
    let mut changed = false;
    let matched = match matching::matches(cx, a, p.spec.at("matchConstraints"), Some(obj), old) {
        Ok(Some(m)) => m,
        Ok(None) => return Ok(false),
        Err(e) => return fail(obj, None, format!("failed to configure policy: {e}")).map(|()| false),
    };
    let kind = match params::kind(cx, &p.spec) {
        Ok(k) => k,
        Err(e) => return fail(obj, None, format!("failed to configure policy: {e}")).map(|()| false),
    };
    let own = a.kind.unwrap_or(&cx.res.gvk);
    let gvk: &GroupVersionKind = if matched.gvr == cx.res.gvr { own } else { &matched.gvk };
    for b in bound(&p.name, bindings) {
        match matching::matches(cx, a, b.spec.at("matchResources"), Some(obj), old) {
            Ok(Some(_)) => {}
            Ok(None) => continue,
            Err(e) => {
                fail(obj, Some(b), format!("failed to configure binding: {e}"))?;
                continue;
            }
        }
        let namespace = param_namespace(cx, a, Some(obj)).to_owned();
        let found = match params::collect(cx, kind.as_deref(), &b.spec, &namespace).await {
            Ok(f) => f,
            Err(e) => {
                fail(obj, Some(b), format!("failed to configure binding: {e}"))?;
                continue;
            }
        };
        for f in &found {
            let mut i = input(cx, a, &matched, gvk, Some(obj), old);
            i.params = param(kind.as_deref(), f.as_ref());
            match p.made.matches(&i) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(e) => {
                    fail(obj, Some(b), e)?;
                    continue;
                }
            }
            for n in 0..p.made.len() {
                i.object = object(&cx.res, own, Some(obj));
                let new = p.made.change(n, &i).and_then(|c| applied(cx, own, obj, c));
                match new {
                    Ok(new) => {
                        changed |= new != *obj;
                        *obj = new;
                    }
                    Err(e) => fail(obj, Some(b), e)?,
                }
            }
        }
    }
    Ok(changed)
}

/// The object with a change made to it, decoded and defaulted.
fn applied(cx: &Cx, kind: &GroupVersionKind, obj: &Value, c: Change) -> std::result::Result<Value, String> {
    let own = *kind == cx.res.gvk;
    let node = if own {
        managed::node(&cx.res)
    } else {
        schema::facts::type_of(&kind.group, &kind.version, &kind.kind).map_or(Node::Any, Node::Type)
    };
    let gv = GroupVersion::new(&kind.group, &kind.version).to_string();
    let mut new = match c {
        Change::Patch(ops) => match patch::json_patch(obj, &ops) {
            Ok(v) => v,
            // A test that fails means that nothing is to be done.
            Err(e) if e.to_string().contains("test") && tests(&ops) => return Ok(obj.clone()),
            Err(e) => return Err(format!("JSON Patch: {e}")),
        },
        Change::Apply(mut config) => {
            atomics(&config, node, String::new(), 0)?;
            body::set_kind(&mut config, &gv, &kind.kind);
            typed::merge(obj.clone(), &config, node).map_err(|e| {
                let all: Vec<String> = e.0.iter().map(|(p, t)| format!("{p}: {t}")).collect();
                format!("error applying patch: failed to merge patch: {}", all.join(", "))
            })?
        }
    };
    match &cx.res.codec {
        Codec::Custom(c) if own => {
            c.admit(&mut new, &mut Vec::new()).map_err(|e| e.to_string())?;
        }
        _ => {
            let ty = schema::facts::type_of(&kind.group, &kind.version, &kind.kind)
                .ok_or_else(|| format!("no type {}", kind.kind))?;
            new = schema::json::canonicalize(new, ty).map_err(|e| e.0)?.value;
            body::set_kind(&mut new, &gv, &kind.kind);
            kinds::default_object(&kind.group, &kind.version, &kind.kind, &mut new, cx.now);
        }
    }
    Ok(new)
}

fn tests(ops: &Value) -> bool {
    ops.as_array().into_iter().flatten().any(|o| o.str_at("op") == "test")
}

/// An apply configuration must not touch what is owned as a whole: it could take parts away that it does not name.
fn atomics(v: &Value, node: Node<'_>, path: String, depth: usize) -> std::result::Result<(), String> {
    use schema::node::{ListType, Shape};
    if depth > 64 {
        return Ok(());
    }
    let atomic = match (node.shape(), v) {
        (Shape::Struct { atomic } | Shape::Map { atomic }, Value::Object(_)) => atomic,
        (Shape::List(l), Value::Array(_)) => l == ListType::Atomic,
        _ => false,
    };
    if atomic {
        return Err(format!(
            "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {path}"
        ));
    }
    match v {
        Value::Object(o) => o.iter().try_for_each(|(k, x)| match node.field(k) {
            Some(n) => atomics(x, n, format!("{path}.{k}"), depth + 1),
            None => Ok(()),
        }),
        Value::Array(a) => a.iter().enumerate().try_for_each(|(i, x)| match node.item() {
            Some(n) => atomics(x, n, format!("{path}[{i}]"), depth + 1),
            None => Ok(()),
        }),
        _ => Ok(()),
    }
}
