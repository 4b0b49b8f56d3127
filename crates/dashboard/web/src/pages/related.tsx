// What belongs to an object: lists that are watched too.
import { useCallback } from 'react';
import { selectorText } from '../format';
import { t, tOut } from '../i18n';
import { find, titleOf } from '../kinds';
import { useTable } from '../live';
import { collection } from '../router';
import { Rows } from '../table';
import type { KObject, Resource, Row } from '../types';
import { Card, Empty } from '../ui';

interface Part {
  group: string;
  plural: string;
  ns?: string;
  query?: string;
  /** Only those that this object owns. */
  owned?: boolean;
}

function partsOf(o: KObject): Part[] {
  const ns = o.metadata.namespace;
  const name = o.metadata.name;
  const labels = (s: any) => `labelSelector=${encodeURIComponent(selectorText(s))}`;
  const fields = (s: string) => `fieldSelector=${encodeURIComponent(s)}`;
  switch (o.kind) {
    case 'Deployment':
      return [
        { group: '', plural: 'pods', ns, query: labels(o.spec?.selector) },
        { group: 'apps', plural: 'replicasets', ns, query: labels(o.spec?.selector), owned: true },
      ];
    case 'StatefulSet':
    case 'DaemonSet':
    case 'ReplicaSet':
    case 'Job':
      return [{ group: '', plural: 'pods', ns, query: labels(o.spec?.selector), owned: true }];
    case 'CronJob':
      return [{ group: 'batch', plural: 'jobs', ns, owned: true }];
    case 'Service':
      return [
        { group: 'discovery.k8s.io', plural: 'endpointslices', ns, query: labels({ matchLabels: { 'kubernetes.io/service-name': name } }) },
        ...(o.spec?.selector ? [{ group: '', plural: 'pods', ns, query: labels({ matchLabels: o.spec.selector }) }] : []),
      ];
    case 'NetworkPolicy':
      return [{ group: '', plural: 'pods', ns, query: labels(o.spec?.podSelector) }];
    case 'Node':
      return [{ group: '', plural: 'pods', query: fields(`spec.nodeName=${name}`) }];
    case 'Namespace':
      return [
        { group: '', plural: 'pods', ns: name },
        { group: 'apps', plural: 'deployments', ns: name },
        { group: '', plural: 'services', ns: name },
        { group: '', plural: 'resourcequotas', ns: name },
      ];
    case 'CustomResourceDefinition':
      return [{ group: o.spec?.group, plural: o.spec?.names?.plural }];
    default:
      return [];
  }
}

function One({ part, r, uid }: { part: Part; r: Resource; uid: string }) {
  const live = useTable(collection(r, part.ns), part.query ?? '');
  const mine = useCallback((x: Row) => !!x.object.metadata.ownerReferences?.some((y) => y.uid === uid), [uid]);
  if (!live) return null;
  return (
    <Card title={tOut(titleOf(r))} right={<span className="count">{live.state === 'live' && !part.owned ? live.items.size : ''}</span>}>
      <Rows r={r} live={live} namespaced={r.namespaced && !part.ns} inner only={part.owned ? mine : undefined} empty={<Empty title={t('There are none')} />} />
    </Card>
  );
}

export function Related({ o }: { r: Resource; o: KObject }) {
  return (
    <>
      {partsOf(o).map((p) => {
        const r = find(p.group, p.plural);
        return r ? <One key={`${p.plural}${p.query}`} part={p} r={r} uid={o.metadata.uid} /> : null;
      })}
    </>
  );
}
