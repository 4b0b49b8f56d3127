// How the cluster is: what is not well comes first, then what there is room for.
import { type ReactNode, useEffect, useMemo, useState } from 'react';
import { get } from '../api';
import { bytes, conditionTone, cores, quantity, type Tone, tone } from '../format';
import { t, tOut } from '../i18n';
import { find } from '../kinds';
import { type Live, useObjects } from '../live';
import { collection, listHref, objectHref } from '../router';
import { useSession } from '../session';
import type { KObject } from '../types';
import { Age, Bar, Card, Empty, Icon, Problem, Skeleton, Status } from '../ui';
import { type Usages, useUsage } from '../usage';
import { podStatus } from './facts';

/** Requests as the scheduler counts them. */
function requests(p: any) {
  const of = (c: any, f: string) => quantity(c.resources?.requests?.[f]);
  const one = (f: string) =>
    Math.max((p.spec?.containers ?? []).reduce((a: number, c: any) => a + of(c, f), 0), 0, ...(p.spec?.initContainers ?? []).map((c: any) => of(c, f))) + quantity(p.spec?.overhead?.[f]);
  return { cpu: one('cpu'), memory: one('memory') };
}
function slimPod(p: any) {
  const { name, namespace, uid, creationTimestamp, resourceVersion, deletionTimestamp } = p.metadata;
  const states: any[] = p.status?.containerStatuses ?? [];
  return {
    metadata: { name, namespace, uid, creationTimestamp, resourceVersion, deletionTimestamp },
    node: p.spec?.nodeName,
    over: p.status?.phase === 'Succeeded' || p.status?.phase === 'Failed',
    text: podStatus(p),
    ready: (p.status?.conditions ?? []).some((c: any) => c.type === 'Ready' && c.status === 'True'),
    restarts: states.reduce((a, c) => a + (c.restartCount ?? 0), 0),
    why: states.map((c) => c.state?.waiting?.message).find(Boolean) ?? (p.status?.conditions ?? []).find((c: any) => c.type === 'PodScheduled' && c.status === 'False')?.message ?? p.status?.message ?? '',
    ...requests(p),
  };
}
function slimWorkload(o: any) {
  const { name, namespace, uid, creationTimestamp, resourceVersion } = o.metadata;
  return { metadata: { name, namespace, uid, creationTimestamp, resourceVersion }, spec: { replicas: o.spec?.replicas, suspend: o.spec?.suspend, type: o.spec?.type }, status: o.status };
}

interface Trouble {
  key: string;
  tone: Tone;
  what: string;
  kind: string;
  name: string;
  namespace?: string;
  href: string;
  why: string;
  at?: string;
}

function useKind(group: string, plural: string, ns: string, slim: (o: any) => any = slimWorkload) {
  const r = find(group, plural);
  return { r, live: useObjects(r ? collection(r, r.namespaced ? ns : '') : null, '', slim) };
}
type Kind = ReturnType<typeof useKind>;

/** How many of how many, whatever the kind calls them. */
function amounts(kind: string, o: KObject): [number, number] {
  const s = o.status ?? {};
  if (kind === 'daemonsets') return [s.numberReady ?? 0, s.desiredNumberScheduled ?? 0];
  return [s.readyReplicas ?? 0, o.spec?.replicas ?? 1];
}

