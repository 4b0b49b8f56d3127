//! Static pods: manifests in a directory on the node, and their mirrors in the API.

use crate::kubelet::Kubelet;
use crate::pod::helpers::{self, CONFIG_HASH, CONFIG_MIRROR, CONFIG_SEEN, CONFIG_SOURCE, namespace, uid};
use client::{Client, Kind};
use k8s_openapi::api::core::v1::{Node, Pod, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, OwnerReference, Preconditions};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAX_MANIFEST: u64 = 10 << 20;

/// A pod from a manifest's text, as the kubelet runs it.
pub fn parse(text: &str, source: &str, node: &str, now: i64) -> Result<Pod, String> {
    let v: Value = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|e| e.to_string())?
    } else {
        crate::yaml::parse(text)?
    };
    if v.get("kind").and_then(Value::as_str) != Some("Pod") {
        return Err("the manifest is not of kind Pod".into());
    }
    let mut v = v;
    let seconds = now.div_euclid(1_000_000_000);
    kinds::default_object("", "v1", "Pod", &mut v, meta::time::Timestamp { seconds, nanos: 0 });
    let mut pod = Pod::from_value(v).map_err(|e| e.to_string())?;
    let name = pod.metadata.name.clone().filter(|n| !n.is_empty()).ok_or("the pod has no name")?;
    if helpers::spec(&pod).containers.is_empty() {
        return Err("the pod has no containers".into());
    }
    let id = pod.metadata.uid.clone().filter(|u| !u.is_empty()).unwrap_or_else(|| {
        let mut h = Sha256::new();
        h.update(format!("host:{node}\nfile:{source}\n"));
        h.update(text.as_bytes());
        let hex: String = h.finalize().iter().take(16).map(|b| format!("{b:02x}")).collect();
        hex
    });
    pod.metadata.name = Some(format!("{name}-{}", node.to_lowercase()));
    if pod.metadata.namespace.as_deref().unwrap_or("").is_empty() {
        pod.metadata.namespace = Some("default".into());
    }
    let a = pod.metadata.annotations.get_or_insert_default();
    a.insert(CONFIG_HASH.into(), id.clone());
    a.insert(CONFIG_SOURCE.into(), "file".into());
    let stamp = helpers::time(now);
    a.insert(CONFIG_SEEN.into(), stamp.0.to_string());
    pod.metadata.uid = Some(id);
    pod.metadata.creation_timestamp = Some(stamp);
    let s = pod.spec.get_or_insert_default();
    s.node_name = Some(node.to_owned());
    // A static pod stays whatever the node's taints.
    let tolerate = Toleration {
        operator: Some("Exists".into()),
        effect: Some("NoExecute".into()),
        ..Toleration::default()
    };
    let list = s.tolerations.get_or_insert_default();
    if !list.contains(&tolerate) {
        list.push(tolerate);
    }
    pod.status.get_or_insert_default().phase = Some("Pending".into());
    Ok(pod)
}

/// The manifests in the path (a directory or one file), by file. A file that cannot be read or parsed is warned about.
fn read_all(path: &Path, node: &str, now: i64) -> HashMap<PathBuf, Pod> {
    let mut files = vec![];
    if path.is_dir() {
        let list = fs::read_dir(path).into_iter().flatten().flatten();
        files.extend(list.map(|e| e.path()).filter(|p| {
            let hidden = p.file_name().and_then(|n| n.to_str()).is_none_or(|n| n.starts_with('.'));
            !hidden && p.is_file()
        }));
        files.sort();
    } else if path.is_file() {
        files.push(path.to_owned());
    }
    let mut out = HashMap::new();
    for f in files {
        let too_large = fs::metadata(&f).is_ok_and(|m| m.len() > MAX_MANIFEST);
        let pod = if too_large {
            Err("the file is too large".to_owned())
        } else {
            fs::read_to_string(&f)
                .map_err(|e| e.to_string())
                .and_then(|t| parse(&t, &f.to_string_lossy(), node, now))
        };
        match pod {
            Ok(p) => {
                out.insert(f, p);
            }
            Err(e) => tracing::warn!(file = %f.display(), error = e, "manifest left out"),
        }
    }
    out
}

/// Follows the manifests until the runtime stops.
pub async fn run(k: Arc<Kubelet>) {
    let Some(path) = k.cfg.static_pod_path.clone() else {
        k.rt.ready.set("kubelet-static-pods", Ok(()));
        return;
    };
    let mut known: HashMap<String, Pod> = HashMap::new();
    let mut stamps: Option<Vec<(PathBuf, std::time::SystemTime, u64)>> = None;
    loop {
        let now_stamps = stamp(&path);
        if stamps.as_ref() != Some(&now_stamps) {
            stamps = Some(now_stamps);
            let found = read_all(&path, &k.cfg.node_name, k.now());
            let mut next: HashMap<String, Pod> = HashMap::new();
            for p in found.into_values() {
                next.insert(uid(&p).to_owned(), p);
            }
            for (id, p) in &known {
                if !next.contains_key(id) {
                    k.gone(p);
                }
            }
            for (id, p) in &next {
                if !known.contains_key(id) {
                    k.apply(Arc::new(p.clone()));
                }
            }
            known = next;
        }
        k.rt.ready.set("kubelet-static-pods", Ok(()));
        tokio::select! {
            () = tokio::time::sleep(k.cfg.file_check) => {}
            () = k.rt.stopping() => return,
        }
    }
}

