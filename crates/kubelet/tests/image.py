#!/usr/bin/env python3
"""Makes an OCI archive with one static program: image.py FILE PATH-IN-IMAGE NAME OUT.tar (busybox gets its links)."""
import hashlib, io, json, subprocess, sys, tarfile

src, path, name, out = sys.argv[1:5]
data = open(src, "rb").read()


def add(t, name, data=b"", mode=0o755, kind=tarfile.REGTYPE, link=""):
    i = tarfile.TarInfo(name.lstrip("/"))
    i.size, i.mode, i.type, i.linkname = len(data), mode, kind, link
    t.addfile(i, io.BytesIO(data))


buf = io.BytesIO()
with tarfile.open(fileobj=buf, mode="w") as t:
    for d in ("bin", "etc", "tmp", "dev", "proc", "sys", "var"):
        add(t, d, mode=0o1777 if d == "tmp" else 0o755, kind=tarfile.DIRTYPE)
    add(t, path, data)
    if path == "/bin/busybox":
        for a in subprocess.run([src, "--list"], capture_output=True, text=True).stdout.split():
            if a != "busybox":
                add(t, "bin/" + a, kind=tarfile.SYMTYPE, link="busybox")
    add(t, "etc/passwd", b"root:x:0:0:root:/:/bin/sh\nwww:x:1000:1000::/:/bin/sh\n", 0o644)
    add(t, "etc/group", b"root:x:0:\nwww:x:1000:\n", 0o644)
layer = buf.getvalue()
sha = lambda b: hashlib.sha256(b).hexdigest()
entry = [path] if path != "/bin/busybox" else []
config = json.dumps({
    "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": ["sha256:" + sha(layer)]},
    "config": {"Entrypoint": entry, "Cmd": ["sh"] if not entry else None, "Env": ["PATH=/bin"]}}).encode()
desc = lambda b, m: {"mediaType": m, "digest": "sha256:" + sha(b), "size": len(b)}
manifest = json.dumps({
    "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "config": desc(config, "application/vnd.oci.image.config.v1+json"),
    "layers": [desc(layer, "application/vnd.oci.image.layer.v1.tar")]}).encode()
m = desc(manifest, "application/vnd.oci.image.manifest.v1+json")
m["annotations"] = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rsplit(":", 1)[1]}
index = json.dumps({"schemaVersion": 2, "manifests": [m]}).encode()
with tarfile.open(out, "w") as t:
    add(t, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}', 0o644)
    add(t, "index.json", index, 0o644)
    for b in (layer, config, manifest):
        add(t, "blobs/sha256/" + sha(b), b, 0o644)
