//! k8s-openapi types straight from protobuf are what they are from JSON.

use k8s_openapi::api::{apps, coordination, core};
use schema::{facts, proto};
use serde::de::DeserializeOwned;

fn check<T: DeserializeOwned + PartialEq + std::fmt::Debug>(group: &str, kind: &str, pb: &[u8], json: &[u8]) {
    let ty = facts::type_of(group, "v1", kind).expect("a type of the table");
    let raw = proto::unwrap(pb).expect("an envelope").raw;
    let typed: T = proto::from_bytes(raw, ty, None).expect("a typed object");
    assert_eq!(typed, serde_json::from_slice::<T>(json).expect("the JSON of it"), "{kind}");
}

macro_rules! fixture {
    ($t:ty, $group:literal, $kind:literal, $file:literal) => {
        check::<$t>(
            $group,
            $kind,
            include_bytes!(concat!("../testdata/", $file, ".pb")),
            include_bytes!(concat!("../testdata/", $file, ".json")),
        )
    };
}

#[test]
fn typed_objects() {
    fixture!(core::v1::Pod, "", "Pod", "v1.Pod");
    fixture!(core::v1::Node, "", "Node", "v1.Node");
    fixture!(core::v1::Secret, "", "Secret", "v1.Secret");
    fixture!(core::v1::Service, "", "Service", "v1.Service");
    fixture!(apps::v1::StatefulSet, "apps", "StatefulSet", "apps.v1.StatefulSet");
    fixture!(coordination::v1::Lease, "coordination.k8s.io", "Lease", "coordination.k8s.io.v1.Lease");
}
