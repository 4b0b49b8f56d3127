//! ServiceAccount: every pod runs as an account of its namespace, and finds the account's token mounted
//! (plugin/pkg/admission/serviceaccount).

use crate::pod::{containers_mut, is_mirror, secret_names, spec_list_mut};
use crate::{Attributes, Lookup, Operation, Plugin};
use meta::object::ObjectExt;
use meta::{Status, Value};
use serde_json::json;
use std::sync::Arc;

const DEFAULT: &str = "default";
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const VOLUME: &str = "kube-api-access-";
/// Tokens that ask for this many seconds are extended (see `authn::service_account`).
const EXPIRATION: i64 = 3607;
const ENFORCE_MOUNTABLE: &str = "kubernetes.io/enforce-mountable-secrets";

pub(crate) struct ServiceAccount;

impl Plugin for ServiceAccount {
    fn name(&self) -> &'static str {
        "ServiceAccount"
    }
    fn handles(&self, op: Operation) -> bool {
        matches!(op, Operation::Create | Operation::Update)
    }

    fn admit(&self, a: &mut Attributes<'_>, l: &dyn Lookup) -> Result<(), Status> {
        if !a.is_main("pods") || !a.creates() {
            return Ok(());
        }
        // The kubelet deletes a mirror pod that differs from its own.
        if is_mirror(a.obj()) {
            return self.validate(a, l);
        }
        if a.obj().str_at("spec.serviceAccountName").is_empty()
            && let Some(pod) = a.object.as_deref_mut()
        {
            pod.set_at("spec.serviceAccountName", DEFAULT);
            pod.set_at("spec.serviceAccount", DEFAULT);
        }
        let account = account(a, l)?;
        let volume = format!("{VOLUME}{}", suffix(a.random("service account volume")));
        let Some(pod) = a.object.as_deref_mut() else { return Ok(()) };
        if automount(&account, pod) {
            mount_token(pod, volume);
        }
        let pull = account.array_at("imagePullSecrets");
        if pod.array_at("spec.imagePullSecrets").is_empty() && !pull.is_empty() {
            let names: Vec<Value> = pull
                .iter()
                .map(|s| match s.str_at("name") {
                    "" => json!({}),
                    n => json!({"name": n}),
                })
                .collect();
            pod.set_at("spec.imagePullSecrets", names);
        }
        self.validate(a, l)
    }

    fn validate(&self, a: &mut Attributes<'_>, l: &dyn Lookup) -> Result<(), Status> {
        if !a.is("", "pods") {
            return Ok(());
        }
        let ephemeral = a.updates() && a.subresource == "ephemeralcontainers";
        if !(ephemeral || a.creates() && a.subresource.is_empty()) {
            return Ok(());
        }
        if !ephemeral && is_mirror(a.obj()) {
            return mirror(a);
        }
        if a.obj().str_at("spec.serviceAccountName").is_empty() {
            let why = format!("no service account specified for pod {}/{}", a.namespace, a.obj().name());
            return Err(a.forbidden(why));
        }
        let account = account(a, l)?;
        let enforced = account.annotation(ENFORCE_MOUNTABLE).is_some_and(go_true);
        if !enforced {
            return Ok(());
        }
        limit_secrets(a.obj(), &account, ephemeral).map_err(|why| a.forbidden(why))
    }
}

/// Go's `strconv.ParseBool`.
fn go_true(s: &str) -> bool {
    matches!(s, "1" | "t" | "T" | "TRUE" | "true" | "True")
}

fn suffix(n: u64) -> String {
    let b = n.to_le_bytes();
    meta::names::suffix([b[0], b[1], b[2], b[3], b[4]])
}

fn account(a: &mut Attributes<'_>, l: &dyn Lookup) -> Result<Arc<Value>, Status> {
    let ns = a.namespace;
    let name = a.obj().str_at("spec.serviceAccountName").to_owned();
    if let Some(found) = l.get("", "serviceaccounts", ns, &name) {
        return Ok(found);
    }
    let e = a.forbidden(format!(
        "error looking up service account {ns}/{name}: serviceaccount \"{name}\" not found"
    ));
    if name == DEFAULT {
        a.effects.await_object = Some((String::new(), "serviceaccounts".into(), ns.into(), name));
    }
    Err(e)
}

