//! Typed decoding: messages, canonical form, limits. Most right-hand sides are upstream's answers (see
//! `testdata/oracle`).

use super::*;
use crate::facts;
use serde_json::json;

fn ty(group: &str, kind: &str) -> TypeId {
    facts::type_of(group, "v1", kind).unwrap()
}
/// The decoded object as upstream would print it, then strict errors; or the error.
fn pod(text: &str) -> String {
    match decode(text.as_bytes(), ty("", "Pod")) {
        Err(e) => format!("E {e}"),
        Ok(d) => {
            let mut out = Vec::new();
            encode(&d.value, ty("", "Pod"), &mut out);
            let mut s = String::from_utf8(out).unwrap();
            d.strict.iter().for_each(|e| s += &format!("\n{e}"));
            s
        }
    }
}

#[test]
fn messages_are_upstreams() {
    for (text, want) in [
        (
            "{\"metadata\":{\"name\":1}}",
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.name of type string",
        ),
        (
            "{\"spec\":{\"containers\":\"x\"}}",
            "json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (
            "{\"spec\":{\"containers\":[{\"ports\":[{\"containerPort\":\"80\"}]}]}}",
            "json: cannot unmarshal string into Go struct field ContainerPort.spec.containers.ports.containerPort of type int32",
        ),
        (
            "{\"spec\":{\"priority\":99999999999}}",
            "json: cannot unmarshal number 99999999999 into Go struct field PodSpec.spec.priority of type int32",
        ),
        (
            "{\"spec\":{\"terminationGracePeriodSeconds\":1e3}}",
            "json: cannot unmarshal number 1e3 into Go struct field PodSpec.spec.terminationGracePeriodSeconds of type int64",
        ),
        (
            "{\"spec\":{\"restartPolicy\":5}}",
            "json: cannot unmarshal number into Go struct field PodSpec.spec.restartPolicy of type v1.RestartPolicy",
        ),
        (
            "{\"spec\":{\"nodeSelector\":{\"a\":true}}}",
            "json: cannot unmarshal bool into Go struct field PodSpec.spec.nodeSelector of type string",
        ),
        (
            "{\"spec\":{\"volumes\":[{\"hostPath\":\"x\"}]}}",
            "json: cannot unmarshal string into Go struct field Volume.spec.volumes.VolumeSource.hostPath of type v1.HostPathVolumeSource",
        ),
        (
            "{\"metadata\":{\"creationTimestamp\":5}}",
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.creationTimestamp of type string",
        ),
        (
            "{\"metadata\":{\"creationTimestamp\":\"x\"}}",
            "parsing time \"x\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"x\" as \"2006\"",
        ),
        ("{\"spec\":{\"overhead\":{\"cpu\":\"1x\"}}}", meta::quantity::ERR_FORMAT),
        ("[]", "json: cannot unmarshal array into Go value of type v1.Pod"),
        ("", "unexpected end of JSON input"),
        ("{\"a\":1,}", "invalid character '}' looking for beginning of object key string"),
        ("{\"a\":tru}", "invalid character '}' in literal true (expecting 'e')"),
        ("{\"a\":\"\u{1}\"}", "invalid character '\\x01' in string literal"),
        ("{\"a\":1}}", "invalid character '}' after top-level value"),
        // What is no JSON at all weighs more than a wrong type before it.
        ("{\"metadata\":{\"name\":1}", "unexpected end of JSON input"),
    ] {
        assert_eq!(pod(text), format!("E {want}"), "{text}");
    }
}

#[test]
fn unknown_and_duplicate_fields_in_document_order() {
    assert_eq!(
        pod(r#"{"spec":{"foo":1,"containers":[{"bar":{"a":{"x":1}},"name":"a","name":"b"},{"bar":1}]},"x":1,"metadata":{"labels":{"k":"1","k":"2"}},"x":2,"spec":{"nodeName":"n"}}"#)
            .split_once('\n')
            .unwrap()
            .1
            .lines()
            .collect::<Vec<_>>(),
        [
            r#"unknown field "spec.foo""#,
            r#"unknown field "spec.containers[0].bar""#,
            r#"duplicate field "spec.containers[0].name""#,
            r#"unknown field "spec.containers[1].bar""#,
            r#"unknown field "x""#,
            r#"duplicate field "metadata.labels.k""#,
            r#"duplicate field "spec""#,
        ]
    );
    let many: String = (0..300).map(|i| format!("\"f{i}\":{i},")).collect();
    let d = decode(format!("{{{many}\"kind\":\"Pod\"}}").as_bytes(), ty("", "Pod")).unwrap();
    assert_eq!(d.strict.len(), 100);
    let d = decode_untyped(br#"{"a":{"b":1,"b":2},"l":[{"c":1},{"c":1,"c":2}],"a":{"b":3}}"#).unwrap();
    assert_eq!(d.value, json!({"a": {"b": 3}, "l": [{"c": 1}, {"c": 2}]}));
    assert_eq!(d.strict, ["duplicate field \"a.b\"", "duplicate field \"l[1].c\"", "duplicate field \"a\""]);
}

#[test]
fn canonical_form() {
    let v = json!({"kind": "Pod", "metadata": {"creationTimestamp": null, "labels": {}, "generation": 0, "finalizers": []},
        "spec": {"containers": [{"name": "c", "command": [], "resources": {"limits": {"cpu": 0.5, "memory": "1.50Gi"}},
            "livenessProbe": {"httpGet": {"port": 80.0}}, "stdin": false}], "volumes": null, "priority": 0,
            "hostNetwork": false, "securityContext": {}}});
    let c = canonicalize(v, ty("", "Pod")).unwrap().value;
    assert_eq!(
        c,
        json!({"kind": "Pod", "metadata": {},
        "spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "500m", "memory": "1536Mi"}},
            "livenessProbe": {"httpGet": {"port": 80}}}], "priority": 0, "securityContext": {}}, "status": {}})
    );
    let s = canonicalize(json!({"spec": {"ports": [{"port": 1}]}}), ty("", "Service")).unwrap().value;
    assert_eq!(
        s,
        json!({"metadata": {}, "spec": {"ports": [{"port": 1, "targetPort": 0}]}, "status": {"loadBalancer": {}}})
    );
    let mut v = json!({"spec": {"template": {}}});
    fill_zeros(&mut v, ty("apps", "Deployment"));
    assert_eq!(
        v,
        json!({"metadata": {}, "status": {}, "spec": {"strategy": {}, "template": {"metadata": {}, "spec": {}}}})
    );
    // Fields that are not omitted are null when there is nothing.
    assert_eq!(pod("{}"), r#"{"metadata":{},"spec":{"containers":null},"status":{}}"#);
}

