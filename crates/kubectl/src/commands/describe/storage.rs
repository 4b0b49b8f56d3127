//! Persistent volumes, claims, classes.

use super::network::probed_conditions;
use super::out::{Out, boolean, date, l, list, pairs, word, words};
use super::{Of, pod, volumes};
use crate::error::Error;
use crate::objects::text;
use serde_json::Value;

/// Access modes as their short names, each once, in upstream's order.
fn modes(v: &Value, at: &str) -> String {
    let have = words(v, at);
    [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ]
    .iter()
    .filter(|(m, _)| have.iter().any(|h| h == m))
    .map(|(_, s)| *s)
    .collect::<Vec<_>>()
    .join(",")
}

/// The class, by the old annotation or the field.
fn class_of(v: &Value) -> &str {
    v["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"]
        .as_str()
        .unwrap_or_else(|| text(v, "/spec/storageClassName"))
}

fn finalizers(v: &Value) -> String {
    format!("[{}]", words(v, "/metadata/finalizers").join(" "))
}

/// `Term 0:` and its requirements.
fn term(level: usize, title: &str, all: &[String], o: &mut Out) {
    o.part(level, &format!("{title}:\t"));
    if all.is_empty() {
        o.line(0, "<none>");
    }
    for (i, e) in all.iter().enumerate() {
        if i > 0 {
            o.part(level, "\t");
        }
        o.line(0, e);
    }
}

fn affinity(a: &Value, o: &mut Out) {
    if a["required"].is_null() {
        return l!(o, 0, "Node Affinity:\t<none>");
    }
    l!(o, 0, "Node Affinity:\t");
    let terms: Vec<&Value> = list(a, "/required/nodeSelectorTerms").collect();
    l!(o, 1, "Required Terms:\t{}", if terms.is_empty() { "<none>" } else { "" });
    for (i, t) in terms.iter().enumerate() {
        let all: Vec<String> = list(t, "/matchExpressions")
            .map(|r| {
                let values = words(r, "/values");
                let op = text(r, "/operator").to_lowercase();
                let values =
                    if values.is_empty() { String::new() } else { format!(" [{}]", values.join(", ")) };
                format!("{} {op}{values}", text(r, "/key"))
            })
            .collect();
        term(2, &format!("Term {i}"), &all, o);
    }
}

pub async fn volume(of: &Of<'_>, o: &mut Out) -> Result<(), Error> {
    let (v, spec) = (of.v, &of.v["spec"]);
    o.head(v);
    o.notes(v);
    l!(o, 0, "Finalizers:\t{}", finalizers(v));
    l!(o, 0, "StorageClass:\t{}", class_of(v));
    pod::status(v, o);
    let c = &spec["claimRef"];
    let claim =
        if c.is_object() { format!("{}/{}", text(c, "/namespace"), text(c, "/name")) } else { String::new() };
    l!(o, 0, "Claim:\t{claim}");
    l!(o, 0, "Reclaim Policy:\t{}", text(spec, "/persistentVolumeReclaimPolicy"));
    l!(o, 0, "Access Modes:\t{}", modes(spec, "/accessModes"));
    if !spec["volumeMode"].is_null() {
        l!(o, 0, "VolumeMode:\t{}", text(spec, "/volumeMode"));
    }
    l!(o, 0, "Capacity:\t{}", or_zero(text(spec, "/capacity/storage")));
    affinity(&spec["nodeAffinity"], o);
    l!(o, 0, "Message:\t{}", of.text("/status/message"));
    l!(o, 0, "Source:");
    volumes::source(spec, o);
    of.events(o).await;
    Ok(())
}

fn or_zero(s: &str) -> &str {
    if s.is_empty() { "0" } else { s }
}

pub async fn claim(of: &Of<'_>, o: &mut Out) -> Result<(), Error> {
    let (v, spec) = (of.v, &of.v["spec"]);
    let name = of.text("/metadata/name");
    let all = of.pods("", "").await?;
    let owner = |p: &&Value| {
        list(v, "/metadata/ownerReferences")
            .any(|r| text(r, "/kind") == "Pod" && text(r, "/uid") == text(p, "/metadata/uid"))
    };
    let uses = |p: &&Value| {
        list(p, "/spec/volumes").any(|v| text(v, "/persistentVolumeClaim/claimName") == name) || owner(p)
    };
    let mut users: Vec<String> =
        all.iter().filter(uses).map(|p| text(p, "/metadata/name").to_owned()).collect();
    users.sort();
    o.head(v);
    l!(o, 0, "StorageClass:\t{}", class_of(v));
    pod::status(v, o);
    l!(o, 0, "Volume:\t{}", text(spec, "/volumeName"));
    o.notes(v);
    l!(o, 0, "Finalizers:\t{}", finalizers(v));
    let bound = !text(spec, "/volumeName").is_empty();
    let (capacity, access) = if bound {
        (or_zero(of.text("/status/capacity/storage")).to_owned(), modes(v, "/status/accessModes"))
    } else {
        (String::new(), String::new())
    };
    l!(o, 0, "Capacity:\t{capacity}");
    l!(o, 0, "Access Modes:\t{access}");
    claim_tail(spec, 0, o);
    o.beside("", "Used By", &users);
    probed_conditions(v, "LastProbeTime", o);
    of.events(o).await;
    Ok(())
}

