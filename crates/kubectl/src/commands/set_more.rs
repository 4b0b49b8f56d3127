//! `set resources`, `set serviceaccount`, `set selector`, `set subject`.

use crate::change;
use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag, join};
use crate::objects;
use meta::quantity::Quantity;
use serde_json::{Value, json};

super::commands! {
    "set resources" "(-f FILENAME | TYPE NAME) ([--limits=LIMITS & --requests=REQUESTS]"
        "Update resource requests/limits on objects with pod templates\n\nWhat is not named stays as it is."
        "kubectl set resources deploy/web -c app --limits=cpu=200m,memory=512Mi --requests=cpu=100m\nkubectl set resources deploy/web --limits=cpu=0,memory=0"
        RESOURCES, resources;
    "set serviceaccount" "(-f FILENAME | TYPE NAME) SERVICE_ACCOUNT"
        "Update the service account of a resource"
        "kubectl set serviceaccount deploy/web robot"
        ACCOUNT, serviceaccount;
    "set selector" "(-f FILENAME | TYPE NAME) EXPRESSIONS [--resource-version=version]"
        "Set the selector on a resource\n\nOf Services only: selectors of other kinds do not change. The new one replaces the old."
        "kubectl set selector service web app=web,tier=front"
        SELECTOR, selector;
    "set subject" "(-f FILENAME | TYPE NAME) [--user=username] [--group=groupname] [--serviceaccount=namespace:serviceaccountname]"
        "Update the user, group, or service account in a role binding or cluster role binding\n\nSubjects are added to those that are there."
        "kubectl set subject clusterrolebinding admin --serviceaccount=dev:robot\nkubectl set subject rolebinding dev --user=ann --group=team"
        SUBJECT, subject;
}

const RESOURCES: &[Flag] = join!(
    objects::FILES,
    &[objects::SELECTOR],
    objects::WRITE,
    change::REACH,
    &[
        flag("containers", Some('c'), Form::Text, "*", "Names of the containers to change; may have *"),
        flag("limits", None, Form::Text, "", "Limits: cpu=100m,memory=256Mi"),
        flag("requests", None, Form::Text, "", "Requests: cpu=100m,memory=256Mi")
    ]
);
const ACCOUNT: &[Flag] = join!(objects::FILES, objects::WRITE, change::REACH);
const SELECTOR: &[Flag] = join!(
    objects::FILES,
    objects::WRITE,
    change::REACH,
    &[flag("resource-version", None, Form::Text, "", "Only if the object is still of this version")]
);
const SUBJECT: &[Flag] = join!(
    objects::FILES,
    &[objects::SELECTOR],
    objects::WRITE,
    change::REACH,
    &[
        flag("user", None, Form::List, "", "Usernames to bind to the role"),
        flag("group", None, Form::List, "", "Groups to bind to the role"),
        flag("serviceaccount", None, Form::List, "", "Service accounts to bind to the role: namespace:name")
    ]
);

/// `cpu=100m,memory=256Mi`.
fn amounts(s: &str) -> Result<Vec<(String, String)>, Error> {
    let mut out = Vec::new();
    for p in s.split(',').filter(|_| !s.is_empty()) {
        let (k, v) = match p.split('=').collect::<Vec<_>>().as_slice() {
            [k, v] => ((*k).to_owned(), (*v).to_owned()),
            _ => {
                return Err(Error::plain(format!(
                    "invalid argument syntax {p}, expected <resource>=<value>"
                )));
            }
        };
        Quantity::parse(&v).map_err(Error::plain)?;
        out.push((k, v));
    }
    Ok(out)
}

