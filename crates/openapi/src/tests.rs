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

/// The fields of a message: number, and the bytes (or the number) there.
fn fields(mut b: &[u8]) -> Vec<(u64, &[u8])> {
    fn varint(b: &mut &[u8]) -> u64 {
        let (mut n, mut at) = (0, 0);
        loop {
            let byte = b[0];
            *b = &b[1..];
            n |= u64::from(byte & 0x7f) << at;
            at += 7;
            if byte < 0x80 {
                return n;
            }
        }
    }
    let mut out = Vec::new();
    while !b.is_empty() {
        let tag = varint(&mut b);
        let before = b;
        let len = match tag & 7 {
            0 => {
                varint(&mut b);
                out.push((tag >> 3, &before[..before.len() - b.len()]));
                continue;
            }
            1 => 8,
            2 => usize::try_from(varint(&mut b)).unwrap(),
            t => panic!("wire type {t}"),
        };
        out.push((tag >> 3, &b[..len]));
        b = &b[len..];
    }
    out
}

/// Follows field numbers into a message.
fn at<'a>(b: &'a [u8], path: &[u64]) -> Vec<&'a [u8]> {
    path.iter().fold(vec![b], |all, n| {
        all.iter().flat_map(|b| fields(b)).filter(|(f, _)| f == n).map(|(_, b)| b).collect()
    })
}

#[test]
fn version_2_as_protobuf_has_what_the_json_has() {
    let all: Vec<ResourceDoc> =
        schema::resources().iter().filter(|r| r.default).map(ResourceDoc::from).collect();
    let json = v2(&all);
    let pb = v2_protobuf(&json);
    assert_eq!(at(&pb, &[1]), [b"2.0"]);
    assert_eq!(at(&pb, &[9, 1]).len(), json["definitions"].as_object().unwrap().len());
    assert_eq!(at(&pb, &[8, 2]).len(), json["paths"].as_object().unwrap().len());
    let entry = |list: Vec<&'static [u8]>, name: &str| {
        list.into_iter().find(|e| at(e, &[1]) == [name.as_bytes()]).unwrap_or_else(|| panic!("{name}"))
    };
    let pb: &'static [u8] = pb.leak();
    // A definition: its type, a property that refers to another, its extension.
    let d = entry(at(pb, &[9, 1]), "io.k8s.api.apps.v1.Deployment");
    assert_eq!(at(d, &[2, 22, 1]), [b"object"]);
    let spec = entry(at(d, &[2, 25, 1]), "spec");
    let mut to = at(spec, &[2, 1]);
    to.extend(at(spec, &[2, 24, 1]));
    assert_eq!(to, [b"#/definitions/io.k8s.api.apps.v1.DeploymentSpec"]);
    let gvk = entry(at(d, &[2, 31]), "x-kubernetes-group-version-kind");
    let gvk: Value = serde_json::from_slice(at(gvk, &[2, 2])[0]).unwrap();
    assert_eq!(gvk, json!([{"group": "apps", "version": "v1", "kind": "Deployment"}]));
    // An operation: its parameters of each sort, the schema of its answer.
    let p = entry(at(pb, &[8, 2]), "/apis/apps/v1/namespaces/{namespace}/deployments/{name}");
    let queries = at(p, &[2, 8, 8, 1, 2, 3, 4]);
    assert!(queries.contains(&&b"fieldValidation"[..]), "{queries:?}");
    assert_eq!(at(p, &[2, 8, 8, 1, 1, 2]), [b"body"]);
    assert_eq!(at(p, &[2, 9, 1, 2, 4, 4]), [&b"name"[..], b"namespace"]);
    assert_eq!(
        at(entry(at(p, &[2, 2, 9, 1]), "200"), &[2, 1, 2, 1, 1]),
        [b"#/definitions/io.k8s.api.apps.v1.Deployment"]
    );
}

#[test]
fn version_2_as_protobuf_drops_nothing() {
    let v = json!({"swagger": "2.0", "definitions": {"a": {"type": "object", "minimum": 1.5, "maxLength": 3, "uniqueItems": true,
        "default": {"b": 1}, "enum": ["x", 2], "required": ["b"], "additionalProperties": {"type": "string"},
        "items": {"$ref": "#/definitions/a"}, "readOnly": true}}});
    let pb = v2_protobuf(&v);
    let a = at(&pb, &[9, 1, 2])[0];
    assert_eq!(at(a, &[9])[0], 1.5f64.to_le_bytes());
    assert_eq!((at(a, &[11])[0], at(a, &[16])[0], at(a, &[27])[0]), (&[3u8][..], &[1u8][..], &[1u8][..]));
    assert_eq!(at(a, &[5, 2]), [br#"{"b":1}"#]);
    assert_eq!(at(a, &[20, 2]), [&br#""x""#[..], b"2"]);
    assert_eq!(at(a, &[21, 1, 22, 1]), [b"string"]);
    assert_eq!(at(a, &[23, 1, 1]), [b"#/definitions/a"]);
}
