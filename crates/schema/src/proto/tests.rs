//! Bytes that upstream would not write, and bytes that nobody would.

use super::*;
use crate::{facts, json, transcode};
use proptest::prelude::*;
use serde_json::json;

fn ty(kind: &str) -> TypeId {
    facts::type_of("", "v1", kind).unwrap()
}

#[test]
fn envelopes() {
    let b = wrap("apps/v1", "Deployment", b"\x0a\x00");
    assert_eq!(unwrap(&b), Ok(Envelope { api_version: "apps/v1", kind: "Deployment", raw: b"\x0a\x00" }));
    for (bytes, want) in [
        (&b""[..], "empty data"),
        (b"k8s\0", "empty body"),
        (b"{}", "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"),
        (b"k8s\0\x0a\xff", "unexpected EOF"),
    ] {
        assert_eq!(unwrap(bytes), Err(DecodeError(want.into())));
    }
}

#[test]
fn odd_but_lawful_bytes() {
    // Unknown fields of every wire type are passed over; scalars wrap as Go's do; parts of a message are merged.
    let raw = [
        &[
            0xf8, 0x07, 0x01, 0xfa, 0x07, 0x01, b'x', 0xf9, 0x07, 1, 2, 3, 4, 5, 6, 7, 8, 0xfd, 0x07, 1, 2,
            3, 4,
        ][..],
        &[0x0a, 3, 0x0a, 1, b'n', 0x0a, 3, 0x1a, 1, b's'],
        // priority: 2^32 + 5 as int32; hostNetwork: 7.
        &[0x12, 9, 0xc8, 0x01, 0x85, 0x80, 0x80, 0x80, 0x10, 0x58, 7],
    ]
    .concat();
    let v = decode(&raw, ty("Pod")).unwrap();
    assert_eq!(
        v,
        json!({"metadata": {"name": "n", "namespace": "s"}, "spec": {"priority": 5, "hostNetwork": true}, "status": {}})
    );
    // A string that is no UTF-8, a map entry without a value, an empty quantity.
    let raw = [&[0x0a, 3, 0x0a, 1, 0xff, 0x12, 3, 0x0a, 1, b'k'][..]].concat();
    assert_eq!(
        decode(&raw, ty("ConfigMap")).unwrap(),
        json!({"metadata": {"name": "\u{fffd}"}, "data": {"k": ""}})
    );
}

#[test]
fn unlawful_bytes() {
    for raw in [
        &[0x0a][..],
        &[0x0a, 5, 1],
        &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        &[0x00, 1],
        &[0x0b],
        &[0x08, 1],
        &[0x0a, 2, 0x08, 1],
        &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80],
        // A time in the year 300 million; raw JSON that is none.
        &[0x0a, 11, 0x42, 9, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        &[0x0a, 9, 0x8a, 0x01, 6, 0x3a, 4, 0x0a, 2, b'{', b'x'],
    ] {
        assert!(decode(raw, ty("Pod")).is_err(), "{raw:?}");
        let mut out = vec![1];
        assert!(transcode::proto_to_json(raw, ty("Pod"), None, "", &mut out).is_err(), "{raw:?}");
        assert_eq!(out, [1]);
    }
    let deep = (0..2000).fold(Vec::new(), |inner, _| {
        // JSONSchemaProps.not
        let mut out = Vec::new();
        wire::put_tag(28, 2, &mut out);
        wire::put_varint(inner.len() as u64, &mut out);
        out.extend(inner);
        out
    });
    let schema = facts::type_named("apiextensions.v1.JSONSchemaProps").unwrap();
    assert_eq!(decode(&deep, schema), Err(DecodeError("exceeded max depth".into())));
    let mut out = Vec::new();
    assert!(transcode::proto_to_json(&deep, schema, None, "", &mut out).is_err());
}

