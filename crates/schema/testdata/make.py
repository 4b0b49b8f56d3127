#!/usr/bin/env python3
"""Makes the fixtures here with upstream's code: make.py ORACLE (see oracle/main.go). Each becomes .json, .pb, .yaml."""
import base64, json, os, subprocess, sys

HERE = os.path.dirname(os.path.abspath(__file__))


def ask(cmd, text):
    out = subprocess.run([sys.argv[1]], input=f'{cmd}\t{base64.b64encode(text.encode()).decode()}\n', capture_output=True, text=True).stdout
    r = base64.b64decode(out).decode()
    assert not r.startswith('E '), r
    return r


def pv(n):
    o = b''
    while n > 127:
        o += bytes([n & 127 | 128])
        n >>= 7
    return o + bytes([n])


def field(num, b):
    return bytes([num << 3 | 2]) + pv(len(b)) + b


META = dict(name='web', namespace='default', uid='0d1a2b3c-0000-4000-8000-000000000001', resourceVersion='12345', generation=2, creationTimestamp='2026-01-02T03:04:05Z', labels={'app': 'web', 'tier': 'front'},
            annotations={'note': '<a href="x">&amp;</a> \u2028 é 😀', 'multi': 'line one\nline two\n'})
MANAGED = [dict(manager='kubectl', operation='Apply', apiVersion='v1', time='2026-01-02T03:04:06Z', fieldsType='FieldsV1', fieldsV1={'f:metadata': {'f:labels': {'.': {}, 'f:app': {}}}, 'f:spec': {'f:containers': {'k:{"name":"c"}': {'.': {}, 'f:image': {}}}}}, subresource='status')]
POD = dict(volumes=[dict(name='tmp', emptyDir=dict(sizeLimit='1536Mi')), dict(name='host', hostPath=dict(path='/var/log', type='Directory')), dict(name='token', projected=dict(sources=[dict(serviceAccountToken=dict(expirationSeconds=3607, path='token'))], defaultMode=420))],
           containers=[dict(name='c', image='nginx:1', command=['sh', '-c', 'echo "$A" && sleep 1'], ports=[dict(containerPort=80, protocol='TCP')], env=[dict(name='A', value='1'), dict(name='B', valueFrom=dict(fieldRef=dict(fieldPath='metadata.name')))],
                            resources=dict(limits=dict(cpu='500m', memory='1Gi'), requests=dict(cpu='0.25')), livenessProbe=dict(httpGet=dict(path='/', port='http'), periodSeconds=10), readinessProbe=dict(tcpSocket=dict(port=8080)), securityContext=dict(runAsNonRoot=False))],
           ephemeralContainers=[dict(name='debug', image='busybox', targetContainerName='c')], restartPolicy='Always', terminationGracePeriodSeconds=0, nodeSelector={'kubernetes.io/os': 'linux'}, tolerations=[dict(key='k', operator='Exists', tolerationSeconds=300)], priority=0, enableServiceLinks=True)
CONDITION = dict(type='Ready', status='True', lastProbeTime=None, lastTransitionTime='2026-01-02T03:04:07Z')
ALL = [
    ('v1', 'Pod', dict(metadata={**META, 'managedFields': MANAGED, 'ownerReferences': [dict(apiVersion='apps/v1', kind='ReplicaSet', name='web', uid='u', controller=True, blockOwnerDeletion=False)], 'finalizers': ['example.com/f']}, spec=POD,
                       status=dict(phase='Running', conditions=[CONDITION], podIPs=[dict(ip='10.0.0.1')], startTime='2026-01-02T03:04:05Z', containerStatuses=[dict(name='c', state=dict(running=dict(startedAt='2026-01-02T03:04:08Z')), lastState={}, ready=True, restartCount=0, image='nginx:1', imageID='', started=True)]))),
    ('v1', 'Service', dict(metadata=META, spec=dict(ports=[dict(name='http', port=80, targetPort='http'), dict(name='n', port=81, targetPort=8081), dict(name='z', port=82)], selector={'app': 'web'}, clusterIPs=['10.96.0.1']))),
    ('v1', 'Secret', dict(metadata=META, data=dict(a='aGk=', empty='', z='/+8='), type='Opaque', immutable=False)),
    ('v1', 'Node', dict(metadata={'name': 'n'}, spec=dict(taints=[dict(key='k', effect='NoSchedule', timeAdded='2026-01-02T03:04:05Z')]), status=dict(capacity=dict(cpu='4', memory='8Gi', pods='110'), images=[dict(names=['a', 'b'], sizeBytes=9007199254740993)]))),
    ('apps/v1', 'Deployment', dict(metadata=META, spec=dict(replicas=0, selector=dict(matchLabels={'app': 'web'}), template=dict(metadata={'labels': {'app': 'web'}}, spec=POD), strategy=dict(rollingUpdate=dict(maxUnavailable=0, maxSurge='25%'))))),
    ('apps/v1', 'StatefulSet', dict(metadata=META, spec=dict(selector=None, template={}, serviceName='', volumeClaimTemplates=[dict(metadata={'name': 'data'}, spec=dict(accessModes=['ReadWriteOnce'], resources=dict(requests=dict(storage='1Gi'))))]))),
    ('coordination.k8s.io/v1', 'Lease', dict(metadata=META, spec=dict(holderIdentity='x', leaseDurationSeconds=15, renewTime='2026-01-02T03:04:05.000123Z', leaseTransitions=0))),
    ('rbac.authorization.k8s.io/v1', 'Role', dict(metadata=META, rules=[dict(verbs=['get'], apiGroups=[''], resources=['pods']), dict(verbs=None)])),
    ('apiextensions.k8s.io/v1', 'CustomResourceDefinition', dict(metadata={'name': 'crontabs.example.com'}, spec=dict(group='example.com', names=dict(plural='crontabs', kind='CronTab', shortNames=['ct']), scope='Namespaced', versions=[dict(name='v1', served=True, storage=True, schema=dict(openAPIV3Schema=dict(
        type='object', description='long ' * 40, maximum=1.5, minimum=10, multipleOf=1e-7, default={'a': [1, 2], 'b': 'x'}, enum=['a', None, 1], required=['spec'],
        properties={'spec': {'type': 'object', 'additionalProperties': {'type': 'string'}, 'x-kubernetes-preserve-unknown-fields': True}, 'list': {'type': 'array', 'items': {'type': 'integer', 'format': 'int64'}}, 'closed': {'additionalProperties': False}, 'many': {'items': [{'type': 'string'}, {}]}, 'dep': {'dependencies': {'a': ['b'], 'c': {'type': 'object'}}}}))
        , subresources=dict(status={}, scale=dict(specReplicasPath='.spec.replicas', statusReplicasPath='.status.replicas')))]))),
]
for api_version, kind, o in ALL:
    r = ask('decode ' + kind, json.dumps({'kind': kind, 'apiVersion': api_version, **o}, separators=(',', ':')))
    lines = r.split('\n')
    text, raw = lines[0], base64.b64decode(lines[-1][2:])
    assert len(lines) == 2, lines[1:-1]
    base = os.path.join(HERE, f"{api_version.replace('/', '.')}.{kind}")
    open(base + '.json', 'w').write(text + '\n')
    open(base + '.pb', 'wb').write(b'k8s\0' + field(1, field(1, api_version.encode()) + field(2, kind.encode())) + field(2, raw) + b'\x1a\0\x22\0')
    open(base + '.yaml', 'w').write(ask('json2yaml', text))
