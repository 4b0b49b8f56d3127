#!/usr/bin/env python3
"""Asks upstream's code and ours about every YAML document in the Go module cache: read, written back, and, where it is an
object of a kind the oracle knows, decoded strictly and encoded to JSON and protobuf.

    python3 corpus.py ORACLE ANSWER
"""
import base64, glob, json, os, re, subprocess, sys

cache = subprocess.run(['go', 'env', 'GOMODCACHE'], capture_output=True, text=True).stdout.strip()
docs = []
for host in ('k8s.io', 'sigs.k8s.io'):
    for f in glob.glob(f'{cache}/{host}/**/*.y*ml', recursive=True):
        if os.path.getsize(f) < 300000:
            docs += [d for d in re.split(rb'^---.*$', open(f, 'rb').read(), flags=re.M) if d.strip()]
KINDS = {'Pod': 'v1', 'Service': 'v1', 'Secret': 'v1', 'ConfigMap': 'v1', 'Node': 'v1', 'Deployment': 'apps/v1', 'StatefulSet': 'apps/v1', 'Job': 'batch/v1', 'Ingress': 'networking.k8s.io/v1',
         'Lease': 'coordination.k8s.io/v1', 'Role': 'rbac.authorization.k8s.io/v1', 'CustomResourceDefinition': 'apiextensions.k8s.io/v1'}
# Set by upstream's server, not by its codecs.
TYPED = b'"kind":"PersistentVolumeClaim","apiVersion":"v1",'
total = 0


def both(questions):
    text = ''.join(f'{c}\t{base64.b64encode(d).decode()}\n' for c, d in questions)
    run = lambda p: [base64.b64decode(x) for x in subprocess.run([p], input=text, capture_output=True, text=True).stdout.split('\n')]
    return zip(questions, run(sys.argv[1]), run(sys.argv[2]))


def compare(what, questions):
    global total
    same, bad = [], 0
    for (c, d), x, y in both(questions):
        if c.startswith('decode '):
            x, y = x.replace(TYPED, b''), y.replace(TYPED, b'')
        if x == y:
            same.append(x)
        elif not (x.startswith(b'E ') and y.startswith(b'E ')):
            bad += 1
            i = next((i for i, (a, b) in enumerate(zip(x, y)) if a != b), 0)
            print('---', c, d[:300], '\n theirs', x[max(0, i - 80):i + 120], '\n ours  ', y[max(0, i - 80):i + 120])
    print(f'{what}: {len(questions)} asked, {bad} differ')
    total += bad
    return same


read = compare('read', [('yaml2json', d) for d in docs])
compare('written', [('json2yaml', d) for d in read])
typed = []
for d in read:
    try:
        o = json.loads(d)
    except ValueError:
        continue
    if isinstance(o, dict) and KINDS.get(o.get('kind'), '?') == o.get('apiVersion'):
        typed.append(('decode ' + o['kind'], d))
compare('decoded', typed)
sys.exit(total > 0)
