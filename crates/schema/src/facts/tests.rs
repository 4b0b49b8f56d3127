//! Look-ups in the tables.

use super::*;
use serde_json::json;

#[test]
fn looking_up() {
    let pod = type_of("", "v1", "Pod").unwrap();
    assert_eq!(pod.name(), "core.v1.Pod");
    assert_eq!(type_of("apps", "v1", "DeploymentList").unwrap().name(), "apps.v1.DeploymentList");
    assert_eq!(type_of("apps", "v1", "DeleteOptions").unwrap().name(), "meta.v1.DeleteOptions");
    assert_eq!(type_of("autoscaling", "v1", "Scale").unwrap().name(), "autoscaling.v1.Scale");
    assert_eq!(type_of("", "v1", "Status").unwrap().name(), "meta.v1.Status");
    assert_eq!(
        type_of("meta.k8s.io", "v1", "PartialObjectMetadata").unwrap().name(),
        "meta.v1.PartialObjectMetadata"
    );
    assert_eq!(type_of("apps", "v1", "Pod"), None);
    let names: Vec<&str> = fields(pod).iter().map(|f| f.name).collect();
    assert_eq!(names, ["kind", "apiVersion", "metadata", "spec", "status"]);
    let spec = type_named("core.v1.PodSpec").unwrap();
    for (i, f) in fields(spec).iter().enumerate() {
        assert_eq!(spec.field_index(f.name), Some(i));
    }
    assert_eq!(spec.field_index("nodename"), None);
    assert_eq!(spec.field("restartPolicy").unwrap().meta.enumeration, "core.v1.RestartPolicy");
    assert_eq!(enum_values("core.v1.RestartPolicy"), ["Always", "Never", "OnFailure"]);
    assert_eq!(type_named("core.v1.Volume").unwrap().field("emptyDir").unwrap().path, [2, 2]);
    assert!(gate("APIServerIdentity") && !gate("NoSuchGate"));
}

#[test]
fn the_tables_are_sound() {
    assert!(types().count() > 1000);
    let names: Vec<&str> = types().map(TypeId::name).collect();
    assert!(names.is_sorted());
    assert!(tables::KINDS.is_sorted() && tables::ENUMS.is_sorted_by_key(|e| e.0));
    assert!(gates().is_sorted_by_key(|g| g.name) && tables::DEFAULTS.is_sorted_by_key(|d| d.0));
    for r in resources() {
        assert!(r.type_id.is_some(), "{} has no type", r.resource);
        assert!(r.list_type_id.is_some() || !r.verbs.contains(&"list"), "{} has no list type", r.resource);
        for s in r.subresources {
            assert!(s.type_id.is_some(), "{}/{} has no type", r.resource, s.name);
        }
    }
    let pods = resource("", "v1", "pods").unwrap();
    assert_eq!((pods.key, pods.storage, pods.short_names), ("pods", "v1", &["po"][..]));
    assert_eq!(pods.columns[5].priority, 1);
    assert!(pods.generation && pods.generation_bumped);
}

#[test]
fn walking() {
    let mut pod = json!({"spec": {"containers": [{"ports": [{"containerPort": 1}], "name": "c"}], "initContainers": [{}]}});
    let mut seen = Vec::new();
    walk(type_of("", "v1", "Pod").unwrap(), &mut pod, &mut |t, v| {
        seen.push(t.short_name());
        if t.short_name() == "ContainerPort" {
            v["protocol"] = "TCP".into();
        }
    });
    assert_eq!(seen, ["Pod", "PodSpec", "Container", "Container", "ContainerPort"]);
    assert_eq!(pod["spec"]["containers"][0]["ports"][0]["protocol"], "TCP");
}

#[test]
fn defaulting() {
    let port = type_named("core.v1.ContainerPort").unwrap();
    assert_eq!(defaults_for(port).1, [("protocol", "\"TCP\"")]);
    assert!(defaulted_kinds().contains(&type_named("core.v1.Pod").unwrap()));
    assert_eq!(defaults_for(type_named("core.v1.PodSpec").unwrap()).0, ["PodSpec"]);
}