#[test]
fn text_is_written_as_go_writes_it() {
    let v = json!({"z": "<&>\u{2028}\u{7f}\u{8}\"\\\n\u{1}é😀", "a": [1.0, 1e21, 1e-7, 0.1, -5, 18446744073709551615u64, 1e20, null]});
    assert_eq!(
        to_string(&v),
        "{\"a\":[1,1e+21,1e-7,0.1,-5,18446744073709551615,100000000000000000000,null],\"z\":\"\\u003c\\u0026\\u003e\\u2028\u{7f}\\b\\\"\\\\\\n\\u0001é😀\"}"
    );
    let mut out = Vec::new();
    compact(b" { \"a\" : [ 1.0 , \"<\\u003e\" ] } ", &mut out).unwrap();
    assert_eq!(out, br#"{"a":[1.0,"\u003c\u003e"]}"#);
    for bad in ["", "{", "[1", "1 2", "{\"a\":}", "nul"] {
        assert!(compact(bad.as_bytes(), &mut Vec::new()).is_err(), "{bad}");
    }
    assert_eq!(decode_untyped(br#"["\ud83d\ude00\ud83d\u0041\/"]"#).unwrap().value, json!(["😀\u{fffd}A/"]));
    assert_eq!(decode_untyped(b"[\"\xff\"]").unwrap().value, json!(["\u{fffd}"]));
}

#[test]
fn indentation() {
    let text = br#"{"a":[],"b":{},"c":[1,{"d":"x,{\\\":y"}],"e":"\\\\"}"#;
    expect_test::expect![[r#"
        {
          "a": [],
          "b": {},
          "c": [
            1,
            {
              "d": "x,{\\\":y"
            }
          ],
          "e": "\\\\"
        }"#]]
    .assert_eq(&String::from_utf8(indent(text, "  ")).unwrap());
}

#[test]
fn kinds_are_peeked_at() {
    let p = |s: &str| peek(s.as_bytes()).map_err(|e| e.0);
    assert_eq!(p(r#"{"spec":{"kind":"x"},"kind":"Pod","apiVersion":"v1"}"#), Ok(("v1".into(), "Pod".into())));
    assert_eq!(p("{}"), Ok((String::new(), String::new())));
    assert_eq!(p("x").unwrap_err(), "invalid character 'x' looking for beginning of value");
    assert!(p(r#"{"kind":1}"#).is_err() && p("[]").is_err());
}

#[test]
fn depth_is_bounded() {
    let crd = ty("apiextensions.k8s.io", "CustomResourceDefinition");
    let nested = |n: usize| {
        let open = "{\"not\":".repeat(n);
        format!(
            "{{\"spec\":{{\"versions\":[{{\"schema\":{{\"openAPIV3Schema\":{open}{{}}{}}}}}]}}}}",
            "}".repeat(n)
        )
    };
    let d = decode(nested(240).as_bytes(), crd).unwrap();
    let raw = crate::proto::encode(&d.value, crd);
    assert_eq!(crate::proto::decode(&raw, crd).unwrap()["spec"], d.value["spec"]);
    let mut out = Vec::new();
    crate::transcode::proto_to_json(&raw, crd, None, "", &mut out).unwrap();
    for n in [600, 100_000] {
        assert_eq!(decode(nested(n).as_bytes(), crd).unwrap_err().0, "exceeded max depth");
        for text in ["[".repeat(n), "{\"a\":".repeat(n), format!("{{\"spec\":{{\"x\":{}", "[".repeat(n))] {
            assert_eq!(decode_untyped(text.as_bytes()).unwrap_err().0, "exceeded max depth");
            assert!(decode(text.as_bytes(), crd).is_err());
            assert!(compact(text.as_bytes(), &mut Vec::new()).is_err());
            assert!(peek(text.as_bytes()).is_err());
        }
    }
    let mut deep = json!(1);
    for _ in 0..600 {
        deep = json!([deep]);
    }
    assert!(canonicalize(json!({"spec": {"x": deep}}), crd).is_err());
    // The deepest that is taken fits the stack of a worker thread.
    let text = "[".repeat(511) + &"]".repeat(511);
    assert!(decode_untyped(text.as_bytes()).is_ok());
    let d = decode(nested(500).as_bytes(), crd).unwrap();
    let raw = crate::proto::encode(&d.value, crd);
    crate::transcode::proto_to_json(&raw, crd, None, "", &mut out).unwrap();
}
