//! Upstream's round-trip fixtures (`k8s.io/api` testdata/HEAD: one .json, .pb and .yaml per kind), byte for byte, and the
//! small set of our own in `testdata/`, so that this test is never empty.

#![allow(clippy::unwrap_used)]

use schema::{TypeId, Value, facts, json, proto};
use std::path::{Path, PathBuf};

/// The folder of upstream's fixtures, or none.
fn upstream() -> Option<PathBuf> {
    if let Ok(d) = std::env::var("KEELSON_K8S_API_TESTDATA") {
        return Some(d.into());
    }
    let out = std::process::Command::new("go").args(["env", "GOMODCACHE"]).output().ok()?;
    let cache = String::from_utf8(out.stdout).ok()?;
    let dir = Path::new(cache.trim()).join("k8s.io/api@v0.37.2/testdata/HEAD");
    dir.is_dir().then_some(dir)
}

struct Fixture {
    name: String,
    ty: TypeId,
    api_version: String,
    kind: String,
    /// Compact.
    json: Vec<u8>,
    pb: Vec<u8>,
    yaml: Option<Vec<u8>>,
}

fn load(dir: &Path) -> Vec<Fixture> {
    let mut all = Vec::new();
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    for f in files.iter().filter(|f| f.extension().is_some_and(|e| e == "json")) {
        let text = std::fs::read(f).unwrap();
        let Ok((api_version, kind)) = json::peek(&text) else { continue };
        let (g, v) = api_version.split_once('/').unwrap_or(("", &api_version));
        let Some(ty) = facts::type_of(g, v, &kind) else { continue };
        let mut compact = Vec::new();
        json::compact(&text, &mut compact).unwrap();
        let mut yaml = std::fs::read(f.with_extension("yaml")).ok();
        if kind.starts_with("StatefulSet") {
            compact = with_templates(&String::from_utf8(compact).unwrap()).into_bytes();
            yaml = None;
        }
        let name = f.file_stem().unwrap().to_string_lossy().into_owned();
        let Ok(pb) = std::fs::read(f.with_extension("pb")) else { continue };
        all.push(Fixture { name, ty, api_version, kind, json: compact, pb, yaml });
    }
    all
}

/// The codecs give claim templates their type, as upstream's server does in a conversion that the fixtures have not been
/// through.
fn with_templates(text: &str) -> String {
    let (head, tail) = text.split_once("\"volumeClaimTemplates\":[{").unwrap_or((text, ""));
    if tail.is_empty() {
        return text.to_owned();
    }
    format!(
        "{head}\"volumeClaimTemplates\":[{{\"kind\":\"PersistentVolumeClaim\",\"apiVersion\":\"v1\",{tail}"
    )
    .replace(
        "\"apiVersion\":\"v1\",\"kind\":\"kindValue\",\"apiVersion\":\"apiVersionValue\",",
        "\"apiVersion\":\"v1\",",
    )
}

fn fixtures() -> Vec<Fixture> {
    let mut all = load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata"));
    assert!(all.len() >= 9, "our own fixtures are gone");
    match upstream() {
        Some(d) => {
            let theirs = load(&d);
            assert!(
                theirs.len() >= 120,
                "only {} of upstream's fixtures are of a type in the table",
                theirs.len()
            );
            all.extend(theirs);
        }
        None => println!(
            "NOTE: upstream's fixtures are not here (go mod download k8s.io/api@v0.37.2): only our own are tested"
        ),
    }
    all
}

/// Where two texts part, for a message one can read.
fn same(name: &str, what: &str, got: &[u8], want: &[u8]) {
    if got != want {
        let at = got.iter().zip(want).take_while(|(a, b)| a == b).count();
        let near = |b: &[u8]| {
            String::from_utf8_lossy(&b[at.saturating_sub(60)..(at + 60).min(b.len())]).into_owned()
        };
        panic!("{name}: {what} differs at {at}\n got …{}\nwant …{}", near(got), near(want));
    }
}

fn with_type(mut v: Value, f: &Fixture) -> Value {
    v["kind"] = f.kind.as_str().into();
    v["apiVersion"] = f.api_version.as_str().into();
    v
}

#[test]
fn json_and_protobuf_round_trip() {
    for f in fixtures() {
        let e = proto::unwrap(&f.pb).unwrap();
        assert_eq!((e.api_version, e.kind), (f.api_version.as_str(), f.kind.as_str()));
        let from_proto =
            with_type(proto::decode(e.raw, f.ty).unwrap_or_else(|x| panic!("{}: {x}", f.name)), &f);
        let mut out = Vec::new();
        json::encode(&from_proto, f.ty, &mut out);
        same(&f.name, "protobuf to JSON", &out, &f.json);

        let d = json::decode(&f.json, f.ty).unwrap_or_else(|x| panic!("{}: {x}", f.name));
        assert_eq!(d.strict, Vec::<String>::new(), "{}", f.name);
        assert_eq!(d.value, from_proto, "{}", f.name);
        let raw = proto::encode(&d.value, f.ty);
        same(&f.name, "JSON to protobuf", &raw, e.raw);
        same(&f.name, "envelope", &proto::wrap(&f.api_version, &f.kind, &raw), &f.pb);

        let typed: Value = proto::from_bytes(e.raw, f.ty, None).unwrap_or_else(|x| panic!("{}: {x}", f.name));
        assert_eq!(with_type(typed, &f), from_proto, "{}: deserialized", f.name);

        let again = json::canonicalize(d.value.clone(), f.ty).unwrap();
        assert_eq!(again.value, from_proto, "{}: canonical form is a fixed point", f.name);
        let untyped = json::decode_untyped(&f.json).unwrap().value;
        assert_eq!(json::canonicalize(untyped, f.ty).unwrap().value, from_proto, "{}", f.name);
    }
}

#[test]
fn the_stream_says_what_the_tree_says() {
    for f in fixtures() {
        let e = proto::unwrap(&f.pb).unwrap();
        let v = proto::decode(e.raw, f.ty).unwrap();
        let rv = v["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        let mut out = Vec::new();
        schema::transcode::proto_to_json(e.raw, f.ty, Some((&f.kind, &f.api_version)), &rv, &mut out)
            .unwrap();
        same(&f.name, "the stream", &out, &f.json);
        let mut tree = Vec::new();
        json::encode(&v, f.ty, &mut tree);
        out.clear();
        schema::transcode::proto_to_json(e.raw, f.ty, None, &rv, &mut out).unwrap();
        same(&f.name, "the stream without a head", &out, &tree);
        if v.get("metadata").is_some_and(|m| m.get("uid").is_some()) {
            out.clear();
            schema::transcode::proto_with_version(e.raw, &rv, &mut out).unwrap();
            same(&f.name, "the version spliced in", &out, e.raw);
            let h = schema::Header::from_proto(e.raw).unwrap();
            assert_eq!(h, schema::Header::from_value(&v), "{}", f.name);
            assert_eq!(h, schema::Header::from_json(&f.json).unwrap(), "{}", f.name);
        }
    }
}

#[test]
fn yaml_is_read_and_written_as_upstream_does() {
    let mut n = 0;
    for f in fixtures() {
        let Some(text) = &f.yaml else { continue };
        let v = json::decode_untyped(&f.json).unwrap().value;
        let d = schema::yaml::decode(text).unwrap_or_else(|e| panic!("{}: {e}", f.name));
        assert_eq!(d.value, v, "{}", f.name);
        assert_eq!(d.strict, Vec::<String>::new());
        same(&f.name, "YAML written", schema::yaml::to_string(&v).as_bytes(), text);
        n += 1;
    }
    assert!(n >= 1);
}