fn mirror(a: &Attributes<'_>) -> Result<(), Status> {
    let pod = a.obj();
    if !pod.str_at("spec.serviceAccountName").is_empty() {
        return Err(a.forbidden("a mirror pod may not reference service accounts"));
    }
    let mut secrets = false;
    secret_names(pod, &mut |_| secrets = true);
    if secrets {
        return Err(a.forbidden("a mirror pod may not reference secrets"));
    }
    let mut sources = pod.array_at("spec.volumes").iter().flat_map(|v| v.array_at("projected.sources"));
    if sources.any(|s| s.get("serviceAccountToken").is_some()) {
        return Err(a.forbidden("a mirror pod may not use ServiceAccountToken volume projections"));
    }
    Ok(())
}

fn automount(account: &Value, pod: &Value) -> bool {
    let of_pod = pod.at("spec.automountServiceAccountToken").and_then(Value::as_bool);
    of_pod.or_else(|| account.get("automountServiceAccountToken")?.as_bool()).unwrap_or(true)
}

fn mount_token(pod: &mut Value, fresh: String) {
    let volumes = pod.array_at("spec.volumes").iter();
    let existing = volumes.map(|v| v.str_at("name")).find(|n| n.starts_with(VOLUME)).map(str::to_owned);
    let name = existing.clone().unwrap_or(fresh);
    let mut needed = false;
    for list in ["initContainers", "containers"] {
        for c in containers_mut(pod, list).into_iter().flatten() {
            if c.array_at("volumeMounts").iter().any(|m| m.str_at("mountPath") == MOUNT_PATH) {
                continue;
            }
            needed = true;
            let mut mounts = c.array_at("volumeMounts").to_vec();
            mounts.push(json!({"name": name, "readOnly": true, "mountPath": MOUNT_PATH}));
            c.set_at("volumeMounts", mounts);
        }
    }
    if existing.is_none()
        && needed
        && let Some(volumes) = spec_list_mut(pod, "volumes")
    {
        volumes.push(json!({"name": name, "projected": token_volume()}));
    }
}

/// Token, the cluster's CA, and the namespace.
fn token_volume() -> Value {
    json!({
        "defaultMode": 0o644,
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": EXPIRATION, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{
                "path": "namespace",
                "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
            }]}},
        ],
    })
}

