#!/usr/bin/env python3
"""Asks upstream's code (main.go, built as ./oracle) and ours (`cargo run --example answer`) the same questions.

    python3 compare.py ORACLE ANSWER [seed]
"""
import base64, json, random, subprocess, sys

oracle, ours = sys.argv[1:3]
rnd = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
Q = []


def ask(cmd, text):
    Q.append((cmd, text if isinstance(text, bytes) else text.encode()))


# quantities
for s in '''0|00|0Ki|1|100m|0.5|1.5|1.500|0.500|1000m|1024|1024Ki|1000Ki|1025Ki|1.5Gi|0.5Ki|0.001Ki|0.0001Ki|1e3|12E6|1e-3|100e-1|1E|1Ei|9Ei|7Ei
1n|0.1n|-0.1n|-1Ki|+1Ki|007|1.1|+|-|.|k|1.|1.e3|1x|1i|1e|1e+|1 Gi|--1|1u|1000u|1000000u|500000m|-500m|-1500m|12345678901234567890|0.000000001|0.0000000001
1e18|1e19|100E|1.25Ki|1.75Mi|128974848|129e6|129M|123Mi|0.1|0.10|0.100|1.234|1.2345|1e03|1e+3|5e-10|1e-9|1000000000000n|1000Mi|8Ki|16Ki|24Ki|1.0Ki|10Ti|0.9Ki|1023|1023Ki'''.replace('\n', '|').split('|'):
    ask('quantity', s)
for _ in range(400):
    n = str(rnd.randint(0, 10 ** rnd.randint(1, 18)))
    if rnd.random() < .4:
        n += '.' + ''.join(rnd.choice('0123456789') for _ in range(rnd.randint(0, 8)))
    ask('quantity', rnd.choice(['', '', '-', '+', '0']) + n + rnd.choice(['', '', 'm', 'u', 'n', 'k', 'M', 'G', 'T', 'Ki', 'Mi', 'Gi', 'Ti', 'e3', 'e-2', 'E2']))

# selectors
for s in ['a=b', 'a in (b,c),!d', 'x in (foo,,baz),y,z notin ()', 'a>1', 'a>b', 'a b', 'a,', '=', 'a=b=c', '!', '!a', 'a in b', 'a in (', '-a', 'a=&', 'a notin (b', 'in in (in)', 'a!b', 'a=,b', 'a==b', '(', 'a in ()', 'a in (,)', 'a in (b c)', 'a<', '!!a', 'a=!', 'a<=b', 'a=>b', '>', ',', ',a']:
    ask('labels', s)
for s in ['a=b', 'a!=b', 'a==b,c=d', 'a', 'a=b\\,c', 'a=\\x', 'a=b=c', '', ',', 'a=,b=', 'a=\\', '=b', '!=b', 'a\\,b=c']:
    ask('fields', s)

# YAML
words = ['yes', 'no', 'on', 'null', '~', '1', '0644', '1.5', '1e3', '0x1f', '1_000', '2026-01-02', '2026-01-02T15:04:05Z', '1:30', 'a: b', '- a', '#c', 'a #b', 'é', '😀', 'tab\t', ' lead', 'trail ',
         "it's", '"q"', '', 'multi\nline', 'multi\nline\n', '\n', ' \n', 'a\n\n', 'x' * 100, 'word ' * 30, 'word ' * 30 + 'end', '{', '[', '*a', '&a', '!t', '|', '>', '%', '@', '`', '?', '? a', ':', ': a', '-', '--', '---', '...', 'a:', 'a:b',
         '\x07', '\u2028', '\x85', '\ufeff', '=', '<<', '.', '.5', '..', '+', '-1', '+1', '0b1', '0o7', '08', '1.', 'y', 'N', 'True', 'a\\b', 'a\r\nb', 'C:\\x', '12e03', '.inf', '-.INF', 'nan', '1e', '0x', '9' * 30, '1 2', 'a,b', 'a]b', "'", '"', '%a', 'word  ' * 25, '- ' * 50]


# JSON on its way through go-yaml loses these (line breaks of YAML 1.1).
plain = [w for w in words if w not in ('\u2028', '\x85', '\ufeff')]


def tree(d):
    r = rnd.random()
    if d > 3 or r < .45:
        return rnd.choice([rnd.choice(plain), rnd.choice(plain), rnd.randint(-5, 10 ** 9), rnd.random() * 10 ** rnd.randint(-8, 8), True, None, 10 ** 20, -1])
    if r < .75:
        return {rnd.choice(plain + ['k%d' % i for i in range(30)])[:140]: tree(d + 1) for _ in range(rnd.randint(0, 5))}
    return [tree(d + 1) for _ in range(rnd.randint(0, 4))]