/// What changes when a manifest does.
fn stamp(path: &Path) -> Vec<(PathBuf, std::time::SystemTime, u64)> {
    let one = |p: PathBuf| {
        let m = fs::metadata(&p).ok()?;
        Some((p, m.modified().ok()?, m.len()))
    };
    if !path.is_dir() {
        return one(path.to_owned()).into_iter().collect();
    }
    let mut v: Vec<_> =
        fs::read_dir(path).into_iter().flatten().flatten().filter_map(|e| one(e.path())).collect();
    v.sort();
    v
}

/// Makes sure the API has a mirror of a static pod.
pub async fn reconcile_mirror(k: &Kubelet, pod: &Pod) {
    let hash = helpers::annotation(pod, CONFIG_HASH).unwrap_or("").to_owned();
    if let Some(m) = k.mirror_of(pod) {
        let same = helpers::annotation(&m, CONFIG_MIRROR) == Some(&hash);
        if same && !helpers::is_deleted(&m) {
            return;
        }
        delete_mirror(&k.client, &m).await;
    }
    let node = match k.client.get::<Node>(None, &k.cfg.node_name).await {
        Ok(n) => n,
        // Without a node (or a server) there is no mirror yet; the next round makes it.
        Err(e) => {
            tracing::debug!(error = %e, "no mirror pod yet");
            return;
        }
    };
    let mut mirror = pod.clone();
    mirror.metadata.annotations.get_or_insert_default().insert(CONFIG_MIRROR.into(), hash);
    mirror.metadata.uid = None;
    mirror.metadata.creation_timestamp = None;
    mirror.metadata.resource_version = None;
    mirror.status = None;
    mirror.metadata.owner_references = Some(vec![OwnerReference {
        api_version: "v1".into(),
        kind: "Node".into(),
        name: k.cfg.node_name.clone(),
        uid: node.metadata.uid.unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: None,
    }]);
    match k.client.create(&mirror).await {
        Ok(m) => {
            let m = Arc::new(m);
            k.mirrors
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .insert(helpers::key(pod), m.clone());
            k.status.observe(uid(pod), &m);
        }
        Err(e) if e.is_already_exists() => {}
        Err(e) => tracing::warn!(pod = helpers::key(pod), error = %e, "creating the mirror pod failed"),
    }
}

pub async fn delete_mirror(client: &Client, mirror: &Pod) {
    let opts = DeleteOptions {
        grace_period_seconds: Some(0),
        preconditions: Some(Preconditions { uid: mirror.metadata.uid.clone(), ..Default::default() }),
        ..Default::default()
    };
    match client.delete::<Pod>(Some(namespace(mirror)), helpers::name(mirror), &opts).await {
        Ok(()) => {}
        Err(e) if e.is_not_found() || e.is_conflict() => {}
        Err(e) => tracing::warn!(pod = helpers::key(mirror), error = %e, "deleting the mirror pod failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nspec:\n  containers:\n  - name: c\n    image: x\n";

    #[test]
    fn manifest() {
        let p = parse(TEXT, "/m/web.yaml", "N1", 5_000_000_000).unwrap();
        assert_eq!(helpers::key(&p), "default/web-n1");
        assert!(helpers::is_static(&p) && !helpers::is_mirror(&p));
        assert_eq!(helpers::annotation(&p, CONFIG_HASH), p.metadata.uid.as_deref());
        let s = helpers::spec(&p);
        assert_eq!((s.node_name.as_deref(), s.restart_policy.as_deref()), (Some("N1"), Some("Always")));
        assert_eq!(s.tolerations.as_ref().unwrap()[0].effect.as_deref(), Some("NoExecute"));
        let again = parse(TEXT, "/m/web.yaml", "N1", 6_000_000_000).unwrap();
        assert_eq!(again.metadata.uid, p.metadata.uid, "the same manifest is the same pod");
        let other = parse(&TEXT.replace("image: x", "image: z"), "/m/web.yaml", "N1", 0).unwrap();
        assert_ne!(other.metadata.uid, p.metadata.uid);
        assert!(parse("kind: Service", "x", "n", 0).is_err());
        assert!(parse("{", "x", "n", 0).is_err());
    }
}
