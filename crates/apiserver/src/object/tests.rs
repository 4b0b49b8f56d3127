//! Tests of what is worked out from stored records.

use super::*;
use crate::registry::Registry;
use serde_json::json;

#[tokio::test]
async fn fields_read_from_bytes_are_those_of_the_decoded_object() {
    let registry = Registry::builtin(|_| true);
    let pods = registry.get("", "v1", "pods").unwrap();
    let full = json!({"kind": "Pod", "apiVersion": "v1",
        "metadata": {"name": "p", "namespace": "ns", "labels": {"a": "b"}},
        "spec": {"nodeName": "n", "restartPolicy": "Never", "schedulerName": "s", "serviceAccountName": "a",
            "hostNetwork": true, "containers": [{"name": "c"}]},
        "status": {"phase": "Running", "podIP": "1.2.3.4", "podIPs": [{"ip": "1.2.3.4"}, {"ip": "::1"}],
            "nominatedNodeName": "m"}});
    let bare = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "q", "namespace": "ns"},
        "spec": {"containers": []}});
    let strategy = kinds::strategy("", "pods");
    for pod in [full, bare] {
        let mut pod = schema::json::canonicalize(pod, pods.builtin_type().unwrap()).unwrap().value;
        let value = encode(pods, &mut pod).await.unwrap();
        let record = Record {
            key: "/registry/pods/ns/p".into(),
            value,
            create_revision: 1,
            mod_revision: 1,
            version: 1,
            lease: 0,
            sub: 0,
            ext: OnceLock::new(),
        };
        let have = fields(pods, &record).await;
        for (i, (_, label)) in pods.field_labels.iter().enumerate() {
            let want = strategy.field_value(&pod, label).unwrap_or_default();
            assert_eq!(have.get(i), want, "{label}");
        }
        assert!(pods.field_labels.len() > 8);
    }
}
