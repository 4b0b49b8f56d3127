//! Defaulting, kind by kind.

use super::default_object;
use meta::time::Timestamp;
use serde_json::json;

#[test]
fn a_service_has_a_type_and_its_ports_a_protocol_and_a_target() {
    let mut o = json!({"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80}]}});
    default_object("", "v1", "Service", &mut o, Timestamp { seconds: 1_700_000_000, nanos: 5 });
    assert_eq!(o["spec"]["type"], "ClusterIP");
    assert_eq!(o["spec"]["ports"][0]["protocol"], "TCP");
    assert_eq!(o["spec"]["ports"][0]["targetPort"], 80);
}
