// The first tab: facts, conditions, containers, data, labels.
import { type ReactNode, useMemo, useState } from 'react';
import { bytes, conditionTone, cores, quantity, span, type Tone, tone, when } from '../format';
import { t, tOut } from '../i18n';
import { useObjects } from '../live';
import type { KObject, Resource } from '../types';
import { Age, Bar, Button, Card, Copy, Empty, Status } from '../ui';
import { Events } from './events';
import { factsOf, KindRef, Ref } from './facts';

export function Facts({ facts }: { facts: [string, ReactNode][] }) {
  const shown = facts.filter(([, v]) => v !== undefined && v !== null && v !== '' && v !== false && !(Array.isArray(v) && v.length === 0));
  return (
    <dl className="facts">
      {shown.map(([k, v]) => (
        <div key={k}>
          <dt>{k}</dt>
          <dd>{v}</dd>
        </div>
      ))}
    </dl>
  );
}

function Chips({ of, link }: { of?: Record<string, string>; link?: (k: string, v: string) => string }) {
  const [all, setAll] = useState(false);
  const entries = Object.entries(of ?? {});
  if (entries.length === 0) return <span className="faint">–</span>;
  return (
    <span className="chips">
      {entries.slice(0, all ? undefined : 12).map(([k, v]) => {
        const text = `${k}=${v.length > 80 ? `${v.slice(0, 80)}…` : v}`;
        return link ? (
          <a className="chip" key={k} href={link(k, v)} title={v}>
            {text}
          </a>
        ) : (
          <span className="chip" key={k} title={v}>
            {text}
          </span>
        );
      })}
      {!all && entries.length > 12 && (
        <button type="button" className="chip" onClick={() => setAll(true)}>
          {t('and {0} more', entries.length - 12)}
        </button>
      )}
    </span>
  );
}

export function Summary({ r, o }: { r: Resource; o: KObject }) {
  const m = o.metadata;
  const conditions: any[] = o.status?.conditions ?? [];
  return (
    <>
      <div className="columns wide-left">
        <Card title={t('Facts')}>
          <Facts
            facts={[
              ...factsOf(o),
              [t('Owner'), m.ownerReferences?.map((x) => <KindRef key={x.uid} apiVersion={x.apiVersion} kind={x.kind} ns={m.namespace} name={x.name} />)],
              [t('Created'), <span key="c" title={when(m.creationTimestamp)}>{when(m.creationTimestamp)} (<Age at={m.creationTimestamp} />)</span>],
              [t('Being deleted since'), m.deletionTimestamp && when(m.deletionTimestamp)],
              [t('Finalizers'), m.finalizers?.join(', ')],
              [t('Labels'), <Chips key="l" of={m.labels} link={(k, v) => `#/list/${r.group || 'core'}/${r.version}/${r.plural}?labels=${encodeURIComponent(`${k}=${v}`)}`} />],
              [t('Annotations'), <Chips key="a" of={Object.fromEntries(Object.entries(m.annotations ?? {}).filter(([k]) => k !== 'kubectl.kubernetes.io/last-applied-configuration'))} />],
            ]}
          />
        </Card>
        <div className="stack-cards">
          {conditions.length > 0 && (
            <Card title={t('Conditions')}>
              <ul className="conditions">
                {conditions.map((c) => (
                  <li key={c.type}>
                    <Status text={c.type} as={conditionTone(c.type, c.status)} title={c.reason} />
                    <span className="faint">{c.status === 'True' ? t('yes') : c.status === 'False' ? t('no') : t('unknown')}</span>
                    <span className="wrap">
                      {c.reason && <b>{c.reason}</b>} {c.message}
                    </span>
                    <span className="small">
                      <Age at={c.lastTransitionTime} />
                    </span>
                  </li>
                ))}
              </ul>
            </Card>
          )}
          {o.kind === 'Node' && <NodeUse o={o} />}
          <Card title={t('Events')}>
            <Events o={o} brief />
          </Card>
        </div>
      </div>
      {o.kind === 'Pod' && <Containers o={o} />}
      {(o.kind === 'ConfigMap' || o.kind === 'Secret') && <Data o={o} />}
      {o.rules && Array.isArray(o.rules) && /Role$/.test(o.kind ?? '') && <Rules rules={o.rules} />}
      {o.kind === 'Pod' && <Volumes o={o} />}
      {o.kind === 'ResourceQuota' && <Quota o={o} />}
    </>
  );
}

function stateOf(c: any): [string, Tone, string] {
  const s = c?.state ?? {};
  if (s.running) return ['Running', c.ready ? 'good' : 'warn', `${t('since')} ${when(s.running.startedAt)}`];
  if (s.waiting) return [s.waiting.reason ?? 'Waiting', tone(s.waiting.reason ?? 'Waiting'), s.waiting.message ?? ''];
  if (s.terminated) {
    const x = s.terminated;
    return [x.reason ?? 'Terminated', x.exitCode === 0 ? 'idle' : 'bad', `${t('exit code {0}', x.exitCode)}${x.message ? ` · ${x.message}` : ''}`];
  }
  return [t('not started'), 'idle', ''];
}

