// How the cluster is: what is not well comes first.
import { useEffect, useMemo, useState } from 'react';
import { get } from '../api';
import { bytes, cores, quantity, type Tone, tone } from '../format';
import { t, tOut } from '../i18n';
import { find } from '../kinds';
import { type Live, useObjects, useTable } from '../live';
import { collection, listHref, objectHref } from '../router';
import { useSession } from '../session';
import type { Row } from '../types';
import { Age, Bar, Card, Empty, Problem, Skeleton, Status } from '../ui';

const cell = (l: Live<Row> | null, row: Row, name: string) => String(row.cells[l?.columns.findIndex((c) => c.name === name) ?? -1] ?? '');

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
  return bad.length ? <Status text={bad.join(', ')} as="bad" /> : <Status text={t('healthy')} as="good" />;
}

/** Counts rows by what `of` says. */
function Counted({ live, title, href, of }: { live: Live<Row> | null; title: string; href: string; of: (r: Row) => [string, Tone] }) {
  const groups = useMemo(() => {
    const m = new Map<string, { n: number; tone: Tone; text: string }>();
    for (const r of live?.list() ?? []) {
      const [text, as] = of(r);
      const g = m.get(text) ?? { n: 0, tone: as, text };
      g.n++;
      m.set(text, g);
    }
    const rank: Tone[] = ['bad', 'warn', 'busy', 'good', 'idle'];
    return [...m.values()].sort((a, b) => rank.indexOf(a.tone) - rank.indexOf(b.tone) || b.n - a.n);
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [live, live?.version]);
  return (
    <a className="card count-card" href={href}>
      <header>
        <h3>{title}</h3>
        <b className="big">{live?.state === 'loading' || !live ? '…' : live.state === 'failed' ? '–' : live.items.size}</b>
      </header>
      {live?.state === 'failed' ? (
        <p className="small">{live.error?.code === 403 ? t('You may not list these') : live.error?.message}</p>
      ) : (
        <>
          <Bar parts={[...groups].sort((a, b) => ['good', 'idle', 'busy', 'warn', 'bad'].indexOf(a.tone) - ['good', 'idle', 'busy', 'warn', 'bad'].indexOf(b.tone))} />
          <p className="legend">
            {groups.slice(0, 4).map((g) => (
              <Status key={g.text} text={`${g.n} ${g.text}`} as={g.tone} />
            ))}
            {groups.length === 0 && live?.state === 'live' && <span className="small">{t('none')}</span>}
          </p>
        </>
      )}
    </a>
  );
}

function useKind(group: string, plural: string, ns: string) {
  const r = find(group, plural);
  return { r, live: useTable(r ? collection(r, r.namespaced ? ns : '') : null) };
}

/** A number of things that should be equal to another. */
const whole = (have: number, want: number): [string, Tone] =>
  have >= want ? [t('available'), want === 0 ? 'idle' : 'good'] : have === 0 ? [t('unavailable'), 'bad'] : [t('partly available'), 'warn'];
const ready = (l: Live<Row> | null) => (r: Row) => {
  const [a, b] = cell(l, r, 'Ready').split('/').map(Number);
  return b === 0 ? ([t('scaled to 0'), 'idle'] as [string, Tone]) : whole(a ?? 0, b ?? 0);
};

export function Overview() {
  const { namespace: ns, version } = useSession();
  const nodes = useObjects('/api/v1/nodes');
  const pods = useKind('', 'pods', ns);
  const deployments = useKind('apps', 'deployments', ns);
  const stateful = useKind('apps', 'statefulsets', ns);
  const daemons = useKind('apps', 'daemonsets', ns);
  const jobs = useKind('batch', 'jobs', ns);
  const claims = useKind('', 'persistentvolumeclaims', ns);
  const services = useKind('', 'services', ns);

  const machine = useMemo(() => {
    const all = nodes?.list() ?? [];
    const isReady = (n: any) => n.status?.conditions?.some((c: any) => c.type === 'Ready' && c.status === 'True');
    const sum = (f: string) => all.reduce((a, n) => a + quantity(n.status?.allocatable?.[f]), 0);
    return { all, ready: all.filter(isReady).length, cordoned: all.filter((n) => n.spec?.unschedulable).length, cpu: sum('cpu'), memory: sum('memory'), pods: sum('pods') };
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [nodes, nodes?.version]);

  const troubled = useMemo(
    () => (pods.live?.list() ?? []).filter((r) => tone(cell(pods.live, r, 'Status')) === 'bad').slice(0, 8),
    // eslint-disable-next-line react-hooks/exhaustive-deps
    [pods.live, pods.live?.version],
  );
  const href = (r?: { group: string; version: string; plural: string }) => (r ? listHref(r) : '#/');
  return (
    <>
      <div className="page-head">
        <h1>{ns ? t('Overview of {0}', ns) : t('Overview')}</h1>
        <span className="small">Kubernetes {version}</span>
        <Health />
      </div>
      <div className="grid">
        <a className="card count-card" href="#/list/core/v1/nodes">
          <header>
            <h3>{t('Nodes')}</h3>
            <b className="big">{nodes?.state === 'loading' ? '…' : nodes?.state === 'failed' ? '–' : machine.all.length}</b>
          </header>
          {nodes?.state === 'failed' ? (
            <p className="small">{nodes.error?.code === 403 ? t('You may not list these') : nodes.error?.message}</p>
          ) : (
            <>
              <Bar
                parts={[
                  { n: machine.ready, tone: 'good', text: t('ready') },
                  { n: machine.all.length - machine.ready, tone: 'bad', text: t('not ready') },
                ]}
              />
              <p className="legend">
                <Status text={`${machine.ready} ${t('ready')}`} as="good" />
                {machine.all.length > machine.ready && <Status text={`${machine.all.length - machine.ready} ${t('not ready')}`} as="bad" />}
                {machine.cordoned > 0 && <Status text={`${machine.cordoned} ${t('cordoned')}`} as="warn" />}
              </p>
              <p className="small">{t('{0} cores, {1} memory, {2} pods allocatable', cores(machine.cpu), bytes(machine.memory), machine.pods)}</p>
            </>
          )}
        </a>
        <Counted live={pods.live} title={t('Pods')} href={href(pods.r)} of={(r) => [cell(pods.live, r, 'Status'), tone(cell(pods.live, r, 'Status'))]} />
        <Counted live={deployments.live} title={t('Deployments')} href={href(deployments.r)} of={ready(deployments.live)} />
        <Counted live={stateful.live} title={t('StatefulSets')} href={href(stateful.r)} of={ready(stateful.live)} />
        <Counted live={daemons.live} title={t('DaemonSets')} href={href(daemons.r)} of={(r) => whole(Number(cell(daemons.live, r, 'Ready')), Number(cell(daemons.live, r, 'Desired')))} />
        <Counted
          live={jobs.live}
          title={t('Jobs')}
          href={href(jobs.r)}
          of={(r) => {
            const s = cell(jobs.live, r, 'Status');
            return [s || t('unknown'), tone(s)];
          }}
        />
        <Counted live={services.live} title={t('Services')} href={href(services.r)} of={(r) => [cell(services.live, r, 'Type'), 'idle']} />
        <Counted live={claims.live} title={t('Volume claims')} href={href(claims.r)} of={(r) => [cell(claims.live, r, 'Status'), tone(cell(claims.live, r, 'Status'))]} />
      </div>
      <div className="columns">
        <Card title={t('Pods in trouble')}>
          {pods.live?.state === 'loading' ? (
            <Skeleton rows={3} />
          ) : pods.live?.state === 'failed' ? (
            <Problem error={pods.live.error} />
          ) : troubled.length === 0 ? (
            <Empty title={t('None: all is well')} />
          ) : (
            <ul className="feed">
              {troubled.map((r) => {
                const m = r.object.metadata;
                return (
                  <li key={m.uid}>
                    <Status text={cell(pods.live, r, 'Status')} />
                    <a href={objectHref({ group: '', version: 'v1', plural: 'pods' }, m.namespace, m.name)}>{m.name}</a>
                    <span className="faint">{m.namespace}</span>
                    <span className="small num">{t('{0} restarts', cell(pods.live, r, 'Restarts').split(' ')[0] ?? '0')}</span>
                  </li>
                );
              })}
            </ul>
          )}
        </Card>
        <Warnings ns={ns} />
      </div>
    </>
  );
}

function Warnings({ ns }: { ns: string }) {
  const live = useObjects(`/api/v1${ns ? `/namespaces/${ns}` : ''}/events`, 'fieldSelector=type%3DWarning');
  const at = (e: any) => e.lastTimestamp ?? e.series?.lastObservedTime ?? e.eventTime ?? e.metadata.creationTimestamp;
  const rows = (live?.list() ?? []).slice().sort((a, b) => String(at(b)).localeCompare(String(at(a)))).slice(0, 10);
  return (
    <Card title={t('Latest warnings')} right={<a href="#/list/core/v1/events">{t('All events')}</a>}>
      {live?.state === 'loading' ? (
        <Skeleton rows={3} />
      ) : live?.state === 'failed' ? (
        <Problem error={live.error} />
      ) : rows.length === 0 ? (
        <Empty title={t('No warnings in the last hour')} />
      ) : (
        <ul className="feed">
          {rows.map((e) => (
            <li key={e.metadata.uid} title={e.message}>
              <Status text={tOut(e.reason)} as="warn" />
              <span className="object">
                {e.involvedObject.kind} {e.involvedObject.name}
              </span>
              <span className="message">{e.message}</span>
              <span className="small">
                <Age at={at(e)} />
              </span>
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}
