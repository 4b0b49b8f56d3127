// What is worth knowing at first sight, kind by kind. Kinds that are not here show their plain fields.
import type { ReactNode } from 'react';
import { selectorText, span, type Tone, tone, when } from '../format';
import { t } from '../i18n';
import { find, findKind } from '../kinds';
import { objectHref } from '../router';
import type { KObject } from '../types';
import { Age, Status } from '../ui';

export type Fact = [string, ReactNode];

export function Ref({ group = '', plural, ns, name }: { group?: string; plural: string; ns?: string; name: string }) {
  const r = find(group, plural);
  return r ? <a href={objectHref(r, r.namespaced ? ns : '', name)}>{name}</a> : <>{name}</>;
}
export function KindRef({ apiVersion, kind, ns, name }: { apiVersion: string; kind: string; ns?: string; name: string }) {
  const r = findKind(apiVersion, kind);
  const text = `${kind} ${name}`;
  return r ? <a href={objectHref(r, r.namespaced ? ns : '', name)}>{text}</a> : <>{text}</>;
}

/** A pod's state in kubectl's words. */
export function podStatus(p: KObject): string {
  if (p.metadata.deletionTimestamp) return 'Terminating';
  let out: string = p.status?.reason ?? p.status?.phase ?? 'Unknown';
  const inits: any[] = p.status?.initContainerStatuses ?? [];
  const specs: any[] = p.spec?.initContainers ?? [];
  for (const [i, c] of inits.entries()) {
    if (c.state?.terminated?.exitCode === 0 || (specs.find((s) => s.name === c.name)?.restartPolicy === 'Always' && c.started)) continue;
    const why = c.state?.terminated?.reason ?? c.state?.waiting?.reason;
    return why && why !== 'PodInitializing' ? `Init:${why}` : `Init:${i}/${inits.length}`;
  }
  for (const c of p.status?.containerStatuses ?? []) {
    const w = c.state?.waiting?.reason ?? c.state?.terminated?.reason;
    if (w && !(w === 'Completed' && out === 'Running')) out = w;
  }
  return out;
}

/** The word beside the name. */
export function phaseOf(o: KObject): [string, Tone] | undefined {
  const s = o.status ?? {};
  const cond = (type: string) => (s.conditions ?? []).find((c: any) => c.type === type);
  switch (o.kind) {
    case 'Pod': {
      const text = podStatus(o);
      return [text, tone(text)];
    }
    case 'Node': {
      const ready = cond('Ready')?.status === 'True';
      if (o.spec?.unschedulable) return [ready ? t('ready, cordoned') : t('not ready, cordoned'), 'warn'];
      return ready ? [t('ready'), 'good'] : [t('not ready'), 'bad'];
    }
    case 'Deployment':
    case 'StatefulSet':
    case 'ReplicaSet': {
      const want = o.spec?.replicas ?? 1;
      const have = s.readyReplicas ?? 0;
      if (o.spec?.paused) return [t('paused'), 'warn'];
      if (want === 0) return [t('scaled to 0'), 'idle'];
      return [t('{0} of {1} ready', have, want), have >= want ? 'good' : have === 0 ? 'bad' : 'warn'];
    }
    case 'DaemonSet': {
      const [have, want] = [s.numberReady ?? 0, s.desiredNumberScheduled ?? 0];
      return [t('{0} of {1} ready', have, want), have >= want ? 'good' : 'warn'];
    }
    case 'Job':
      if (cond('Complete')?.status === 'True') return ['Complete', 'good'];
      if (cond('Failed')?.status === 'True') return ['Failed', 'bad'];
      return o.spec?.suspend ? ['Suspended', 'warn'] : ['Running', 'busy'];
    case 'CronJob':
      return o.spec?.suspend ? ['Suspended', 'warn'] : [t('scheduled'), 'good'];
    case 'Namespace':
    case 'PersistentVolume':
    case 'PersistentVolumeClaim':
      return s.phase ? [s.phase, tone(s.phase)] : undefined;
    default: {
      const ready = cond('Ready') ?? cond('Available') ?? cond('Established');
      return ready ? [ready.status === 'True' ? ready.type : `${ready.type}: ${ready.status}`, ready.status === 'True' ? 'good' : 'warn'] : undefined;
    }
  }
}

const list = (a: unknown[] | undefined, sep = ', ') => (a ?? []).join(sep);
const ports = (a: any[] | undefined) =>
  (a ?? []).map((p) => `${p.name ? `${p.name} ` : ''}${p.port}${p.nodePort ? `:${p.nodePort}` : ''}${p.targetPort && p.targetPort !== p.port ? ` → ${p.targetPort}` : ''}/${p.protocol ?? 'TCP'}`).join(', ');

