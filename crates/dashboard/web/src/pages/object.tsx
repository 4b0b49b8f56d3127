// One object: what it is, how it fares, what belongs to it, and what can be done with it.
import { lazy, Suspense, useEffect, useMemo } from 'react';
import { t, tOut } from '../i18n';
import { titleOf } from '../kinds';
import { useObjects } from '../live';
import { collection, go, listHref, objectHref } from '../router';
import type { KObject, Resource } from '../types';
import { Empty, Problem, Skeleton, Status } from '../ui';
import { Actions } from './actions';
import { Events } from './events';
import { Related } from './related';
import { Summary } from './summary';
import { phaseOf } from './facts';

const Yaml = lazy(() => import('./yaml'));
const Logs = lazy(() => import('./logs'));
const Terminal = lazy(() => import('./terminal'));
const History = lazy(() => import('./history'));

const LOGGED = new Set(['Pod', 'Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet', 'Job']);
const ROLLED = new Set(['Deployment', 'StatefulSet', 'DaemonSet']);

function tabsOf(r: Resource, o: KObject): [string, string][] {
  const out: [string, string][] = [['', t('Overview')]];
  if (LOGGED.has(r.kind)) out.push(['logs', t('Logs')]);
  if (r.kind === 'Pod' && o.status?.phase === 'Running') out.push(['terminal', t('Terminal')]);
  if (ROLLED.has(r.kind)) out.push(['history', t('History')]);
  out.push(['events', t('Events')], ['yaml', 'YAML']);
  return out;
}

export function ObjectPage({ r, namespace, name, tab }: { r: Resource; namespace: string; name: string; tab: string }) {
  // A watch of one name: if it is deleted and made anew, the new one is shown.
  const live = useObjects(collection(r, namespace), `fieldSelector=${encodeURIComponent(`metadata.name=${name}`)}`);
  const o = live?.list()[0];
  const tabs = useMemo(() => (o ? tabsOf(r, o) : []), [r, o]);
  useEffect(() => {
    const key = (e: KeyboardEvent) => {
      if ((e.key !== '[' && e.key !== ']') || (e.target as HTMLElement).closest?.('input,textarea,select,[contenteditable=true],.xterm')) return;
      const i = tabs.findIndex(([k]) => k === tab) + (e.key === ']' ? 1 : -1);
      const next = tabs[(i + tabs.length) % tabs.length];
      if (next) go(objectHref(r, namespace, name, next[0]));
    };
    document.addEventListener('keydown', key);
    return () => document.removeEventListener('keydown', key);
  });
  const crumbs = (
    <nav className="crumbs" aria-label={t('Where this is')}>
      <a href={listHref(r)}>{tOut(titleOf(r))}</a>
      {namespace && (
        <>
          <span>/</span>
          <a href={objectHref({ group: '', version: 'v1', plural: 'namespaces' }, '', namespace)}>{namespace}</a>
        </>
      )}
    </nav>
  );
  if (!live || live.state === 'loading')
    return (
      <>
        {crumbs}
        <Skeleton />
      </>
    );
  if (live.state === 'failed')
    return (
      <>
        {crumbs}
        <Problem error={live.error} retry={() => live.retry()} page />
      </>
    );
  if (!o)
    return (
      <>
        {crumbs}
        <Empty title={t('{0} {1} does not exist', r.kind, name)}>
          {t('It was deleted, or never made. If it is made again it appears here.')}
        </Empty>
      </>
    );
  const obj: KObject = { apiVersion: r.group ? `${r.group}/${r.version}` : r.version, kind: r.kind, ...o };
  const phase = phaseOf(obj);
  const known = tabs.some(([k]) => k === tab) ? tab : '';
  return (
    <>
      {crumbs}
      <div className="page-head">
        <h1 className="selectable">{name}</h1>
        <span className="kind">{r.kind}</span>
        {o.metadata.deletionTimestamp && <Status text={t('being deleted')} as="busy" />}
        {phase && !o.metadata.deletionTimestamp && <Status text={phase[0]} as={phase[1]} />}
        <div className="grow" />
        <Actions r={r} o={obj} />
      </div>
      {live.state === 'broken' && <div className="strip warn">{t('The connection is broken: what is shown may be old. It is tried again by itself.')}</div>}
      <div className="tabs" role="tablist">
        {tabs.map(([k, text]) => (
          <a key={k} role="tab" aria-selected={k === known} href={objectHref(r, namespace, name, k)}>
            {text}
          </a>
        ))}
      </div>
      <Suspense fallback={<Skeleton />}>
        {known === '' && (
          <>
            <Summary r={r} o={obj} />
            <Related r={r} o={obj} />
          </>
        )}
        {known === 'events' && <Events o={obj} />}
        {known === 'yaml' && <Yaml r={r} o={obj} />}
        {known === 'logs' && <Logs o={obj} />}
        {known === 'terminal' && <Terminal o={obj} />}
        {known === 'history' && <History r={r} o={obj} />}
      </Suspense>
    </>
  );
}
