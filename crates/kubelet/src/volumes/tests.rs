//! Volumes of pods on a temporary root, with a fake API.

use super::*;
use crate::pod::testing::pod;
use serde_json::json;
use std::sync::Mutex;

#[derive(Default)]
struct Fake {
    maps: Mutex<BTreeMap<String, ConfigMap>>,
}

impl Objects for Fake {
    fn config_map<'a>(
        &'a self,
        _: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<Arc<ConfigMap>>, String>> {
        Box::pin(async move { Ok(self.maps.lock().unwrap().get(name).cloned().map(Arc::new)) })
    }
    fn secret<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<Option<Arc<Secret>>, String>> {
        Box::pin(async { Ok(None) })
    }
    fn claim<'a>(
        &'a self,
        _: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<PersistentVolumeClaim, String>> {
        Box::pin(async move { Err(format!("persistentvolumeclaim {name:?} not found")) })
    }
    fn volume<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<PersistentVolume, String>> {
        Box::pin(async { Err("no".into()) })
    }
    fn token<'a>(&'a self, _: &'a Pod, audience: &'a str, _: i64) -> BoxFuture<'a, Result<Token, String>> {
        Box::pin(async move { Ok(Token { token: format!("t-{audience}"), refresh_at: 77 }) })
    }
    fn pod_certificate<'a>(
        &'a self,
        _: &'a Pod,
        _: &'a str,
        _: usize,
        _: &'a PodCertificateProjection,
    ) -> BoxFuture<'a, Result<Bundle, String>> {
        Box::pin(async { Ok(Bundle { key: "K".into(), chain: "C".into(), refresh_at: 55 }) })
    }
    fn trust_bundle<'a>(
        &'a self,
        _: &'a projected::BundleQuery,
    ) -> BoxFuture<'a, Result<Option<String>, String>> {
        Box::pin(async { Ok(Some("PEM".into())) })
    }
}

fn map(k: &str, v: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": "m"}, "data": {k: v}})).unwrap()
}

#[tokio::test]
async fn set_up_update_tear_down() {
    let root = std::env::temp_dir().join(format!("kubelet-volumes-{}", crate::rand::hex8()));
    let fake = Arc::new(Fake::default());
    fake.maps.lock().unwrap().insert("m".into(), map("k", "one"));
    let volumes = Volumes::new(&root, fake.clone());
    let host = root.join("host");
    let p = pod(json!({"containers": [], "volumes": [
        {"name": "e", "emptyDir": {}},
        {"name": "c", "configMap": {"name": "m", "defaultMode": 0o400}},
        {"name": "h", "hostPath": {"path": host, "type": "DirectoryOrCreate"}},
        {"name": "p", "projected": {"sources": [
            {"serviceAccountToken": {"path": "token", "audience": "a"}},
            {"podCertificate": {"signerName": "s", "keyType": "ED25519", "credentialBundlePath": "bundle"}},
            {"configMap": {"name": "m", "items": [{"key": "k", "path": "sub/k"}]}},
            {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}}]}}]}));
    let cx = Context::default();
    let got = volumes.set_up(&p, &cx).await.unwrap();
    assert_eq!(got.refresh_at, Some(55), "the earliest");
    let read = |v: &str, f: &str| {
        let Source::Host { path, .. } = &got.sources[v] else { panic!() };
        fs::read_to_string(path.join(f)).unwrap()
    };
    assert_eq!(
        (read("c", "k"), read("p", "token"), read("p", "sub/k"), read("p", "name")),
        ("one".into(), "t-a".into(), "one".into(), "p".into())
    );
    assert!(host.is_dir() && read("p", "bundle") == "KC");
    fake.maps.lock().unwrap().insert("m".into(), map("k", "two"));
    volumes.set_up(&p, &cx).await.unwrap();
    assert_eq!((read("c", "k"), read("p", "sub/k")), ("two".into(), "two".into()), "updates arrive");
    volumes.remove_pod_dir("u").await.unwrap();
    assert!(!volumes.pod_dir("u").exists() && host.is_dir());
    fs::remove_dir_all(root).unwrap();
}

#[tokio::test]
async fn failures_name_the_volume() {
    let root = std::env::temp_dir().join(format!("kubelet-volumes-{}", crate::rand::hex8()));
    let volumes = Volumes::new(&root, Arc::new(Fake::default()));
    let p = pod(json!({"containers": [], "volumes": [
        {"name": "c", "configMap": {"name": "no"}},
        {"name": "o", "configMap": {"name": "no", "optional": true}},
        {"name": "h", "hostPath": {"path": "/etc/passwd", "type": "Directory"}},
        {"name": "s", "secret": {"secretName": "no"}}]}));
    let got: Vec<String> =
        volumes.set_up(&p, &Context::default()).await.unwrap_err().into_iter().map(|f| f.message).collect();
    assert_eq!(
        got,
        [
            "MountVolume.SetUp failed for volume \"c\" : configmap \"no\" not found",
            "MountVolume.SetUp failed for volume \"h\" : hostPath type check failed: /etc/passwd is not a directory",
            "MountVolume.SetUp failed for volume \"s\" : secret \"no\" not found",
        ]
    );
    volumes.remove_pod_dir("u").await.unwrap();
    fs::remove_dir_all(root).unwrap();
}