export function Overview() {
  const { namespace: ns, version } = useSession();
  const nodes = useObjects('/api/v1/nodes');
  const pods = useKind('', 'pods', ns, slimPod);
  const deployments = useKind('apps', 'deployments', ns);
  const stateful = useKind('apps', 'statefulsets', ns);
  const daemons = useKind('apps', 'daemonsets', ns);
  const jobs = useKind('batch', 'jobs', ns);
  const claims = useKind('', 'persistentvolumeclaims', ns);
  const services = useKind('', 'services', ns);
  const used = useUsage('nodes');

  const allNodes = useItems(nodes);
  const allPods = useItems(pods.live);
  const on = useMemo(() => {
    const by = new Map<string, { cpu: number; memory: number; pods: number }>();
    for (const p of allPods) {
      if (!p.node || p.over) continue;
      const x = by.get(p.node) ?? { cpu: 0, memory: 0, pods: 0 };
      x.cpu += p.cpu;
      x.memory += p.memory;
      x.pods++;
      by.set(p.node, x);
    }
    return by;
  }, [allPods]);
  const sum = (f: 'cpu' | 'memory' | 'pods') => ({
    used: [...on.values()].reduce((a, x) => a + x[f], 0),
    of: allNodes.reduce((a, n) => a + quantity(n.status?.allocatable?.[f]), 0),
  });
  const isReady = (n: KObject) => n.status?.conditions?.some((c: any) => c.type === 'Ready' && c.status === 'True');
  const readyNodes = allNodes.filter(isReady).length;
  const current = allPods.filter((p) => !p.over);
  const readyPods = current.filter((p) => p.ready).length;
  const troubles = useTroubles(allNodes, allPods, [deployments, stateful, daemons], jobs, claims);
  const loading = [nodes, pods.live, deployments.live, stateful.live, daemons.live].some((l) => l?.state === 'loading');
  const noNodes = nodes?.state === 'failed';

  return (
    <>
      <div className="page-head">
        <h1>{ns ? t('Overview of {0}', ns) : t('Overview')}</h1>
        <span className="kind">Kubernetes {version}</span>
        <Health />
      </div>
      <div className="rings">
        <Ring href="#/list/core/v1/nodes" title={t('Nodes')} live={nodes} part={[readyNodes, allNodes.length]} strict text={t('{0} of {1} ready', readyNodes, allNodes.length)} />
        <Ring href={pods.r ? listHref(pods.r) : '#/'} title={t('Pods')} live={pods.live} part={[readyPods, current.length]} strict text={t('{0} of {1} ready', readyPods, current.length)} />
        {(['cpu', 'memory'] as const).map((f) => {
          const { used: asked, of } = sum(f);
          const show = f === 'cpu' ? cores : bytes;
          const real = used && [...used.values()].reduce((a, u) => a + u[f], 0);
          return (
            <Ring
              key={f}
              href="#/list/core/v1/nodes"
              title={f === 'cpu' ? t('CPU requested') : t('Memory requested')}
              live={noNodes ? nodes : pods.live}
              part={[asked, of]}
              text={t('{0} of {1}', show(asked), show(of))}
              more={real !== null && used?.size ? t('{0} used now', show(real)) : undefined}
            />
          );
        })}
      </div>
      <div className="columns">
        <Card title={t('Needs attention')} right={troubles.length > 0 && <span className="badge bad">{troubles.length}</span>} className="steady">
          {loading ? (
            <Skeleton rows={4} />
          ) : troubles.length === 0 ? (
            <Empty title={t('All is well')} good>
              {ns ? t('Everything in this namespace is as it should be.') : t('Every node is ready, and every workload has what it wants.')}
            </Empty>
          ) : (
            <ul className="feed troubles">
              {troubles.slice(0, 12).map((x) => (
                <li key={x.key}>
                  <span className={`mark ${x.tone}`} aria-hidden="true" />
                  <div className="grow">
                    <div className="line">
                      <a href={x.href}>{x.name}</a>
                      <span className="faint">
                        {x.kind}
                        {x.namespace && !ns ? ` · ${x.namespace}` : ''}
                      </span>
                      <span className="grow" />
                      <Status text={x.what} as={x.tone} />
                    </div>
                    {x.why && (
                      <div className="why" title={x.why}>
                        {x.why}
                      </div>
                    )}
                  </div>
                </li>
              ))}
              {troubles.length > 12 && <li className="small">{t('and {0} more', troubles.length - 12)}</li>}
            </ul>
          )}
        </Card>
        <Warnings ns={ns} />
      </div>
      <div className="columns">
        <Card title={t('Workloads')}>
          <table className="counts">
            <tbody>
              <Count k={deployments} title={t('Deployments')} of={whole} />
              <Count k={stateful} title={t('StatefulSets')} of={whole} />
              <Count k={daemons} title={t('DaemonSets')} of={whole} />
              <Count k={jobs} title={t('Jobs')} of={(o) => jobState(o)} />
              <Count k={pods} title={t('Pods')} of={(o) => [o.text, tone(o.text)]} />
              <Count k={services} title={t('Services')} of={(o) => [o.spec?.type ?? 'ClusterIP', 'idle']} />
              <Count k={claims} title={t('Volume claims')} of={(o) => [o.status?.phase ?? 'Pending', tone(o.status?.phase ?? 'Pending')]} />
            </tbody>
          </table>
        </Card>
        <Nodes live={nodes} all={allNodes} on={on} used={used} partial={!!ns || pods.live?.state === 'failed'} />
      </div>
    </>
  );
}

