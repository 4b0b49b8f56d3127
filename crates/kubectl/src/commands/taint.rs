//! `taint`.

use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag, join};
use crate::objects::{self, DryRun, text};
use serde_json::{Value, json};

super::commands! {
    "taint" "NODE NAME KEY_1=VAL_1:TAINT_EFFECT_1 ..."
        "Update the taints on one or more nodes\n\nA taint keeps pods that do not tolerate it away from a node: NoSchedule new ones, PreferNoSchedule if it can be, NoExecute\nalso those that run there. KEY- and KEY:EFFECT- remove."
        "kubectl taint nodes n1 dedicated=web:NoSchedule\nkubectl taint nodes n1 dedicated:NoSchedule-\nkubectl taint nodes -l pool=old gone:NoExecute\nkubectl taint nodes n1 dedicated=db:NoSchedule --overwrite"
        FLAGS, run;
}

pub const FLAGS: &[Flag] = join!(
    &[objects::SELECTOR],
    objects::WRITE,
    &[
        flag("overwrite", None, Form::Bool, "false", "Allow taints to be overwritten"),
        flag("all", None, Form::Bool, "false", "Select all nodes in the cluster")
    ]
);

/// `key=value:Effect`; removed: `key-`, `key:Effect-`.
#[derive(Debug, PartialEq)]
struct Taint {
    key: String,
    value: String,
    effect: String,
    remove: bool,
}

fn parse(s: &str) -> Result<Taint, Error> {
    let (body, remove) = s.strip_suffix('-').map_or((s, false), |b| (b, true));
    let (pair, effect) = body.split_once(':').unwrap_or((body, ""));
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    let known = matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute");
    let bare = remove && effect.is_empty();
    if !known && !bare {
        return Err(Error::plain(format!(
            "invalid taint effect: {effect}, unsupported taint effect\nSee 'kubectl taint -h' for help and examples"
        )));
    }
    Ok(Taint { key: key.into(), value: value.into(), effect: effect.into(), remove })
}

/// The taints after a change and what to say of it.
fn change(
    node: &str,
    old: &[Value],
    all: &[Taint],
    overwrite: bool,
) -> Result<(Vec<Value>, &'static str), Error> {
    let same = |t: &Taint, v: &Value| {
        text(v, "/key") == t.key && (t.effect.is_empty() || text(v, "/effect") == t.effect)
    };
    let mut new: Vec<Value> = old.to_vec();
    let clash: Vec<&str> =
        all.iter().filter(|t| !t.remove && old.iter().any(|v| same(t, v))).map(|t| t.key.as_str()).collect();
    if !overwrite && !clash.is_empty() {
        return Err(Error::plain(format!(
            "node {node} already has {} taint(s) with same effect(s) and --overwrite is false",
            clash.join(",")
        )));
    }
    for t in all {
        let had = new.len();
        new.retain(|v| !same(t, v));
        if t.remove && new.len() == had {
            let e = if t.effect.is_empty() { t.key.clone() } else { format!("{}:{}", t.key, t.effect) };
            return Err(Error::plain(format!("taint {e:?} not found")));
        }
        if !t.remove {
            let mut v = json!({"key": t.key, "effect": t.effect});
            if !t.value.is_empty() {
                v["value"] = t.value.clone().into();
            }
            new.push(v);
        }
    }
    let (adds, removes) = (all.iter().any(|t| !t.remove), all.iter().any(|t| t.remove));
    Ok((
        new,
        if !clash.is_empty() || (adds && removes) {
            "modified"
        } else if adds {
            "tainted"
        } else {
            "untainted"
        },
    ))
}

pub async fn run(cx: Cx) -> Result<(), Error> {
    let dry = DryRun::of(&cx)?;
    let is_taint = |a: &&String| a.contains([':', '=']) || a.ends_with('-');
    let (taints, names): (Vec<&String>, Vec<&String>) = cx.p.args.iter().partition(is_taint);
    let names: Vec<String> = names.into_iter().cloned().collect();
    if taints.is_empty() {
        return Err(Error::plain("at least one taint update is required"));
    }
    let all: Vec<Taint> = taints.into_iter().map(|s| parse(s)).collect::<Result<_, _>>()?;
    let many = cx.p.on("all") || !cx.p.text("selector").is_empty();
    let targets = objects::targets(&cx, &names, many).await?;
    if targets.is_empty() {
        return Err(Error::plain(
            "one or more resources must be specified as <resource> <name> or <resource>/<name>",
        ));
    }
    if let Some(t) = targets.iter().find(|t| t.resource.name != "nodes") {
        return Err(Error::plain(format!(
            "invalid resource type {}, only node types are supported",
            t.resource.name
        )));
    }
    let (found, mut errors) = objects::fetch(&cx, &targets).await;
    for (t, v) in found {
        let old = v["spec"]["taints"].as_array().cloned().unwrap_or_default();
        let r = match change(&t.name, &old, &all, cx.p.on("overwrite")) {
            Err(e) => Err(e),
            Ok((_, done)) if dry == DryRun::Client => Ok((v, done)),
            Ok((new, done)) => {
                let p = json!({"spec": {"taints": new}});
                objects::patch(&cx, &t, "", objects::MERGE, &p, dry).await.map(|v| (v, done))
            }
        };
        match r {
            // As upstream, without a word about --dry-run.
            Ok((v, done)) => objects::report(&cx, &t, &v, done)?,
            Err(e) => errors.push(e),
        }
    }
    Error::many(errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes() {
        let one = |s: &str| vec![parse(s).unwrap()];
        let old = [json!({"key": "a", "effect": "NoSchedule"})];
        assert_eq!(change("n", &[], &one("a=b:NoExecute"), false).unwrap().1, "tainted");
        assert!(change("n", &old, &one("a=b:NoSchedule"), false).is_err());
        let (v, said) = change("n", &old, &one("a=b:NoSchedule"), true).unwrap();
        assert_eq!((v, said), (vec![json!({"key": "a", "value": "b", "effect": "NoSchedule"})], "modified"));
        assert_eq!(change("n", &old, &one("a-"), false).unwrap(), (vec![], "untainted"));
        assert!(change("n", &old, &one("a:NoExecute-"), false).is_err());
        assert!(parse("a=b:Nope").is_err() && parse("a=b").is_err());
    }
}
