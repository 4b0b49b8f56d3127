//! Times of the codecs on one Pod: `cargo test --release -p schema --test speed -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use schema::{facts, json, proto, transcode};
use std::hint::black_box;
use std::time::Instant;

/// Microseconds a call, the best of several rounds.
fn time<T>(mut f: impl FnMut() -> T) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..30 {
        let t = Instant::now();
        for _ in 0..200 {
            black_box(f());
        }
        best = best.min(t.elapsed().as_nanos() as f64 / 200.0);
    }
    best / 1000.0
}

/// A Pod as clusters have them: about 9 KB of JSON, of which a third are managed fields.
fn pod() -> Vec<u8> {
    let small = include_str!("../testdata/v1.Pod.json");
    let mut v = json::decode_untyped(small.as_bytes()).unwrap().value;
    let c = v["spec"]["containers"][0].clone();
    let s = v["status"]["containerStatuses"][0].clone();
    let m = v["metadata"]["managedFields"][0].clone();
    for i in 0..5 {
        let mut c = c.clone();
        c["name"] = format!("c{i}").into();
        v["spec"]["containers"].as_array_mut().unwrap().push(c);
        v["status"]["containerStatuses"].as_array_mut().unwrap().push(s.clone());
    }
    let fields: String =
        (0..60).map(|i| format!("\"f:field{i:02}\":{{\".\":{{}},\"f:name\":{{}}}},")).collect();
    let fields = json::decode_untyped(format!("{{{fields}\"f:z\":{{}}}}").as_bytes()).unwrap().value;
    let mut m2 = m;
    m2["fieldsV1"] = fields;
    v["metadata"]["managedFields"].as_array_mut().unwrap().push(m2);
    json::to_vec(&v)
}

#[test]
#[ignore = "prints times"]
fn speed() {
    let ty = facts::type_of("", "v1", "Pod").unwrap();
    let text = pod();
    let value = json::decode(&text, ty).unwrap().value;
    let raw = proto::encode(&value, ty);
    let mut out = Vec::with_capacity(32 << 10);
    println!("JSON {} B, protobuf {} B; microseconds:", text.len(), raw.len());
    println!("json::decode          {:7.1}", time(|| json::decode(&text, ty).unwrap()));
    println!("json::decode_untyped  {:7.1}", time(|| json::decode_untyped(&text).unwrap()));
    println!(
        "serde_json::Value     {:7.1}",
        time(|| serde_json::from_slice::<serde_json::Value>(&text).unwrap())
    );
    println!("canonicalize (+clone) {:7.1}", time(|| json::canonicalize(value.clone(), ty).unwrap()));
    println!("clone                 {:7.1}", time(|| value.clone()));
    println!(
        "json::encode          {:7.1}",
        time(|| {
            out.clear();
            json::encode(&value, ty, &mut out);
        })
    );
    println!("proto::decode         {:7.1}", time(|| proto::decode(&raw, ty).unwrap()));
    println!("proto::encode         {:7.1}", time(|| proto::encode(&value, ty)));
    println!(
        "proto_to_json         {:7.1}",
        time(|| {
            out.clear();
            transcode::proto_to_json(&raw, ty, Some(("Pod", "v1")), "12345", &mut out).unwrap();
        })
    );
    println!(
        "proto_with_version    {:7.1}",
        time(|| {
            out.clear();
            transcode::proto_with_version(&raw, "12345", &mut out).unwrap();
        })
    );
    println!(
        "from_bytes::<Value>   {:7.1}",
        time(|| proto::from_bytes::<serde_json::Value>(&raw, ty, Some("1")).unwrap())
    );
    println!("Header::from_proto    {:7.1}", time(|| schema::Header::from_proto(&raw).unwrap()));
}