#[test]
fn typed_values() {
    #[derive(serde::Deserialize, Debug, PartialEq)]
    #[serde(rename_all = "camelCase")]
    struct Meta {
        name: String,
        resource_version: Option<String>,
    }
    #[derive(serde::Deserialize, Debug, PartialEq)]
    struct Map {
        metadata: Meta,
        data: std::collections::BTreeMap<String, String>,
    }
    let v = json!({"metadata": {"name": "n", "resourceVersion": "1"}, "data": {"a": "b"}});
    let raw = encode(&v, ty("ConfigMap"));
    for (rv, want) in [(None, Some("1")), (Some("7"), Some("7")), (Some(""), None)] {
        let m: Map = from_bytes(&raw, ty("ConfigMap"), rv).unwrap();
        assert_eq!(m.metadata, Meta { name: "n".into(), resource_version: want.map(str::to_owned) });
        assert_eq!(m.data["a"], "b");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever comes, the stream and the tree agree: both fail, or both say the same.
    #[test]
    fn random_bytes_never_panic(raw in proptest::collection::vec(any::<u8>(), 0..200)) {
        agree(&raw, ty("Pod"))?;
        let _ = unwrap(&raw);
        let _ = crate::Header::from_proto(&raw);
        let _ = crate::Header::from_json(&raw);
        let _ = json::decode(&raw, ty("Pod"));
        let _ = json::decode_untyped(&raw);
        let _ = crate::yaml::parse_all(&raw);
        let _ = transcode::proto_with_version(&raw, "5", &mut Vec::new());
        let _ = transcode::json_with_version(&raw, "5", &mut Vec::new());
    }

    /// Real objects with bytes changed, cut and doubled reach deeper.
    #[test]
    fn damaged_objects_never_panic(
        which in 0usize..FIXTURES.len(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 1..6),
    ) {
        let (kind, bytes) = FIXTURES[which];
        let e = unwrap(bytes).unwrap();
        let (g, v) = e.api_version.split_once('/').unwrap_or(("", e.api_version));
        let ty = facts::type_of(g, v, kind).unwrap();
        let mut raw = e.raw.to_vec();
        for (at, b, how) in edits {
            if raw.is_empty() {
                break;
            }
            let i = at.index(raw.len());
            match how {
                0 => raw[i] = b,
                1 => raw.truncate(i),
                _ => raw.extend_from_within(i..),
            }
        }
        agree(&raw, ty)?;
        let _ = crate::Header::from_proto(&raw);
        let _ = transcode::proto_with_version(&raw, "5", &mut Vec::new());
    }

    #[test]
    fn damaged_text_never_panics(
        at in any::<prop::sample::Index>(), b in any::<u8>(), cut in any::<bool>(), yaml in any::<bool>(),
    ) {
        let mut text = if yaml { POD_YAML.to_vec() } else { POD_JSON.to_vec() };
        let i = at.index(text.len());
        if cut { text.truncate(i) } else { text[i] = b }
        if yaml {
            let _ = crate::yaml::decode(&text);
        } else {
            let d = json::decode(&text, ty("Pod"));
            let u = json::decode_untyped(&text);
            prop_assert!(u.is_ok() || d.is_err());
            if let (Ok(d), Ok(u)) = (d, u) {
                // By way of a parsed value the same comes out.
                prop_assert_eq!(json::canonicalize(u.value, ty("Pod")).unwrap().value, d.value);
            }
        }
    }
}

const POD_JSON: &[u8] = include_bytes!("../../testdata/v1.Pod.json");
const POD_YAML: &[u8] = include_bytes!("../../testdata/v1.Pod.yaml");
const FIXTURES: &[(&str, &[u8])] = &[
    ("Pod", include_bytes!("../../testdata/v1.Pod.pb")),
    ("Service", include_bytes!("../../testdata/v1.Service.pb")),
    ("Secret", include_bytes!("../../testdata/v1.Secret.pb")),
    ("Deployment", include_bytes!("../../testdata/apps.v1.Deployment.pb")),
    ("Lease", include_bytes!("../../testdata/coordination.k8s.io.v1.Lease.pb")),
    (
        "CustomResourceDefinition",
        include_bytes!("../../testdata/apiextensions.k8s.io.v1.CustomResourceDefinition.pb"),
    ),
];

/// Raw JSON parts keep the order of their keys in the stream, so texts are compared as values.
fn agree(raw: &[u8], ty: TypeId) -> Result<(), TestCaseError> {
    let mut out = Vec::new();
    match (decode(raw, ty), transcode::proto_to_json(raw, ty, None, "x", &mut out)) {
        (Err(_), Err(_)) => {}
        (Ok(mut v), Ok(())) => {
            set_version(&mut v, "x");
            let mut tree = Vec::new();
            json::encode(&v, ty, &mut tree);
            let parse =
                |b: &[u8]| serde_json::from_slice::<Value>(b).map_err(|e| TestCaseError::fail(e.to_string()));
            prop_assert_eq!(parse(&out)?, parse(&tree)?);
            // So does the deserializer.
            let typed: Value = from_bytes(raw, ty, Some("x")).map_err(|e| TestCaseError::fail(e.0))?;
            prop_assert_eq!(&typed, &v);
            // What was decoded is canonical, and survives both encodings.
            let text = json::decode(&tree, ty).map_err(|e| TestCaseError::fail(e.0))?;
            prop_assert_eq!(&text.value, &v);
            let again = decode(&encode(&v, ty), ty).map_err(|e| TestCaseError::fail(e.0))?;
            prop_assert_eq!(&again, &v);
        }
        (tree, stream) => prop_assert!(false, "tree {:?} stream {:?}", tree, stream),
    }
    Ok(())
}
