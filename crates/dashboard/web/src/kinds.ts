// What there is: the menu, and discovery, which knows every resource of this cluster.
import { useSyncExternalStore } from 'react';
import { get } from './api';
import { N } from './i18n';
import type { Resource } from './types';

export interface Entry {
  title: string;
  group: string;
  plural: string;
}
export interface Section {
  title: string;
  icon: string;
  entries: Entry[];
}
const e = (title: string, plural: string, group = ''): Entry => ({ title, plural, group });

export const MENU: Section[] = [
  {
    title: N('Cluster'),
    icon: 'cluster',
    entries: [e(N('Nodes'), 'nodes'), e(N('Namespaces'), 'namespaces'), e(N('Events'), 'events')],
  },
  {
    title: N('Workloads'),
    icon: 'workloads',
    entries: [
      e(N('Pods'), 'pods'),
      e(N('Deployments'), 'deployments', 'apps'),
      e(N('StatefulSets'), 'statefulsets', 'apps'),
      e(N('DaemonSets'), 'daemonsets', 'apps'),
      e(N('Jobs'), 'jobs', 'batch'),
      e(N('CronJobs'), 'cronjobs', 'batch'),
      e(N('ReplicaSets'), 'replicasets', 'apps'),
      e(N('Autoscalers'), 'horizontalpodautoscalers', 'autoscaling'),
    ],
  },
  {
    title: N('Network'),
    icon: 'network',
    entries: [
      e(N('Services'), 'services'),
      e(N('EndpointSlices'), 'endpointslices', 'discovery.k8s.io'),
      e(N('Ingresses'), 'ingresses', 'networking.k8s.io'),
      e(N('IngressClasses'), 'ingressclasses', 'networking.k8s.io'),
      e(N('NetworkPolicies'), 'networkpolicies', 'networking.k8s.io'),
    ],
  },
  {
    title: N('Configuration'),
    icon: 'config',
    entries: [
      e(N('ConfigMaps'), 'configmaps'),
      e(N('Secrets'), 'secrets'),
      e(N('ResourceQuotas'), 'resourcequotas'),
      e(N('LimitRanges'), 'limitranges'),
      e(N('Disruption budgets'), 'poddisruptionbudgets', 'policy'),
      e(N('PriorityClasses'), 'priorityclasses', 'scheduling.k8s.io'),
    ],
  },
  {
    title: N('Storage'),
    icon: 'storage',
    entries: [
      e(N('Volume claims'), 'persistentvolumeclaims'),
      e(N('Volumes'), 'persistentvolumes'),
      e(N('StorageClasses'), 'storageclasses', 'storage.k8s.io'),
    ],
  },
  {
    title: N('Access'),
    icon: 'access',
    entries: [
      e(N('ServiceAccounts'), 'serviceaccounts'),
      e(N('Roles'), 'roles', 'rbac.authorization.k8s.io'),
      e(N('RoleBindings'), 'rolebindings', 'rbac.authorization.k8s.io'),
      e(N('ClusterRoles'), 'clusterroles', 'rbac.authorization.k8s.io'),
      e(N('ClusterRoleBindings'), 'clusterrolebindings', 'rbac.authorization.k8s.io'),
    ],
  },
];
const CRDS = e(N('Definitions'), 'customresourcedefinitions', 'apiextensions.k8s.io');

let resources: Resource[] = [];
let state: 'none' | 'loading' | 'done' = 'none';
const listeners = new Set<() => void>();

const ACCEPT = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json';

function read(doc: any): Resource[] {
  const out: Resource[] = [];
  for (const g of doc.items ?? []) {
    const taken = new Set<string>();
    // Versions come best first: a resource counts in the first that has it.
    for (const v of g.versions ?? [])
      for (const r of v.resources ?? []) {
        if (taken.has(r.resource)) continue;
        taken.add(r.resource);
        out.push({
          group: g.metadata?.name ?? '',
          version: v.version,
          plural: r.resource,
          kind: r.responseKind?.kind ?? r.singularResource,
          namespaced: r.scope === 'Namespaced',
          verbs: r.verbs ?? [],
          short: r.shortNames ?? [],
          sub: (r.subresources ?? []).map((s: any) => s.subresource),
        });
      }
  }
  return out;
}

/** Asks anew: at login, and when a definition was made or removed. */
export async function discover() {
  state = state === 'none' ? 'loading' : state;
  const docs = await Promise.all(['/api', '/apis'].map((p) => get(p, { accept: ACCEPT })));
  resources = docs.flatMap(read);
  state = 'done';
  for (const l of listeners) l();
}
export function forgetDiscovery() {
  resources = [];
  state = 'none';
}
export const allResources = () => resources;

export function useResources(): Resource[] {
  return useSyncExternalStore(
    (l) => {
      listeners.add(l);
      return () => listeners.delete(l);
    },
    () => resources,
  );
}
export const find = (group: string, plural: string) => resources.find((r) => r.group === group && r.plural === plural);
export function findKind(apiVersion: string, kind: string): Resource | undefined {
  const [group, version] = apiVersion.includes('/') ? apiVersion.split('/') : ['', apiVersion];
  return (
    resources.find((r) => r.kind === kind && r.group === group && r.version === version) ??
    resources.find((r) => r.kind === kind && r.group === group)
  );
}

/** Groups of upstream; what is in others was brought by a definition. */
const OWN = new Set(['', 'apps', 'batch', 'autoscaling', 'policy', 'extensions', 'events.k8s.io']);
export const isCustom = (r: Resource) => !OWN.has(r.group) && !/(^|\.)k8s\.io$/.test(r.group);

export function customSection(all: Resource[]): Section {
  const custom = all.filter((r) => isCustom(r) && r.verbs.includes('list'));
  custom.sort((a, b) => a.kind.localeCompare(b.kind));
  return {
    title: N('Custom resources'),
    icon: 'custom',
    entries: [CRDS, ...custom.map((r) => ({ title: r.kind, plural: r.plural, group: r.group }))],
  };
}
export function titleOf(r: { group: string; plural: string; kind?: string }): string {
  for (const s of MENU) for (const x of s.entries) if (x.group === r.group && x.plural === r.plural) return x.title;
  return r.kind ?? r.plural;
}