for w in plain:
    ask('json2yaml', json.dumps({'a': w, 'l': [w], w: 1, 'm': {'n': w}}, ensure_ascii=False))
for w in words:
    ask('yaml2json', 'a: ' + w)
    ask('yaml2json', w + ': 1')
    ask('yaml2json', '- ' + w)
for _ in range(300):
    ask('json2yaml', json.dumps(tree(0), ensure_ascii=False))
for s in ['a: |\n  x\n y', 'a: >\n  b\n  c\n\n  d\n', 'a: "x\\ty\\u00e9"', 'a: [1, 2', 'a: {b: c}', 'a:\n- b\n-  c: d\n   e: f', '? a\n: b', 'a: &x 1\nb: *x', 'a: !!str 1', '--- a\n--- b', '%YAML 1.1\n---\na: b', 'a: b # c', '"a": \'b\'\'c\'', 'a:\n\tb: c', 'a: b\n c: d', 'a: - b', 'a: b\na: c', 'a: 0777', 'a: 1__0', '{a: b, c}', '[a: b]', "a: 'x\n\n  y'", 'a: x\n  y\n\n  z', 'a: !!float 1', 'a: !!int 1.0', 'a: !!bool yes', 'a: "\\x41\\U0001F600"']:
    ask('yaml2json', s)

# typed JSON
docs = {
    'Pod': ['{"metadata":{"name":1}}', '{"spec":{"containers":"x"}}', '{"spec":{"containers":[{"name":1,"ports":[{"containerPort":"80"}]}]}}', '{"spec":{"foo":1,"containers":[{"bar":1,"name":"a","name":"b"}]},"x":1}',
            '{"metadata":{"creationTimestamp":"x"}}', '{"metadata":{"creationTimestamp":5}}', '{"metadata":{"creationTimestamp":"2026-01-02T03:04:05.5+01:00","labels":{"a":"1","a":"2","b":null}}}',
            '{"spec":{"containers":[{"resources":{"limits":{"cpu":0.5,"memory":"1x"}}}]}}', '{"spec":{"containers":[{"resources":{"limits":{"cpu":0.5,"memory":"1.50Gi","x":null}}}]}}',
            '{"spec":{"terminationGracePeriodSeconds":1.5}}', '{"spec":{"terminationGracePeriodSeconds":1e3}}', '{"spec":{"priority":99999999999}}', '{"spec":{"hostNetwork":"yes"}}', '{"spec":{"restartPolicy":5}}', '{"spec":{"nodeSelector":[]}}', '{"spec":{"nodeSelector":{"a":1}}}',
            '{"spec":{"volumes":[{"name":"a","emptyDir":{"sizeLimit":"1.5Gi"}},{"name":"b","hostPath":"x"},{"hostPath":{"path":1}}]}}', '{"spec":{"containers":[null],"tolerations":[],"volumes":null}}', '{"spec":{"containers":[{"livenessProbe":{"httpGet":{"port":"http"}}},{"livenessProbe":{"httpGet":{"port":1.5}}}]}}',
            '{"spec":{"containers":[{"livenessProbe":{"httpGet":{"port":8080}},"args":["<a>&","\\u2028"],"command":[]}]}}', '[]', '"x"', 'null', '5', '{', '{"a"}', '{"a":}', '{"a":1,}', '[1,]', '{"a":1}}', '{"a":tru}', '{"a":01}', '{"a":-}', '{"a":1.}', '{"a":1e}', '{"a":"\x01"}', '{"a":"\\x"}', '{"a":"\\u12g4"}', '{\'a\':1}', '{"a" 1}', '{"a":1 "b":2}', '[1 2]', '', ' ', '{"metadata":{"name":"\\ud83d\\ude00\\ud83d x \\/"}}', b'{"metadata":{"name":"a\xffb"}}',
            '{"status":{"conditions":[{"type":"Ready","lastProbeTime":null,"lastTransitionTime":"2026-01-02T03:04:05Z"}],"startTime":null}}', '{"kind":"Pod","apiVersion":"v1","spec":{"ephemeralContainers":[{"name":"x","image":"y","targetContainerName":"z","foo":1}]}}', '{"spec":{},"spec":{"nodeName":"a"}}',
            '{"metadata":{"managedFields":[{"manager":"m","operation":"Apply","fieldsType":"FieldsV1","fieldsV1":{"f:a":{".":{}}}}],"ownerReferences":[{"uid":"u","controller":false}],"generation":0,"finalizers":[]}}', '{"metadata":[]}', '{"metadata":null}', '{"Metadata":{}}', '{"spec":{"containers":{"a":1}}}', '{"spec":{"containers":[[]]}}', '{"spec":{"containers":[1,"a",true]}}', '{"spec":{"overhead":{"cpu":true}}}', '{"spec":{"overhead":{"cpu":[]}}}', '{"spec":{"containers":[{"env":[{"name":"a","value":1}]}]}}'],
    'Secret': ['{"data":{"a":"aGk=","b":"!"}}', '{"data":{"a":"aGk","b":"aGk="}}', '{"data":{"a":"aG\\nk="}}', '{"data":{"a":null}}', '{"data":{"a":"aGl="}}', '{"data":{"a":""}}', '{"data":{"a":5}}', '{"stringData":{"a":"b"},"immutable":false,"type":""}'],
    'Service': ['{"spec":{"ports":[{"port":80,"targetPort":"http"},{"port":81,"targetPort":8080},{"port":82}]}}', '{"spec":{"ports":[{"targetPort":true}]}}', '{"spec":{"ports":[{"targetPort":99999999999}]}}'],
    'Deployment': ['{"spec":{"replicas":0,"strategy":{"rollingUpdate":{"maxSurge":"25%","maxUnavailable":0}},"selector":null}}', '{"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"spec":{"containers":[{"name":"a"}]}}}}'],
    'Lease': ['{"spec":{"renewTime":"2026-01-02T03:04:05.123456Z","leaseDurationSeconds":15}}', '{"spec":{"renewTime":"2026-01-02T03:04:05Z"}}', '{"spec":{"renewTime":"2026-01-02T03:04:05.1234567Z"}}'],
    'CustomResourceDefinition': ['{"spec":{"versions":[{"name":"v1","schema":{"openAPIV3Schema":{"type":"object","maximum":1.5,"minimum":10,"multipleOf":1e-7,"default":{"b":1,"a":[1.0,1e3]},"enum":["a",null,1],"items":{"type":"string","foo":1},"additionalProperties":false,"properties":{"a":{"x-kubernetes-int-or-string":true,"additionalProperties":{"type":"integer"},"items":[{"type":"string"}]}},"dependencies":{"a":["b"],"c":{"type":"object"}},"foo":1}}}]}}', '{"spec":{"versions":[{"schema":{"openAPIV3Schema":{"additionalProperties":5}}}]}}', '{"spec":{"versions":[{"schema":{"openAPIV3Schema":{"items":5,"maximum":"x"}}}]}}', '{"spec":{"versions":[{"subresources":{"status":{},"scale":{"specReplicasPath":".a"}}}]}}'],
    'DeleteOptions': ['{"gracePeriodSeconds":0,"preconditions":{"uid":"x"},"propagationPolicy":"Orphan","dryRun":["All"]}', '{"preconditions":{"uid":5}}'],
    'Node': ['{"status":{"capacity":{"cpu":"4","memory":"8Gi"},"images":[{"names":["a"],"sizeBytes":5}],"nodeInfo":{}}}', '{"spec":{"taints":[{"key":"a","timeAdded":null}]}}'],
}
for kind, ds in docs.items():
    for d in ds:
        ask('decode ' + kind, d)
