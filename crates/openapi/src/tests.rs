//! Every reference leads somewhere, and what kubectl looks for is there.

use super::*;
use serde_json::json;

fn built_in(group: &str) -> Vec<ResourceDoc> {
    schema::resources().iter().filter(|r| r.default && r.group == group).map(ResourceDoc::from).collect()
}

fn references<'a>(v: &'a Value, out: &mut Vec<&'a str>) {
    match v {
        Value::Object(o) => {
            if let Some(Value::String(r)) = o.get("$ref") {
                out.push(r);
            }
            o.values().for_each(|v| references(v, out));
        }
        Value::Array(a) => a.iter().for_each(|v| references(v, out)),
        _ => {}
    }
}

#[test]
fn no_reference_dangles() {
    let all: Vec<ResourceDoc> =
        schema::resources().iter().filter(|r| r.default).map(ResourceDoc::from).collect();
    let mut groups: Vec<&str> = all.iter().map(|r| r.group.as_str()).collect();
    groups.dedup();
    for (doc, at) in
        groups.iter().map(|g| (v3(&built_in(g)), "/components/schemas/")).chain([(v2(&all), "/definitions/")])
    {
        let mut refs = Vec::new();
        references(&doc, &mut refs);
        assert!(!refs.is_empty());
        for r in refs {
            let name = r.trim_start_matches('#').strip_prefix(at).unwrap_or_else(|| panic!("{r}"));
            assert!(doc.pointer(&format!("{at}{name}")).is_some_and(Value::is_object), "{r} leads nowhere");
        }
    }
}

#[test]
fn explain_finds_descriptions() {
    let d = v3(&built_in("apps"));
    let spec = &d["components"]["schemas"]["io.k8s.api.apps.v1.DeploymentSpec"];
    assert!(
        spec["properties"]["strategy"]["description"]
            .as_str()
            .is_some_and(|s| s.contains("deployment strategy")),
        "{spec}"
    );
    assert_eq!(spec["required"], json!(["selector", "template"]));
    let pod = &d["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
    assert_eq!(pod["x-kubernetes-patch-merge-key"], "name");
    assert_eq!(pod["x-kubernetes-list-map-keys"], json!(["name"]));
    let gvk = &d["components"]["schemas"]["io.k8s.api.apps.v1.Deployment"]["x-kubernetes-group-version-kind"];
    assert_eq!(gvk, &json!([{"group": "apps", "version": "v1", "kind": "Deployment"}]));
}

#[test]
fn kubectl_sees_that_fields_are_validated_here() {
    let d = v3(&built_in(""));
    let patch = &d["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"];
    assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Pod");
    let parameters = patch["parameters"].as_array().unwrap();
    assert!(parameters.iter().any(|p| p["name"] == "fieldValidation"));
}

#[test]
fn a_custom_resource_has_its_schema_and_metadata() {
    let r = ResourceDoc {
        group: "stable.example.com".into(),
        version: "v1".into(),
        resource: "crontabs".into(),
        kind: "CronTab".into(),
        namespaced: true,
        verbs: ["get", "list", "create", "patch"].map(str::to_owned).to_vec(),
        subresources: Vec::new(),
        schema: Schema::Custom(json!({"type": "object", "properties": {"spec": {"type": "object"}}})),
    };
    let d = v3(&[r]);
    let s = &d["components"]["schemas"]["com.example.stable.v1.CronTab"];
    assert!(s["properties"]["spec"].is_object() && s["properties"]["metadata"]["allOf"].is_array(), "{s}");
    for (f, begins) in
        [("apiVersion", "APIVersion defines"), ("kind", "Kind is"), ("metadata", "Standard object")]
    {
        let have = s["properties"][f]["description"].as_str().unwrap_or_default();
        assert!(have.starts_with(begins), "{f}: {have}");
    }
}