function Containers({ o }: { o: KObject }) {
  const all: [any, any, string][] = [];
  for (const [specs, states, what] of [
    [o.spec?.initContainers, o.status?.initContainerStatuses, t('init')],
    [o.spec?.containers, o.status?.containerStatuses, ''],
    [o.spec?.ephemeralContainers, o.status?.ephemeralContainerStatuses, t('debug')],
  ] as const)
    for (const c of specs ?? []) all.push([c, (states ?? []).find((x: any) => x.name === c.name), what]);
  return (
    <Card title={t('Containers')}>
      <div className="table-box inner">
        <table>
          <thead>
            <tr>
              <th>{t('Name')}</th>
              <th>{t('State')}</th>
              <th className="num">{t('Restarts')}</th>
              <th>{t('Image')}</th>
              <th>{t('Ports')}</th>
              <th>{t('Requests / limits')}</th>
              <th>{t('Probes')}</th>
            </tr>
          </thead>
          <tbody>
            {all.map(([c, s, what]) => {
              const [text, as, more] = stateOf(s);
              const last = s?.lastState?.terminated;
              const amounts = (f: string) => (c.resources?.requests?.[f] || c.resources?.limits?.[f] ? `${f} ${c.resources?.requests?.[f] ?? '–'} / ${c.resources?.limits?.[f] ?? '–'}` : '');
              return (
                <tr key={c.name}>
                  <td>
                    <b>{c.name}</b> {what && <span className="chip">{what}</span>}
                  </td>
                  <td className="wrap">
                    <Status text={text} as={as} /> <span className="small">{more}</span>
                    {last && (
                      <div className="small">
                        {t('before: {0}, exit code {1}, after {2}', last.reason ?? '', last.exitCode, span((Date.parse(last.finishedAt) - Date.parse(last.startedAt)) / 1000))}
                      </div>
                    )}
                  </td>
                  <td className="num">{s?.restartCount ?? 0}</td>
                  <td className="wrap mono">{c.image}</td>
                  <td>{(c.ports ?? []).map((p: any) => `${p.containerPort}/${p.protocol ?? 'TCP'}`).join(', ')}</td>
                  <td className="small">{['cpu', 'memory', 'ephemeral-storage'].map(amounts).filter(Boolean).join(' · ')}</td>
                  <td className="small">{['startupProbe', 'livenessProbe', 'readinessProbe'].filter((p) => c[p]).map((p) => p.replace('Probe', '')).join(', ')}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </Card>
  );
}

function Volumes({ o }: { o: KObject }) {
  const volumes: any[] = o.spec?.volumes ?? [];
  if (volumes.length === 0) return null;
  const ns = o.metadata.namespace;
  const mounts = (name: string) =>
    [...(o.spec.initContainers ?? []), ...(o.spec.containers ?? [])].flatMap((c: any) => (c.volumeMounts ?? []).filter((m: any) => m.name === name).map((m: any) => `${c.name}:${m.mountPath}${m.readOnly ? ' (ro)' : ''}`));
  const source = (v: any): ReactNode => {
    if (v.configMap) return <>ConfigMap <Ref plural="configmaps" ns={ns} name={v.configMap.name} /></>;
    if (v.secret) return <>Secret <Ref plural="secrets" ns={ns} name={v.secret.secretName} /></>;
    if (v.persistentVolumeClaim) return <>{t('Claim')} <Ref plural="persistentvolumeclaims" ns={ns} name={v.persistentVolumeClaim.claimName} /></>;
    const kind = Object.keys(v).find((k) => k !== 'name') ?? '';
    return `${kind}${v.hostPath ? ` ${v.hostPath.path}` : ''}`;
  };
  return (
    <Card title={t('Volumes')}>
      <div className="table-box inner">
        <table>
          <thead>
            <tr>
              <th>{t('Name')}</th>
              <th>{t('From')}</th>
              <th>{t('Mounted at')}</th>
            </tr>
          </thead>
          <tbody>
            {volumes.map((v) => (
              <tr key={v.name}>
                <td>{v.name}</td>
                <td>{source(v)}</td>
                <td className="wrap small mono">{mounts(v.name).join('  ')}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}

function decode(b64: string): { text: string; binary: boolean; size: number } {
  const raw = Uint8Array.from(atob(b64), (c) => c.charCodeAt(0));
  try {
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(raw), binary: false, size: raw.length };
  } catch {
    return { text: b64, binary: true, size: raw.length };
  }
}

function Data({ o }: { o: KObject }) {
  const secret = o.kind === 'Secret';
  const [shown, setShown] = useState<Set<string>>(new Set());
  const entries: [string, { text: string; binary: boolean; size: number }][] = [
    ...Object.entries(o.data ?? {}).map(([k, v]) => [k, secret ? decode(v as string) : { text: v as string, binary: false, size: new Blob([v as string]).size }] as [string, any]),
    ...Object.entries(o.binaryData ?? {}).map(([k, v]) => [k, decode(v as string)] as [string, any]),
  ];
  const all = entries.every(([k]) => shown.has(k));
  return (
    <Card
      title={t('Data')}
      right={
        secret &&
        entries.length > 0 && (
          <Button small onClick={() => setShown(all ? new Set() : new Set(entries.map(([k]) => k)))}>
            {all ? t('Hide all') : t('Show all')}
          </Button>
        )
      }
    >
      {entries.length === 0 && <Empty title={t('It holds no data')} />}
      {entries.map(([k, v]) => (
        <div className="datum" key={k}>
          <header>
            <b className="mono">{k}</b>
            <span className="small">{bytes(v.size)}</span>
            <div className="grow" />
            {secret && (
              <Button small kind="ghost" onClick={() => setShown((s) => (s.has(k) ? new Set([...s].filter((x) => x !== k)) : new Set(s).add(k)))}>
                {shown.has(k) ? t('Hide') : t('Show')}
              </Button>
            )}
            <Copy text={v.text} />
          </header>
          <pre>{secret && !shown.has(k) ? '••••••••' : v.binary ? `${t('binary, in base64')}\n${v.text.slice(0, 4_000)}` : v.text.length > 60_000 ? `${v.text.slice(0, 60_000)}…` : v.text}</pre>
        </div>
      ))}
    </Card>
  );
}

function Rules({ rules }: { rules: any[] }) {
  return (
    <Card title={t('May')}>
      <div className="table-box inner">
        <table>
          <thead>
            <tr>
              <th>{t('Verbs')}</th>
              <th>{t('Resources')}</th>
              <th>{t('Groups')}</th>
              <th>{t('Names')}</th>
            </tr>
          </thead>
          <tbody>
            {rules.map((x, i) => (
              <tr key={i}>
                <td className="wrap">{(x.verbs ?? []).map((v: string) => (v === '*' ? t('everything') : v)).join(', ')}</td>
                <td className="wrap">{[...(x.resources ?? []), ...(x.nonResourceURLs ?? [])].join(', ')}</td>
                <td className="wrap faint">{(x.apiGroups ?? []).map((g: string) => g || 'core').join(', ')}</td>
                <td className="wrap">{(x.resourceNames ?? []).join(', ')}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}

function Meter({ text, used, of, show }: { text: string; used: number; of: number; show: (n: number) => string }) {
  const part = of ? used / of : 0;
  return (
    <div className="meter">
      <span>{text}</span>
      <Bar parts={[{ n: used, tone: part > 0.9 ? 'bad' : part > 0.75 ? 'warn' : 'good', text }, { n: Math.max(0, of - used), tone: 'idle', text: t('free') }]} />
      <span className="num small">{`${show(used)} / ${show(of)} (${Math.round(part * 100)} %)`}</span>
    </div>
  );
}

function NodeUse({ o }: { o: KObject }) {
  const live = useObjects('/api/v1/pods', `fieldSelector=${encodeURIComponent(`spec.nodeName=${o.metadata.name},status.phase!=Succeeded,status.phase!=Failed`)}`);
  const use = useMemo(() => {
    const sum = { cpu: 0, memory: 0, pods: 0 };
    for (const p of live?.list() ?? []) {
      sum.pods++;
      for (const f of ['cpu', 'memory'] as const) {
        const of = (c: any) => quantity(c.resources?.requests?.[f]);
        const main = (p.spec?.containers ?? []).reduce((a: number, c: any) => a + of(c), 0);
        const init = Math.max(0, ...(p.spec?.initContainers ?? []).map(of));
        sum[f] += Math.max(main, init) + quantity(p.spec?.overhead?.[f]);
      }
    }
    return sum;
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [live, live?.version]);
  if (live?.state !== 'live') return null;
  const a = o.status?.allocatable ?? {};
  return (
    <Card title={t('Requested by pods')}>
      <Meter text="CPU" used={use.cpu} of={quantity(a.cpu)} show={cores} />
      <Meter text={t('Memory')} used={use.memory} of={quantity(a.memory)} show={bytes} />
      <Meter text={t('Pods')} used={use.pods} of={quantity(a.pods)} show={String} />
    </Card>
  );
}

function Quota({ o }: { o: KObject }) {
  return (
    <Card title={t('Use')}>
      {Object.entries(o.status?.hard ?? {}).map(([k, v]) => (
        <Meter key={k} text={tOut(k)} used={quantity(o.status?.used?.[k])} of={quantity(v as string)} show={(n) => (/memory|storage/.test(k) ? bytes(n) : String(n))} />
      ))}
    </Card>
  );
}