fn claim_tail(spec: &Value, level: usize, o: &mut Out) {
    if !spec["volumeMode"].is_null() {
        l!(o, level, "VolumeMode:\t{}", text(spec, "/volumeMode"));
    }
    let d = &spec["dataSource"];
    if d.is_object() {
        l!(o, level, "DataSource:");
        if !d["apiGroup"].is_null() {
            l!(o, level + 1, "APIGroup:\t{}", text(d, "/apiGroup"));
        }
        l!(o, level + 1, "Kind:\t{}", text(d, "/kind"));
        l!(o, level + 1, "Name:\t{}", text(d, "/name"));
    }
}

/// The claim of an ephemeral volume, at a level.
pub fn claim_template(t: &Value, level: usize, o: &mut Out) {
    let spec = &t["spec"];
    l!(o, level, "StorageClass:\t{}", class_of(t));
    l!(o, level, "Volume:\t{}", text(spec, "/volumeName"));
    let pad = "  ".repeat(level);
    o.labels(&format!("{pad}Labels"), &t["metadata"]["labels"]);
    o.annotations(&format!("{pad}Annotations"), &t["metadata"]["annotations"]);
    l!(o, level, "Capacity:\t");
    l!(o, level, "Access Modes:\t");
    claim_tail(spec, level, o);
}

pub fn claim_templates(all: &Value, o: &mut Out) {
    if list(all, "").next().is_none() {
        return l!(o, 0, "Volume Claims:\t<none>");
    }
    l!(o, 0, "Volume Claims:");
    for c in list(all, "") {
        l!(o, 1, "Name:\t{}", text(c, "/metadata/name"));
        l!(o, 1, "StorageClass:\t{}", class_of(c));
        for (title, key) in [("Labels", "labels"), ("Annotations", "annotations")] {
            let m = crate::objects::labels(&c["metadata"], &format!("/{key}"));
            let m: Vec<String> = m.into_iter().map(|(k, v)| format!("{k}={v}")).collect();
            o.beside("  ", title, &m);
        }
        let q = text(c, "/spec/resources/requests/storage");
        l!(o, 1, "Capacity:\t{}", if q.is_empty() { "<default>" } else { q });
        l!(o, 1, "Access Modes:\t[{}]", words(c, "/spec/accessModes").join(" "));
    }
}

pub async fn class(of: &Of<'_>, o: &mut Out) -> Result<(), Error> {
    let v = of.v;
    o.head(v);
    let notes = &v["metadata"]["annotations"];
    let default =
        ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"]
            .iter()
            .any(|k| notes[*k] == "true");
    l!(o, 0, "IsDefaultClass:\t{}", if default { "Yes" } else { "No" });
    l!(o, 0, "Annotations:\t{}", pairs(notes));
    l!(o, 0, "Provisioner:\t{}", of.text("/provisioner"));
    l!(o, 0, "Parameters:\t{}", pairs(&v["parameters"]));
    l!(o, 0, "AllowVolumeExpansion:\t{}", boolean(&v["allowVolumeExpansion"]));
    let options = words(v, "/mountOptions");
    l!(o, 0, "MountOptions:{}", if options.is_empty() { "\t<none>" } else { "" });
    options.iter().for_each(|m| l!(o, 1, "{m}"));
    for (title, at) in [("ReclaimPolicy", "/reclaimPolicy"), ("VolumeBindingMode", "/volumeBindingMode")] {
        if !of.text(at).is_empty() {
            l!(o, 0, "{title}:\t{}", of.text(at));
        }
    }
    if v["allowedTopologies"].is_array() {
        let all: Vec<&Value> = list(v, "/allowedTopologies").collect();
        l!(o, 0, "AllowedTopologies:\t{}", if all.is_empty() { "<none>" } else { "" });
        for (i, t) in all.iter().enumerate() {
            let e: Vec<String> = list(t, "/matchLabelExpressions")
                .map(|r| format!("{} in [{}]", text(r, "/key"), words(r, "/values").join(", ")))
                .collect();
            term(1, &format!("Term {i}"), &e, o);
        }
    }
    of.events(o).await;
    Ok(())
}

pub async fn attributes(of: &Of<'_>, o: &mut Out) -> Result<(), Error> {
    o.head(of.v);
    l!(o, 0, "Annotations:\t{}", pairs(&of.v["metadata"]["annotations"]));
    l!(o, 0, "DriverName:\t{}", of.text("/driverName"));
    l!(o, 0, "Parameters:\t{}", pairs(&of.v["parameters"]));
    of.events(o).await;
    Ok(())
}

pub async fn csinode(of: &Of<'_>, o: &mut Out) -> Result<(), Error> {
    let v = of.v;
    o.head(v);
    o.notes(v);
    l!(o, 0, "CreationTimestamp:\t{}", date(of.text("/metadata/creationTimestamp")));
    l!(o, 0, "Spec:");
    if v["spec"]["drivers"].is_array() {
        l!(o, 1, "Drivers:");
        for d in list(v, "/spec/drivers") {
            l!(o, 2, "{}:", text(d, "/name"));
            l!(o, 3, "Node ID:\t{}", text(d, "/nodeID"));
            if !d["allocatable"]["count"].is_null() {
                l!(o, 3, "Allocatables:");
                l!(o, 4, "Count:\t{}", word(&d["allocatable"]["count"]));
            }
            if d["topologyKeys"].is_array() {
                l!(o, 3, "Topology Keys:\t[{}]", words(d, "/topologyKeys").join(" "));
            }
        }
    }
    of.events(o).await;
    Ok(())
}