function useItems(l: Live<KObject> | null): KObject[] {
  // eslint-disable-next-line react-hooks/exhaustive-deps
  return useMemo(() => l?.list() ?? [], [l, l?.version, l?.state]);
}

const whole = (o: KObject, plural: string): [string, Tone] => {
  const [have, want] = amounts(plural, o);
  return want === 0 ? [t('scaled to 0'), 'idle'] : have >= want ? [t('available'), 'good'] : have === 0 ? [t('unavailable'), 'bad'] : [t('partly available'), 'warn'];
};
function jobState(o: KObject): [string, Tone] {
  const is = (type: string) => (o.status?.conditions ?? []).some((c: any) => c.type === type && c.status === 'True');
  return is('Complete') ? ['Complete', 'good'] : is('Failed') ? ['Failed', 'bad'] : o.spec?.suspend ? ['Suspended', 'warn'] : ['Running', 'busy'];
}

const PATIENCE = 20_000;
function useTroubles(nodes: KObject[], pods: KObject[], workloads: Kind[], jobs: Kind, claims: Kind): Trouble[] {
  const versions = [...workloads, jobs, claims].map((k) => k.live?.version).join();
  return useMemo(() => {
    const out: Trouble[] = [];
    const add = (k: { group: string; version: string; plural: string; kind: string }, o: KObject, as: Tone, what: string, why = '') =>
      out.push({ key: o.metadata.uid, tone: as, what, kind: k.kind, name: o.metadata.name, namespace: o.metadata.namespace, href: objectHref(k, o.metadata.namespace, o.metadata.name), why, at: o.metadata.creationTimestamp });
    const node = { group: '', version: 'v1', plural: 'nodes', kind: 'Node' };
    for (const n of nodes) {
      const bad = (n.status?.conditions ?? []).filter((c: any) => conditionTone(c.type, c.status) !== 'good');
      const ready = bad.find((c: any) => c.type === 'Ready');
      if (ready) add(node, n, 'bad', t('not ready'), ready.message);
      else if (bad[0]) add(node, n, 'warn', bad.map((c: any) => c.type).join(', '), bad[0].message);
      else if (n.spec?.unschedulable) add(node, n, 'warn', t('cordoned'), t('It takes no new pods.'));
    }
    const young = (o: KObject) => Date.now() - Date.parse(o.metadata.creationTimestamp) < PATIENCE;
    for (const { r, live } of workloads)
      for (const o of live?.list() ?? []) {
        if (!r) continue;
        const [have, want] = amounts(r.plural, o);
        if (have >= want || young(o)) continue;
        const c = (o.status?.conditions ?? []).find((c: any) => c.status !== 'True' || /Failure/.test(c.type));
        add(r, o, have === 0 ? 'bad' : 'warn', t('{0} of {1} ready', have, want), c?.message);
      }
    for (const o of jobs.live?.list() ?? []) if (jobs.r && jobState(o)[0] === 'Failed') add(jobs.r, o, 'bad', 'Failed', o.status?.conditions?.find((c: any) => c.type === 'Failed')?.message);
    const pod = { group: '', version: 'v1', plural: 'pods', kind: 'Pod' };
    for (const p of pods) {
      const as = tone(p.text);
      if (as === 'bad') add(pod, p, 'bad', p.text, [p.restarts ? t('{0} restarts', p.restarts) : '', p.why].filter(Boolean).join(' · '));
      else if (p.text === 'Pending' && !young(p)) add(pod, p, 'warn', p.text, p.why);
    }
    for (const o of claims.live?.list() ?? []) if (claims.r && o.status?.phase !== 'Bound' && !young(o)) add(claims.r, o, o.status?.phase === 'Lost' ? 'bad' : 'warn', o.status?.phase ?? 'Pending');
    const rank: Tone[] = ['bad', 'warn', 'busy', 'good', 'idle'];
    return out.sort((a, b) => rank.indexOf(a.tone) - rank.indexOf(b.tone));
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [nodes, pods, versions]);
}

/** A part of a whole. `strict`: less than the whole is trouble; otherwise close to the whole is. */
function Ring({ title, href, live, part: [n, of], text, more, strict }: { title: string; href: string; live: Live<any> | null; part: [number, number]; text: string; more?: string; strict?: boolean }) {
  const failed = live?.state === 'failed';
  const loading = !live || live.state === 'loading';
  const share = of > 0 ? Math.min(1, n / of) : 0;
  const as: Tone = loading || failed || of === 0 ? 'idle' : strict ? (n >= of ? 'good' : n === 0 ? 'bad' : 'warn') : share > 0.9 ? 'bad' : share > 0.75 ? 'warn' : 'busy';
  const round = 2 * Math.PI * 24;
  return (
    <a className={`card ring ${as}`} href={href}>
      <svg width="64" height="64" viewBox="0 0 64 64" role="img" aria-label={`${title}: ${text}`}>
        <circle cx="32" cy="32" r="24" className="track" />
        <circle cx="32" cy="32" r="24" className="part" strokeDasharray={`${round * (loading || failed ? 0 : share)} ${round}`} transform="rotate(-90 32 32)" />
        <text x="32" y="36.500" textAnchor="middle">
          {loading ? '…' : failed || of === 0 ? '–' : strict ? n : `${Math.round(share * 100)}%`}
        </text>
      </svg>
      <div>
        <h3>{title}</h3>
        <p>{loading ? '\u00a0' : failed ? (live.error?.code === 403 ? t('You may not list these') : live.error?.message) : of === 0 ? t('none') : text}</p>
        {more && <p className="small">{more}</p>}
      </div>
    </a>
  );
}

function Count({ k, title, of }: { k: Kind; title: string; of: (o: KObject, plural: string) => [string, Tone] }) {
  const all = useItems(k.live);
  const groups = useMemo(() => {
    const m = new Map<string, { n: number; tone: Tone; text: string }>();
    for (const o of all) {
      const [text, as] = of(o, k.r?.plural ?? '');
      const g = m.get(text) ?? { n: 0, tone: as, text };
      g.n++;
      m.set(text, g);
    }
    const rank: Tone[] = ['bad', 'warn', 'busy', 'good', 'idle'];
    return [...m.values()].sort((a, b) => rank.indexOf(a.tone) - rank.indexOf(b.tone) || b.n - a.n);
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [all]);
  const state = k.live?.state ?? 'failed';
  return (
    <tr>
      <th scope="row">{k.r ? <a href={listHref(k.r)}>{title}</a> : title}</th>
      <td className="num">{state === 'loading' ? '…' : state === 'failed' ? '–' : all.length}</td>
      <td className="fill">
        <Bar parts={[...groups].reverse()} />
      </td>
      <td>
        <span className="legend">
          {state === 'failed' && <span className="faint">{k.live?.error?.code === 403 ? t('You may not list these') : (k.live?.error?.message ?? '')}</span>}
          {groups.slice(0, 3).map((g) => (
            <Status key={g.text} text={`${g.n} ${tOut(g.text)}`} as={g.tone} />
          ))}
        </span>
      </td>
    </tr>
  );
}

function Nodes({ live, all, on, used, partial }: { live: Live<KObject> | null; all: KObject[]; on: Map<string, { cpu: number; memory: number; pods: number }>; used: Usages; partial: boolean }) {
  const sorted = [...all].sort((a, b) => a.metadata.name.localeCompare(b.metadata.name, undefined, { numeric: true }));
  const meter = (have: number, of: number, text: string, show: (n: number) => string): ReactNode => {
    const part = of ? have / of : 0;
    return (
      <span className="mini" title={`${text}: ${show(have)} / ${show(of)}`}>
        <Bar parts={[{ n: have, tone: part > 0.9 ? 'bad' : part > 0.75 ? 'warn' : 'busy', text }, { n: Math.max(0, of - have), tone: 'idle', text: t('free') }]} />
        <span className="num small">{Math.round(part * 100)}%</span>
      </span>
    );
  };
  const a = (n: KObject, f: string) => quantity(n.status?.allocatable?.[f]);
  const asked = (n: KObject) => on.get(n.metadata.name) ?? { cpu: 0, memory: 0, pods: 0 };
  return (
    <Card title={partial ? t('Nodes') : t('Nodes: what pods request of them')} right={<a href="#/list/core/v1/nodes">{t('All nodes')}</a>}>
      {!live || live.state === 'loading' ? (
        <Skeleton rows={3} />
      ) : live.state === 'failed' ? (
        live.error?.code === 403 ? <Empty title={t('You may not list these')} lock /> : <Problem error={live.error} />
      ) : all.length === 0 ? (
        <Empty title={t('No node has joined yet')} />
      ) : (
        <div className="table-box inner">
          <table className="nodes">
            <thead>
              <tr>
                <th>{t('Name')}</th>
                {!partial && <th>CPU</th>}
                {!partial && <th>{t('Memory')}</th>}
                {!partial && <th>{t('Pods')}</th>}
                {used && <th>{t('Used now')}</th>}
              </tr>
            </thead>
            <tbody>
              {sorted.slice(0, 12).map((n) => {
                const ready = n.status?.conditions?.some((c: any) => c.type === 'Ready' && c.status === 'True');
                const u = used?.get(n.metadata.name);
                return (
                  <tr key={n.metadata.uid}>
                    <td>
                      <span className={`mark ${ready ? (n.spec?.unschedulable ? 'warn' : 'good') : 'bad'}`} title={ready ? (n.spec?.unschedulable ? t('ready, cordoned') : t('ready')) : t('not ready')} /> <a href={objectHref({ group: '', version: 'v1', plural: 'nodes' }, '', n.metadata.name)}>{n.metadata.name}</a>
                    </td>
                    {!partial && <td>{meter(asked(n).cpu, a(n, 'cpu'), 'CPU', cores)}</td>}
                    {!partial && <td>{meter(asked(n).memory, a(n, 'memory'), t('Memory'), bytes)}</td>}
                    {!partial && <td>{meter(asked(n).pods, a(n, 'pods'), t('Pods'), String)}</td>}
                    {used && <td className="small num">{u ? `${cores(u.cpu)} · ${bytes(u.memory)}` : '–'}</td>}
                  </tr>
                );
              })}
            </tbody>
          </table>
        </div>
      )}
    </Card>
  );
}

function Health() {
  const [bad, setBad] = useState<string[] | null>(null);
  const [error, setError] = useState<unknown>();
  useEffect(() => {
    let on = true;
    const ask = () => {
      if (document.hidden) return;
      get<string>('/readyz?verbose=true', { accept: '*/*' }).then(
        (text) => on && (setBad(text.split('\n').filter((l) => l.startsWith('[-]')).map((l) => l.slice(3))), setError(undefined)),
        (e) => on && setError(e),
      );
    };
    ask();
    const i = setInterval(ask, 15_000);
    return () => {
      on = false;
      clearInterval(i);
    };
  }, []);
  const code = (error as { code?: number })?.code;
  if (code === 403) return null;
  if (error) return <Status text={t('not ready')} as="bad" title={String((error as Error).message)} />;
  if (!bad) return null;
  return bad.length ? <Status text={bad.join(', ')} as="bad" /> : <Status text={t('healthy')} as="good" title={t('Every check of the API server passes')} />;
}

function Warnings({ ns }: { ns: string }) {
  const live = useObjects(`/api/v1${ns ? `/namespaces/${ns}` : ''}/events`, 'fieldSelector=type%3DWarning');
  const at = (e: any) => e.lastTimestamp ?? e.series?.lastObservedTime ?? e.eventTime ?? e.metadata.creationTimestamp;
  const rows = (live?.list() ?? []).slice().sort((a, b) => String(at(b)).localeCompare(String(at(a)))).slice(0, 8);
  return (
    <Card title={t('Latest warnings')} right={<a href="#/list/core/v1/events">{t('All events')}</a>} className="steady">
      {!live || live.state === 'loading' ? (
        <Skeleton rows={4} />
      ) : live.state === 'failed' ? (
        live.error?.code === 403 ? <Empty title={t('You may not list these')} lock /> : <Problem error={live.error} />
      ) : rows.length === 0 ? (
        <Empty title={t('No warnings in the last hour')} good />
      ) : (
        <ul className="feed">
          {rows.map((e) => (
            <li key={e.metadata.uid}>
              <Icon name="warning" size={14} />
              <div className="grow">
                <div className="line">
                  <b>{e.reason}</b>
                  <EventObject e={e} />
                  <span className="grow" />
                  <span className="small">
                    {(e.series?.count ?? e.count ?? 1) > 1 && `${e.series?.count ?? e.count}× `}
                    <Age at={at(e)} />
                  </span>
                </div>
                <div className="why" title={e.message}>
                  {e.message}
                </div>
              </div>
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}

function EventObject({ e }: { e: KObject }) {
  const o = e.involvedObject ?? {};
  const [group, version] = o.apiVersion?.includes('/') ? o.apiVersion.split('/') : ['', o.apiVersion ?? 'v1'];
  const r = find(group, `${String(o.kind).toLowerCase()}s`);
  const text = `${o.kind} ${o.name}`;
  return <span className="object">{r ? <a href={objectHref({ ...r, version }, r.namespaced ? o.namespace : '', o.name)}>{text}</a> : text}</span>;
}