/// With the account's annotation, pods may only use secrets that the account lists.
fn limit_secrets(pod: &Value, account: &Value, only_ephemeral: bool) -> Result<(), String> {
    let listed = |field: &str, name: &str| account.array_at(field).iter().any(|s| s.str_at("name") == name);
    let because =
        format!("is not allowed because service account {} does not reference that", account.name());
    if !only_ephemeral {
        for v in pod.array_at("spec.volumes") {
            let name = v.str_at("secret.secretName");
            if v.get("secret").is_some() && !listed("secrets", name) {
                return Err(format!("volume with secret.secretName=\"{name}\" {because} secret"));
            }
        }
    }
    let lists: &[(&str, &str)] = if only_ephemeral {
        &[("spec.ephemeralContainers", "ephemeral container")]
    } else {
        &[("spec.initContainers", "init container"), ("spec.containers", "container")]
    };
    for (list, what) in lists {
        for c in pod.array_at(list) {
            for e in c.array_at("env") {
                let Some(r) = e.at("valueFrom.secretKeyRef") else { continue };
                if !listed("secrets", r.str_at("name")) {
                    return Err(format!(
                        "{what} {} with envVar {} referencing secret.secretName=\"{}\" {because} secret",
                        c.str_at("name"),
                        e.str_at("name"),
                        r.str_at("name")
                    ));
                }
            }
            for e in c.array_at("envFrom") {
                let Some(r) = e.get("secretRef") else { continue };
                if !listed("secrets", r.str_at("name")) {
                    return Err(format!(
                        "{what} {} with envFrom referencing secret.secretName=\"{}\" {because} secret",
                        c.str_at("name"),
                        r.str_at("name")
                    ));
                }
            }
        }
    }
    if !only_ephemeral {
        for (i, s) in pod.array_at("spec.imagePullSecrets").iter().enumerate() {
            let name = s.str_at("name");
            if !listed("imagePullSecrets", name) {
                return Err(format!("imagePullSecrets[{i}].name=\"{name}\" {because} imagePullSecret"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Ask, Store};

    fn store(account: Value) -> Store {
        Store::default().with("/serviceaccounts", account)
    }
    fn run(store: &Store, pod: &mut Value) -> Result<(), String> {
        Ask::new("create pods").run(&ServiceAccount, store, pod, None)
    }

    #[test]
    fn gives_pods_the_default_account() {
        let s = store(
            json!({"metadata": {"namespace": "ns", "name": "default"}, "imagePullSecrets": [{"name": "pull"}]}),
        );
        let mut pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}});
        run(&s, &mut pod).unwrap();
        let name = pod["spec"]["volumes"][0]["name"].as_str().unwrap().to_owned();
        assert!(name.starts_with("kube-api-access-") && name.len() == 21, "{name}");
        assert_eq!(
            pod,
            json!({"metadata": {"name": "p"}, "spec": {
                "serviceAccountName": "default", "serviceAccount": "default",
                "imagePullSecrets": [{"name": "pull"}],
                "containers": [{"name": "c", "volumeMounts": [
                    {"name": name, "readOnly": true, "mountPath": MOUNT_PATH}]}],
                "volumes": [{"name": name, "projected": {"defaultMode": 420, "sources": [
                    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                    {"downwardAPI": {"items": [{"path": "namespace",
                        "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}}]}}]}})
        );
        // A second pass (reinvocation after webhooks) changes nothing.
        let before = pod.clone();
        run(&s, &mut pod).unwrap();
        assert_eq!(pod, before);
    }

    #[test]
    fn can_be_told_not_to_mount() {
        let spec = |v: Value| json!({"metadata": {"name": "p"}, "spec": v});
        let s = store(
            json!({"metadata": {"namespace": "ns", "name": "default"}, "automountServiceAccountToken": false}),
        );
        let mut pod = spec(json!({"containers": [{"name": "c"}]}));
        run(&s, &mut pod).unwrap();
        assert!(pod["spec"].get("volumes").is_none());
        let mut pod = spec(json!({"containers": [{"name": "c"}], "automountServiceAccountToken": true}));
        run(&s, &mut pod).unwrap();
        assert_eq!(pod["spec"]["volumes"].as_array().unwrap().len(), 1);
        // A container with a mount of its own at that path keeps it.
        let mut pod = spec(json!({"automountServiceAccountToken": true,
            "containers": [{"name": "c", "volumeMounts": [{"name": "x", "mountPath": MOUNT_PATH}]}]}));
        run(&s, &mut pod).unwrap();
        assert!(pod["spec"].get("volumes").is_none());
    }

    #[test]
    fn refuses() {
        let s = store(json!({"metadata": {"namespace": "ns", "name": "tight",
            "annotations": {ENFORCE_MOUNTABLE: "true"}}, "secrets": [{"name": "ok"}]}));
        let mut no_account = json!({"metadata": {"name": "p"}, "spec": {}});
        let mut ask = Ask::new("create pods");
        assert_eq!(
            ask.run(&ServiceAccount, &s, &mut no_account, None),
            Err(r#"pods "p" is forbidden: error looking up service account ns/default: serviceaccount "default" not found"#.into())
        );
        assert!(ask.effects.await_object.is_some());
        let tight = |v: Value| {
            let mut pod = json!({"metadata": {"name": "p"}, "spec": v});
            pod["spec"]["serviceAccountName"] = "tight".into();
            run(&s, &mut pod)
        };
        assert_eq!(tight(json!({"volumes": [{"secret": {"secretName": "ok"}}]})), Ok(()));
        assert_eq!(
            tight(json!({"volumes": [{"secret": {"secretName": "no"}}]})),
            Err(r#"pods "p" is forbidden: volume with secret.secretName="no" is not allowed because service account tight does not reference that secret"#.into())
        );
        let mirror = |v: Value| {
            let mut pod = json!({"metadata": {"name": "p", "annotations": {"kubernetes.io/config.mirror": "x"}}, "spec": v});
            run(&s, &mut pod)
        };
        assert_eq!(mirror(json!({})), Ok(()));
        for bad in [
            json!({"serviceAccountName": "tight"}),
            json!({"imagePullSecrets": [{"name": "x"}]}),
            json!({"volumes": [{"projected": {"sources": [{"serviceAccountToken": {"path": "x"}}]}}]}),
        ] {
            assert!(mirror(bad.clone()).is_err(), "{bad}");
        }
    }
}
