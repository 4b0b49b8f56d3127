#!/usr/bin/env python3
"""A read-only image registry of the OCI archives in a folder, for test hosts: registry.py FOLDER [ADDRESS] [PORT].

It plays registry.k8s.io for tests that insist on pulling; the runtime's mirror configuration points at it."""
import http.server
import json
import pathlib
import re
import sys
import tarfile

INDEX = "application/vnd.oci.image.index.v1+json"


def load(folder):
    """(name, tag or digest) -> (media type, archive, member or bytes), and digest -> (archive, member)."""
    manifests, blobs = {}, {}
    for path in sorted(pathlib.Path(folder).glob("*.tar")):
        with tarfile.open(path) as t:
            for m in t.getmembers():
                if m.name.startswith("blobs/sha256/") and m.isfile():
                    blobs["sha256:" + m.name.rsplit("/", 1)[1]] = (path, m.offset_data, m.size)
            index = json.load(t.extractfile("index.json"))
        for m in index["manifests"]:
            full = m.get("annotations", {}).get("io.containerd.image.name", "")
            host, _, rest = full.partition("/")
            name, _, tag = rest.rpartition(":")
            manifests[name, tag] = manifests[name, m["digest"]] = (m["mediaType"], m["digest"])
    return manifests, blobs


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.answer(False)

    def do_GET(self):
        self.answer(True)

    def answer(self, body):
        path = self.path.split("?")[0]
        found = re.fullmatch(r"/v2/(.+)/(manifests|blobs)/([^/]+)", path)
        if path in ("/v2/", "/v2"):
            return self.send(200, "application/json", b"{}", body)
        if not found:
            return self.missing(body)
        name, kind, reference = found.groups()
        media, digest = "application/octet-stream", reference
        if kind == "manifests":
            if (name, reference) not in self.server.manifests:
                return self.missing(body)
            media, digest = self.server.manifests[name, reference]
        if digest not in self.server.blobs:
            return self.missing(body)
        archive, offset, size = self.server.blobs[digest]
        self.send_response(200)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(size))
        self.send_header("Docker-Content-Digest", digest)
        self.end_headers()
        if body:
            with open(archive, "rb") as f:
                f.seek(offset)
                while size:
                    piece = f.read(min(size, 1 << 20))
                    self.wfile.write(piece)
                    size -= len(piece)

    def missing(self, body):
        self.send(404, "application/json", b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}', body)

    def send(self, code, media, data, body):
        self.send_response(code)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *_):
        pass


def main():
    folder, address, port = (sys.argv[1:] + ["127.0.0.1", "5000"])[:3] if len(sys.argv) < 4 else sys.argv[1:4]
    server = http.server.ThreadingHTTPServer((address, int(port)), Handler)
    server.manifests, server.blobs = load(folder)
    server.serve_forever()


main()