for d in ['{"a":1,"a":2,"b":{"c":1,"c":2},"d":[{"e":1,"e":1}]}', '{"a":1.0,"b":1e3,"c":9223372036854775807,"d":9223372036854775808,"e":1e400}', '{"a":1e400}', '{"a":0.1,"b":1e-7,"c":1e21,"d":-0,"e":123456789.125,"f":"<&>"}', '{"a":1.0,"b":1e3,"c":9223372036854775807,"d":-9223372036854775808,"e":1E5,"f":1.5e300}', '[]']:
    ask('untyped', d)


def run(prog):
    text = ''.join(f'{c}\t{base64.b64encode(t).decode()}\n' for c, t in Q)
    out = subprocess.run([prog], input=text, capture_output=True, text=True).stdout.split('\n')
    return [base64.b64decode(x).decode() for x in out[:len(Q)]]


# every typed document that upstream takes is also read back from its protobuf bytes
a = run(oracle)
n = len(Q)
for (c, t), x in list(zip(Q, a)):
    if c.startswith('decode ') and '\nP ' in x:
        ask('proto ' + c[7:], x.rsplit('\nP ', 1)[1])
a, b = run(oracle), run(ours)
bad = 0
for (c, t), x, y in zip(Q, a, b):
    if x != y:
        bad += 1
        print(f'--- {c} {t.decode(errors="replace")!r}\n theirs {x!r}\n ours   {y!r}')
print(len(Q), 'questions,', bad, 'differ')
sys.exit(bad > 0)
