//! Places in built-in types.

use super::*;

fn at(path: &[&str]) -> Node<'static> {
    let mut n = Node::Type(facts::type_of("", "v1", "Pod").unwrap());
    for p in path {
        n = if *p == "*" { n.item() } else { n.field(p) }.unwrap_or_else(|| panic!("{path:?} at {p}"));
    }
    n
}

#[test]
fn shapes() {
    let key = |k: &str, d: Option<serde_json::Value>| (k.to_owned(), d);
    assert_eq!(at(&["spec"]).shape(), Shape::Struct { atomic: false });
    assert_eq!(
        at(&["spec", "containers", "*", "ports"]).shape(),
        Shape::List(ListType::Map(vec![
            key("containerPort", Some(0.into())),
            key("protocol", Some("TCP".into()))
        ]))
    );
    assert_eq!(at(&["spec", "nodeSelector"]).shape(), Shape::Map { atomic: true });
    assert_eq!(at(&["metadata", "labels"]).shape(), Shape::Map { atomic: false });
    assert_eq!(at(&["metadata", "labels", "*"]).shape(), Shape::Scalar);
    assert_eq!(at(&["metadata", "finalizers"]).shape(), Shape::List(ListType::Set));
    assert_eq!(at(&["spec", "tolerations"]).shape(), Shape::List(ListType::Atomic));
    assert_eq!(
        at(&["spec", "volumes", "*", "csi", "nodePublishSecretRef"]).shape(),
        Shape::Struct { atomic: true }
    );
    assert_eq!(at(&["spec", "containers", "*", "resources", "limits", "*"]).shape(), Shape::Scalar);
    assert_eq!(at(&["metadata", "creationTimestamp"]).shape(), Shape::Scalar);
    // The field says granular against its type's atomic.
    let pv = Node::Type(facts::type_named("core.v1.PersistentVolumeSpec").unwrap());
    assert_eq!(pv.field("claimRef").unwrap().shape(), Shape::Struct { atomic: false });
    assert!(at(&["spec"]).field("nope").is_none() && at(&["spec"]).item().is_none());
}

#[test]
fn strategic_merge_facts() {
    let m = at(&["spec", "volumes"]).patch_meta();
    assert_eq!((m.merge, m.retain_keys, m.merge_key.as_str()), (true, true, "name"));
    assert_eq!(at(&["spec", "tolerations"]).patch_meta(), PatchMeta::default());
    assert_eq!(at(&["spec", "containers", "*", "ports"]).patch_meta().merge_key, "containerPort");
}
