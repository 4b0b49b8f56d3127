//! Assembles container images as OCI archives, byte for byte reproducible.
//!
//! One layer, one platform: what `ctr images import` and every importer of OCI archives takes (image-spec 1.0). No
//! dates, no owners but root, entries in the order given: equal input gives equal bytes, so images are cached by content.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io;

/// A file of the image.
pub enum Entry {
    Dir { path: String, mode: u32 },
    File { path: String, mode: u32, content: Vec<u8> },
    Link { path: String, target: String },
}

/// What the image says of itself.
#[derive(Clone, Debug, Default)]
pub struct Config {
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    pub env: Vec<String>,
    /// `uid[:gid]`; empty is root.
    pub user: String,
    pub working_dir: String,
    pub exposed_ports: Vec<String>,
}

fn digest(b: &[u8]) -> String {
    Sha256::digest(b).iter().map(|x| format!("{x:02x}")).collect()
}

fn header(kind: tar::EntryType, mode: u32, size: usize) -> tar::Header {
    let mut h = tar::Header::new_gnu();
    h.set_entry_type(kind);
    h.set_mode(mode);
    h.set_uid(0);
    h.set_gid(0);
    h.set_mtime(0);
    h.set_size(size as u64);
    h
}

fn layer(entries: &[Entry]) -> io::Result<Vec<u8>> {
    let mut t = tar::Builder::new(Vec::new());
    for e in entries {
        match e {
            Entry::Dir { path, mode } => {
                t.append_data(
                    &mut header(tar::EntryType::Directory, *mode, 0),
                    format!("{path}/"),
                    io::empty(),
                )?;
            }
            Entry::File { path, mode, content } => {
                t.append_data(
                    &mut header(tar::EntryType::Regular, *mode, content.len()),
                    path,
                    content.as_slice(),
                )?;
            }
            Entry::Link { path, target } => {
                t.append_link(&mut header(tar::EntryType::Symlink, 0o777, 0), path, target)?;
            }
        }
    }
    t.into_inner()
}

/// The archive of an image for linux on `arch` (`amd64`, `arm64`) under the given full names
/// (`registry.k8s.io/pause:3.10`).
pub fn archive(names: &[&str], arch: &str, entries: &[Entry], config: &Config) -> io::Result<Vec<u8>> {
    let layer = layer(entries)?;
    let diff = format!("sha256:{}", digest(&layer));
    let ports: serde_json::Map<String, Value> =
        config.exposed_ports.iter().map(|p| (p.clone(), json!({}))).collect();
    let conf = json!({
        "architecture": arch, "os": "linux",
        "config": {"Entrypoint": config.entrypoint, "Cmd": config.cmd, "Env": config.env, "User": config.user,
                   "WorkingDir": config.working_dir, "ExposedPorts": ports},
        "rootfs": {"type": "layers", "diff_ids": [diff]},
        "history": [{"created_by": "keelson"}],
    })
    .to_string();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                   "digest": format!("sha256:{}", digest(conf.as_bytes())), "size": conf.len()},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": diff, "size": layer.len()}],
    })
    .to_string();
    let index = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": names.iter().map(|n| json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": format!("sha256:{}", digest(manifest.as_bytes())), "size": manifest.len(),
            "annotations": {"io.containerd.image.name": n,
                            "org.opencontainers.image.ref.name": n.rsplit_once(':').map_or("latest", |(_, t)| t)},
            "platform": {"architecture": arch, "os": "linux"},
        })).collect::<Vec<_>>(),
    })
    .to_string();
    let mut t = tar::Builder::new(Vec::new());
    let mut put =
        |path: &str, b: &[u8]| t.append_data(&mut header(tar::EntryType::Regular, 0o644, b.len()), path, b);
    put("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    put("index.json", index.as_bytes())?;
    for b in [layer.as_slice(), conf.as_bytes(), manifest.as_bytes()] {
        put(&format!("blobs/sha256/{}", digest(b)), b)?;
    }
    t.into_inner()
}

/// Index files of an archive beyond this size are not read.
const MAX_INDEX: u64 = 4 << 20;

/// The names an archive gives its images, as written there: of an OCI archive its index's annotations, of `docker save`
/// its manifest's tags.
pub fn names(archive: impl io::Read + io::Seek) -> io::Result<Vec<String>> {
    let (mut oci, mut docker) = (Vec::new(), Vec::new());
    for entry in tar::Archive::new(archive).entries_with_seek()? {
        let entry = entry?;
        let path = entry.path()?.to_string_lossy().trim_start_matches("./").to_owned();
        if !matches!(path.as_str(), "index.json" | "manifest.json") {
            continue;
        }
        let v: Value = serde_json::from_reader(io::Read::take(entry, MAX_INDEX))?;
        let text = |v: &Value| v.as_str().map(str::to_owned);
        if path == "index.json" {
            for m in v["manifests"].as_array().into_iter().flatten() {
                oci.extend(text(&m["annotations"]["io.containerd.image.name"]));
            }
        } else {
            let images = v.as_array().into_iter().flatten();
            docker
                .extend(images.flat_map(|i| i["RepoTags"].as_array().into_iter().flatten()).filter_map(text));
        }
    }
    oci.extend(docker);
    oci.sort();
    oci.dedup();
    Ok(oci)
}

/// A root with the folders programs expect, and root and nobody in `/etc/passwd`.
pub fn base() -> Vec<Entry> {
    let dir = |p: &str, mode| Entry::Dir { path: p.to_owned(), mode };
    let file =
        |p: &str, c: &str| Entry::File { path: p.to_owned(), mode: 0o644, content: c.as_bytes().to_vec() };
    vec![
        dir("bin", 0o755),
        dir("etc", 0o755),
        dir("tmp", 0o1777),
        dir("proc", 0o555),
        dir("sys", 0o555),
        dir("dev", 0o755),
        dir("root", 0o700),
        file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
        file("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_input_gives_equal_bytes_and_every_digest_is_right() {
        let make = || {
            let mut e = base();
            e.push(Entry::File { path: "bin/x".into(), mode: 0o755, content: b"hello".to_vec() });
            e.push(Entry::Link { path: "bin/y".into(), target: "x".into() });
            archive(&["example.test/x:1"], "amd64", &e, &Config::default()).unwrap()
        };
        assert_eq!(make(), make());
        let bytes = make();
        let mut seen = 0;
        for f in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
            let mut f = f.unwrap();
            let path = f.path().unwrap().to_string_lossy().into_owned();
            let mut b = Vec::new();
            io::Read::read_to_end(&mut f, &mut b).unwrap();
            if let Some(d) = path.strip_prefix("blobs/sha256/") {
                assert_eq!(d, digest(&b));
                seen += 1;
            }
        }
        assert_eq!(seen, 3);
        assert_eq!(names(io::Cursor::new(bytes)).unwrap(), ["example.test/x:1"]);
    }

    #[test]
    fn names_of_an_archive_that_docker_saved() {
        let mut t = tar::Builder::new(Vec::new());
        let m = br#"[{"Config":"c","RepoTags":["b:2","a:1"],"Layers":[]},{"Config":"d","RepoTags":null}]"#;
        t.append_data(&mut header(tar::EntryType::Regular, 0o644, m.len()), "manifest.json", m.as_slice())
            .unwrap();
        let bytes = t.into_inner().unwrap();
        assert_eq!(names(io::Cursor::new(&bytes)).unwrap(), ["a:1", "b:2"]);
        assert!(names(io::Cursor::new(&bytes[..700])).is_err() || names(io::Cursor::new(b"no tar")).is_err());
    }
}