export function factsOf(o: KObject): Fact[] {
  const s = o.spec ?? {};
  const st = o.status ?? {};
  const ns = o.metadata.namespace;
  switch (o.kind) {
    case 'Pod':
      return [
        [t('Node'), s.nodeName && <Ref plural="nodes" name={s.nodeName} />],
        [t('Pod address'), list(st.podIPs?.map((x: any) => x.ip)) || st.podIP],
        [t('Host address'), st.hostIP],
        [t('Service account'), s.serviceAccountName && <Ref plural="serviceaccounts" ns={ns} name={s.serviceAccountName} />],
        [t('Quality of service'), st.qosClass],
        [t('Priority'), s.priorityClassName ? `${s.priorityClassName} (${s.priority})` : s.priority],
        [t('Restart policy'), s.restartPolicy],
        [t('Started'), st.startTime && <Age at={st.startTime} />],
        [t('Host network'), s.hostNetwork && t('yes')],
        [t('Message'), st.message],
      ];
    case 'Deployment':
      return [
        [t('Replicas'), t('{0} wanted, {1} updated, {2} ready, {3} available', s.replicas ?? 1, st.updatedReplicas ?? 0, st.readyReplicas ?? 0, st.availableReplicas ?? 0)],
        [t('Strategy'), s.strategy?.type === 'RollingUpdate' ? `RollingUpdate (maxSurge ${s.strategy.rollingUpdate?.maxSurge}, maxUnavailable ${s.strategy.rollingUpdate?.maxUnavailable})` : s.strategy?.type],
        [t('Selector'), selectorText(s.selector)],
        [t('Images'), images(s.template)],
        [t('Revision'), o.metadata.annotations?.['deployment.kubernetes.io/revision']],
      ];
    case 'StatefulSet':
      return [
        [t('Replicas'), t('{0} wanted, {1} updated, {2} ready, {3} available', s.replicas ?? 1, st.updatedReplicas ?? 0, st.readyReplicas ?? 0, st.availableReplicas ?? 0)],
        [t('Service'), s.serviceName && <Ref plural="services" ns={ns} name={s.serviceName} />],
        [t('Strategy'), s.updateStrategy?.type],
        [t('Selector'), selectorText(s.selector)],
        [t('Images'), images(s.template)],
        [t('Volume claims'), list(s.volumeClaimTemplates?.map((v: any) => `${v.metadata?.name} ${v.spec?.resources?.requests?.storage ?? ''}`))],
      ];
    case 'DaemonSet':
      return [
        [t('Nodes'), t('{0} wanted, {1} updated, {2} ready, {3} available', st.desiredNumberScheduled ?? 0, st.updatedNumberScheduled ?? 0, st.numberReady ?? 0, st.numberAvailable ?? 0)],
        [t('Strategy'), s.updateStrategy?.type],
        [t('Selector'), selectorText(s.selector)],
        [t('Images'), images(s.template)],
      ];
    case 'ReplicaSet':
      return [
        [t('Replicas'), t('{0} wanted, {1} ready', s.replicas ?? 1, st.readyReplicas ?? 0)],
        [t('Revision'), o.metadata.annotations?.['deployment.kubernetes.io/revision']],
        [t('Selector'), selectorText(s.selector)],
        [t('Images'), images(s.template)],
      ];
    case 'Job':
      return [
        [t('Completions'), `${st.succeeded ?? 0}/${s.completions ?? 1}`],
        [t('Parallelism'), s.parallelism],
        [t('Active'), st.active],
        [t('Failed'), st.failed],
        [t('Duration'), st.startTime && st.completionTime ? span((Date.parse(st.completionTime) - Date.parse(st.startTime)) / 1000) : undefined],
        [t('Retries'), s.backoffLimit],
        [t('Images'), images(s.template)],
      ];
    case 'CronJob':
      return [
        [t('Schedule'), <code key="s">{s.schedule}</code>],
        [t('Time zone'), s.timeZone],
        [t('Last run'), st.lastScheduleTime && <Age at={st.lastScheduleTime} />],
        [t('Last success'), st.lastSuccessfulTime && <Age at={st.lastSuccessfulTime} />],
        [t('Running now'), st.active?.length ?? 0],
        [t('Concurrency'), s.concurrencyPolicy],
        [t('Images'), images(s.jobTemplate?.spec?.template)],
      ];
    case 'Service':
      return [
        [t('Type'), s.type],
        [t('Cluster address'), list(s.clusterIPs) || s.clusterIP],
        [t('External address'), list([...(s.externalIPs ?? []), ...(st.loadBalancer?.ingress ?? []).map((i: any) => i.ip ?? i.hostname)]) || s.externalName],
        [t('Ports'), ports(s.ports)],
        [t('Selector'), selectorText({ matchLabels: s.selector })],
        [t('Session affinity'), s.sessionAffinity !== 'None' && s.sessionAffinity],
        [t('External traffic'), s.externalTrafficPolicy],
      ];
    case 'EndpointSlice':
      return [
        [t('Service'), o.metadata.labels?.['kubernetes.io/service-name'] && <Ref plural="services" ns={ns} name={o.metadata.labels['kubernetes.io/service-name']!} />],
        [t('Address type'), o.addressType],
        [t('Ports'), ports(o.ports)],
        [
          t('Endpoints'),
          <div key="e" className="stack">
            {(o.endpoints ?? []).map((e: any, i: number) => (
              <span key={i}>
                <Status text={list(e.addresses)} as={e.conditions?.ready === false ? 'warn' : 'good'} />{' '}
                {e.targetRef?.kind === 'Pod' && <Ref plural="pods" ns={e.targetRef.namespace} name={e.targetRef.name} />} <span className="faint">{e.nodeName}</span>
              </span>
            ))}
          </div>,
        ],
      ];
    case 'Ingress':
      return [
        [t('Class'), s.ingressClassName && <Ref group="networking.k8s.io" plural="ingressclasses" name={s.ingressClassName} />],
        [t('Address'), list((st.loadBalancer?.ingress ?? []).map((i: any) => i.ip ?? i.hostname))],
        [
          t('Rules'),
          <div key="r" className="stack">
            {(s.rules ?? []).flatMap((rule: any, i: number) =>
              (rule.http?.paths ?? []).map((p: any, k: number) => (
                <span key={`${i}.${k}`}>
                  <code>{`${rule.host ?? '*'}${p.path ?? '/'}`}</code> → {p.backend?.service && <Ref plural="services" ns={ns} name={p.backend.service.name} />}
                  {`:${p.backend?.service?.port?.number ?? p.backend?.service?.port?.name ?? ''}`}
                </span>
              )),
            )}
          </div>,
        ],
        [
          'TLS',
          (s.tls ?? []).map((x: any) => (
            <span key={x.secretName}>
              {list(x.hosts)} {x.secretName && <Ref plural="secrets" ns={ns} name={x.secretName} />}
            </span>
          )),
        ],
      ];
    case 'NetworkPolicy': {
      const peers = (a: any[] | undefined) =>
        (a ?? [{}]).length === 0 || !a
          ? t('anywhere')
          : a.map((p) => p.ipBlock?.cidr ?? [p.namespaceSelector && `${t('namespaces')} ${selectorText(p.namespaceSelector) || '*'}`, p.podSelector && `${t('pods')} ${selectorText(p.podSelector) || '*'}`].filter(Boolean).join(' · ')).join(', ');
      const rules = (a: any[] | undefined, field: string) =>
        a && a.length === 0 ? t('nothing') : a?.map((x, i) => <div key={i}>{`${peers(x[field])}${x.ports?.length ? ` · ${x.ports.map((p: any) => `${p.port ?? '*'}/${p.protocol ?? 'TCP'}`).join(', ')}` : ''}`}</div>);
      const types: string[] = s.policyTypes ?? ['Ingress'];
      return [
        [t('For pods'), selectorText(s.podSelector) || t('all in the namespace')],
        [t('Lets in'), types.includes('Ingress') && rules(s.ingress ?? [], 'from')],
        [t('Lets out'), types.includes('Egress') && rules(s.egress ?? [], 'to')],
      ];
    }
    case 'Node': {
      const i = st.nodeInfo ?? {};
      return [
        [t('Addresses'), list((st.addresses ?? []).map((a: any) => `${a.address} (${a.type})`))],
        [t('Roles'), list(Object.keys(o.metadata.labels ?? {}).filter((k) => k.startsWith('node-role.kubernetes.io/')).map((k) => k.split('/')[1]))],
        [t('Kubelet'), i.kubeletVersion],
        [t('System'), `${i.osImage ?? ''} · ${i.kernelVersion ?? ''} · ${i.architecture ?? ''}`],
        [t('Runtime'), i.containerRuntimeVersion],
        [t('Pod range'), list(s.podCIDRs)],
        [t('Taints'), list((s.taints ?? []).map((x: any) => `${x.key}${x.value ? `=${x.value}` : ''}:${x.effect}`))],
        [t('Capacity'), `cpu ${st.capacity?.cpu}, ${t('memory')} ${st.capacity?.memory}, ${t('pods')} ${st.capacity?.pods}`],
        [t('Allocatable'), `cpu ${st.allocatable?.cpu}, ${t('memory')} ${st.allocatable?.memory}, ${t('pods')} ${st.allocatable?.pods}`],
      ];
    }
    case 'PersistentVolumeClaim':
      return [
        [t('Volume'), s.volumeName && <Ref plural="persistentvolumes" name={s.volumeName} />],
        [t('Size'), st.capacity?.storage ?? s.resources?.requests?.storage],
        [t('Access modes'), list(s.accessModes)],
        ['StorageClass', s.storageClassName && <Ref group="storage.k8s.io" plural="storageclasses" name={s.storageClassName} />],
        [t('Mode'), s.volumeMode],
      ];
    case 'PersistentVolume':
      return [
        [t('Claim'), s.claimRef && <Ref plural="persistentvolumeclaims" ns={s.claimRef.namespace} name={s.claimRef.name} />],
        [t('Size'), s.capacity?.storage],
        [t('Access modes'), list(s.accessModes)],
        [t('When released'), s.persistentVolumeReclaimPolicy],
        ['StorageClass', s.storageClassName && <Ref group="storage.k8s.io" plural="storageclasses" name={s.storageClassName} />],
        [t('Message'), st.message],
      ];
    case 'StorageClass':
      return [
        [t('Provisioner'), o.provisioner],
        [t('When released'), o.reclaimPolicy],
        [t('Binding'), o.volumeBindingMode],
        [t('Can grow'), o.allowVolumeExpansion ? t('yes') : t('no')],
        [t('Parameters'), Object.entries(o.parameters ?? {}).map(([k, v]) => `${k}=${v}`).join(', ')],
      ];
    case 'HorizontalPodAutoscaler':
      return [
        [t('Target'), s.scaleTargetRef && <KindRef apiVersion={s.scaleTargetRef.apiVersion} kind={s.scaleTargetRef.kind} ns={ns} name={s.scaleTargetRef.name} />],
        [t('Replicas'), `${st.currentReplicas ?? 0} → ${st.desiredReplicas ?? 0} (${s.minReplicas ?? 1}…${s.maxReplicas})`],
      ];
    case 'RoleBinding':
    case 'ClusterRoleBinding':
      return [
        [t('Role'), <KindRef key="r" apiVersion="rbac.authorization.k8s.io/v1" kind={o.roleRef?.kind} ns={ns} name={o.roleRef?.name} />],
        [
          t('Subjects'),
          <div key="s" className="stack">
            {(o.subjects ?? []).map((x: any) => (
              <span key={`${x.kind}${x.namespace}${x.name}`}>
                {x.kind === 'ServiceAccount' ? <KindRef apiVersion="v1" kind="ServiceAccount" ns={x.namespace} name={x.name} /> : `${x.kind} ${x.name}`} <span className="faint">{x.namespace}</span>
              </span>
            ))}
          </div>,
        ],
      ];
    case 'CustomResourceDefinition': {
      const r = find(s.group, s.names?.plural);
      return [
        [t('Kind'), s.names?.kind],
        [t('Group'), s.group],
        [t('Scope'), s.scope],
        [t('Versions'), list((s.versions ?? []).map((v: any) => `${v.name}${v.storage ? ` (${t('stored')})` : ''}${v.served ? '' : ` (${t('not served')})`}`))],
        [t('Short names'), list(s.names?.shortNames)],
        [t('Objects'), r && <a href={`#/list/${r.group}/${r.version}/${r.plural}`}>{t('All of this kind')}</a>],
      ];
    }
    case 'ServiceAccount':
      return [[t('Mounts a token'), o.automountServiceAccountToken === false ? t('no') : t('yes')], [t('Pull secrets'), list(o.imagePullSecrets?.map((x: any) => x.name))]];
    case 'Event':
      return [
        [t('Type'), <Status key="t" text={o.type} as={o.type === 'Warning' ? 'warn' : 'idle'} />],
        [t('Reason'), o.reason],
        [t('Object'), <KindRef key="o" apiVersion={o.involvedObject?.apiVersion ?? 'v1'} kind={o.involvedObject?.kind} ns={o.involvedObject?.namespace} name={o.involvedObject?.name} />],
        [t('Message'), o.message],
        [t('Count'), o.count],
        [t('Last seen'), <Age key="l" at={o.lastTimestamp ?? o.eventTime ?? o.metadata.creationTimestamp} />],
      ];
    case 'Secret':
    case 'ConfigMap':
    case 'Role':
    case 'ClusterRole':
      return [[t('Type'), o.type]];
    default:
      return plain(s).concat(plain(st).filter(([k]) => k !== 'observedGeneration'));
  }
}

/** Fields that are not trees. */
function plain(o: any): Fact[] {
  return Object.entries(o ?? {})
    .filter(([k, v]) => k !== 'conditions' && (typeof v !== 'object' || (Array.isArray(v) && v.length > 0 && v.every((x) => typeof x !== 'object'))))
    .map(([k, v]) => [k, Array.isArray(v) ? list(v) : typeof v === 'string' && /^\d{4}-\d\d-\d\dT/.test(v) ? when(v) : String(v)] as Fact)
    .slice(0, 24);
}
const images = (template: any) => list([...new Set([...(template?.spec?.initContainers ?? []), ...(template?.spec?.containers ?? [])].map((c: any) => c.image))]);