pub async fn resources(cx: Cx) -> Result<(), Error> {
    let (limits, requests) = (amounts(cx.p.text("limits"))?, amounts(cx.p.text("requests"))?);
    if limits.is_empty() && requests.is_empty() {
        return Err(Error::plain(
            "you must specify an update to requests or limits (in the form of --requests/--limits)",
        ));
    }
    let pattern = cx.p.text("containers");
    let failed = "failed to patch resources update to pod template";
    change::each(&cx, &cx.p.args, "resource requirements updated", failed, |t, v| {
        let spec = change::spec_of(t, v).map_err(|e| change::about(t, &e))?;
        let all = change::containers(spec, pattern);
        if all.is_empty() {
            return Err(vec![Error::plain(format!("error: unable to find container named {pattern}"))]);
        }
        for c in all {
            for (list, what) in [("limits", &limits), ("requests", &requests)] {
                for (k, q) in what {
                    c["resources"][list][k] = q.clone().into();
                }
            }
        }
        Ok(())
    })
    .await
}

pub async fn serviceaccount(cx: Cx) -> Result<(), Error> {
    let [names @ .., account] = cx.p.args.as_slice() else {
        return Err(Error::plain("serviceaccount is required"));
    };
    let failed = "failed to patch ServiceAccountName";
    change::each(&cx, names, "serviceaccount updated", failed, |t, v| {
        let spec = change::spec_of(t, v).map_err(|e| change::about(t, &e))?;
        spec["serviceAccountName"] = account.clone().into();
        Ok(())
    })
    .await
}

pub async fn selector(cx: Cx) -> Result<(), Error> {
    let is_expression = |a: &&String| a.contains('=');
    let (parts, names): (Vec<&String>, Vec<&String>) = cx.p.args.iter().partition(is_expression);
    let [one] = parts.as_slice() else {
        return Err(Error::plain("one selector is required"));
    };
    let new = super::expose::pairs(one)?;
    let names: Vec<String> = names.into_iter().cloned().collect();
    change::each(&cx, &names, "selector updated", "failed to patch selector update:", |t, v| {
        if t.resource.kind != "Service" {
            return Err(vec![Error::plain("setting a selector is only supported for Services")]);
        }
        v["spec"]["selector"] = new.clone();
        if cx.p.given("resource-version") {
            v["metadata"]["resourceVersion"] = cx.p.text("resource-version").into();
        }
        Ok(())
    })
    .await
}

pub async fn subject(cx: Cx) -> Result<(), Error> {
    let sorted = |name: &str| {
        let mut l = cx.p.list(name);
        l.sort();
        l.dedup();
        l
    };
    let (users, groups, accounts) = (sorted("user"), sorted("group"), sorted("serviceaccount"));
    if users.is_empty() && groups.is_empty() && accounts.is_empty() {
        return Err(Error::plain("you must specify at least one value of user, group or serviceaccount"));
    }
    let rbac = "rbac.authorization.k8s.io";
    let mut new: Vec<Value> =
        users.iter().map(|n| json!({"apiGroup": rbac, "kind": "User", "name": n})).collect();
    new.extend(groups.iter().map(|n| json!({"apiGroup": rbac, "kind": "Group", "name": n})));
    let ns = cx.namespace()?;
    for a in &accounts {
        let Some((own, name)) = a.split_once(':').filter(|(_, n)| !n.is_empty() && !n.contains(':')) else {
            return Err(Error::plain("serviceaccount must be <namespace>:<name>"));
        };
        let own = if own.is_empty() { &ns } else { own };
        new.push(json!({"kind": "ServiceAccount", "name": name, "namespace": own}));
    }
    let failed = "failed to patch subjects to rolebinding:";
    change::each(&cx, &cx.p.args, "subjects updated", failed, |t, v| {
        if !matches!(t.resource.kind.as_str(), "RoleBinding" | "ClusterRoleBinding") {
            let e = Error::plain("setting subjects is only supported for RoleBinding/ClusterRoleBinding");
            return Err(change::about(t, &e));
        }
        if t.resource.kind == "ClusterRoleBinding" && accounts.iter().any(|a| a.starts_with(':')) {
            return Err(vec![Error::plain(
                "serviceaccount must be <namespace>:<name>, namespace must be specified",
            )]);
        }
        let mut all = v["subjects"].as_array().cloned().unwrap_or_default();
        for n in &new {
            if !all.contains(n) {
                all.push(n.clone());
            }
        }
        v["subjects"] = Value::Array(all);
        Ok(())
    })
    .await
}
