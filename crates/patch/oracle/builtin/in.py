"""Writes in.jsonl for the test `builtin_kinds` from the fixtures of the Go module k8s.io/api."""
import glob
import json
import sys

KEEP = "name type key kind apiVersion containerPort protocol port topologyKey whenUnsatisfiable ip mountPath devicePath uid"


def thin(o, depth=0, n=[0]):
    """The object without every third field."""
    if isinstance(o, dict):
        out = {}
        for k, v in o.items():
            n[0] += 1
            if depth <= 1 or n[0] % 3 or k in KEEP.split():
                out[k] = thin(v, depth + 1, n)
        return out
    if isinstance(o, list):
        return [thin(x, depth + 1, n) for x in o]
    return o


for f in sorted(glob.glob(sys.argv[1] + "/HEAD/*.json")):
    o = json.load(open(f))
    o.setdefault("metadata", {}).pop("managedFields", None)
    m = thin(o)
    for old, new in [(None, o), (None, m), (o, m), (m, o)]:
        print(json.dumps({"old": old, "new": new}))
