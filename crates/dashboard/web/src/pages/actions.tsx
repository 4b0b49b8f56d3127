// What can be done with an object, as far as the user may.
import { type ReactNode, useCallback, useEffect, useState } from 'react';
import { call } from '../api';
import { t } from '../i18n';
import { find } from '../kinds';
import { may } from '../live';
import { go, listHref, objectHref, objectPath } from '../router';
import type { KObject, Resource } from '../types';
import { Button, Dialog, Menu, note, Problem, useAction } from '../ui';
import { DeleteDialog } from './delete';
import { DrainDialog } from './drain';

const MERGE = 'application/merge-patch+json';
const SCALED = new Set(['Deployment', 'StatefulSet', 'ReplicaSet', 'ReplicationController']);
const ROLLED = new Set(['Deployment', 'StatefulSet', 'DaemonSet']);

/** Rights as they become known; until then a button is enabled, for the server judges anyway. */
function useRights(r: Resource, o: KObject): (verb: string, sub?: string) => string | undefined {
  const { namespace = '', name } = o.metadata;
  const [no, setNo] = useState<Set<string>>(new Set());
  useEffect(() => {
    let on = true;
    const asked: [string, string][] = [['delete', ''], ['patch', ''], ['update', '']];
    if (SCALED.has(r.kind)) asked.push(['patch', 'scale']);
    void Promise.all(asked.map(async ([v, sub]) => [`${v} ${sub}`, await may(v, r.group, sub ? `${r.plural}/${sub}` : r.plural, namespace, name)] as const)).then((got) => {
      if (on) setNo(new Set(got.filter(([, yes]) => !yes).map(([k]) => k)));
    });
    return () => {
      on = false;
    };
  }, [r, namespace, name]);
  return (verb, sub = '') => (no.has(`${verb} ${sub}`) ? t('Your account may not do this') : undefined);
}

export function Actions({ r, o }: { r: Resource; o: KObject }) {
  const m = o.metadata;
  const off = useRights(r, o);
  const [open, setOpen] = useState('');
  const close = () => setOpen('');
  const path = objectPath(r, m.namespace, m.name);
  const patch = (body: unknown, done: string) =>
    call('PATCH', path, { body, type: MERGE }).then(
      (a) => {
        note(done);
        for (const w of a.warnings) note(w, 'warn');
      },
      (e: Error) => note(e.message, 'bad'),
    );
  const items: { text: string; run: () => void; off?: string; danger?: boolean }[] = [];
  const buttons: ReactNode[] = [];
  const button = (text: string, run: () => void, why?: string) =>
    buttons.push(
      <Button key={text} onClick={run} disabled={!!why} title={why}>
        {text}
      </Button>,
    );
  if (SCALED.has(r.kind)) button(t('Scale'), () => setOpen('scale'), off('patch', 'scale'));
  if (ROLLED.has(r.kind)) button(t('Restart'), () => setOpen('restart'), off('patch'));
  if (ROLLED.has(r.kind)) items.push({ text: t('Roll back…'), run: () => go(objectHref(r, m.namespace, m.name, 'history')) });
  if (r.kind === 'Deployment')
    items.push(
      o.spec?.paused
        ? { text: t('Resume rollout'), run: () => void patch({ spec: { paused: null } }, t('The rollout goes on')), off: off('patch') }
        : { text: t('Pause rollout'), run: () => void patch({ spec: { paused: true } }, t('The rollout is paused')), off: off('patch') },
    );
  if (r.kind === 'CronJob') {
    button(t('Run now'), () => setOpen('run'));
    items.push(
      o.spec?.suspend
        ? { text: t('Resume schedule'), run: () => void patch({ spec: { suspend: false } }, t('The schedule goes on')), off: off('patch') }
        : { text: t('Suspend schedule'), run: () => void patch({ spec: { suspend: true } }, t('The schedule is suspended')), off: off('patch') },
    );
  }
  if (r.kind === 'Job')
    items.push(
      o.spec?.suspend
        ? { text: t('Resume'), run: () => void patch({ spec: { suspend: false } }, t('The job goes on')), off: off('patch') }
        : { text: t('Suspend'), run: () => void patch({ spec: { suspend: true } }, t('The job is suspended')), off: off('patch') },
    );
  if (r.kind === 'Node') {
    if (o.spec?.unschedulable) button(t('Uncordon'), () => void patch({ spec: { unschedulable: null } }, t('{0} takes pods again', m.name)), off('patch'));
    else button(t('Cordon'), () => void patch({ spec: { unschedulable: true } }, t('{0} takes no more pods', m.name)), off('patch'));
    button(t('Drain'), () => setOpen('drain'), off('patch'));
  }
  if (r.verbs.includes('update')) button(t('Edit'), () => go(objectHref(r, m.namespace, m.name, 'yaml')), off('update'));
  if (r.verbs.includes('delete')) items.push({ text: t('Delete'), run: () => setOpen('delete'), danger: true, off: off('delete') });
  return (
    <div className="actions">
      {buttons}
      {items.length > 0 && <Menu label={t('More')} items={items} />}
      {open === 'scale' && <ScaleDialog r={r} o={o} onClose={close} />}
      {open === 'restart' && <RestartDialog r={r} o={o} onClose={close} />}
      {open === 'drain' && <DrainDialog o={o} onClose={close} />}
      {open === 'run' && <RunDialog o={o} onClose={close} />}
      {open === 'delete' && <DeleteDialog r={r} objects={[m]} onClose={close} onDone={() => go(listHref(r))} />}
    </div>
  );
}

interface Ask {
  r: Resource;
  o: KObject;
  onClose: () => void;
}

function Confirm(p: { title: string; text: ReactNode; verb: string; run: () => Promise<void>; onClose: () => void }) {
  const { run, onClose } = p;
  const act = useAction(
    useCallback(async () => {
      await run();
      onClose();
    }, [run, onClose]),
  );
  return (
    <Dialog
      title={p.title}
      onClose={p.onClose}
      footer={
        <>
          <Button onClick={p.onClose}>{t('Cancel')}</Button>
          <Button kind="primary" busy={act.busy} onClick={() => void act.run()} autoFocus>
            {p.verb}
          </Button>
        </>
      }
    >
      {p.text}
      {act.error !== undefined && <Problem error={act.error} />}
    </Dialog>
  );
}

function ScaleDialog({ r, o, onClose }: Ask) {
  const now: number = o.spec?.replicas ?? 1;
  const [n, setN] = useState(now);
  const act = useAction(
    useCallback(async () => {
      await call('PATCH', objectPath(r, o.metadata.namespace, o.metadata.name, 'scale'), { body: { spec: { replicas: n } }, type: MERGE });
      note(t('{0} is scaled to {1}', o.metadata.name, n));
      onClose();
    }, [r, o, n, onClose]),
  );
  return (
    <Dialog
      title={t('Scale {0}', o.metadata.name)}
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>{t('Cancel')}</Button>
          <Button kind="primary" busy={act.busy} disabled={n === now} onClick={() => void act.run()}>
            {t('Scale')}
          </Button>
        </>
      }
    >
      <form
        className="scale"
        onSubmit={(e) => {
          e.preventDefault();
          if (n !== now) void act.run();
        }}
      >
        <label className="field">
          {t('Replicas')}
          <span className="stepper">
            <Button onClick={() => setN(Math.max(0, n - 1))} title={t('One less')}>
              −
            </Button>
            <input type="number" min={0} max={10_000} value={n} autoFocus onChange={(e) => setN(Math.max(0, Math.min(10_000, Number(e.target.value) || 0)))} />
            <Button onClick={() => setN(n + 1)} title={t('One more')}>
              +
            </Button>
          </span>
        </label>
        <p className="small">{t('Now: {0} wanted, {1} ready', now, o.status?.readyReplicas ?? 0)}</p>
        {n === 0 && <div className="strip warn">{t('With no replicas nothing answers.')}</div>}
      </form>
      {act.error !== undefined && <Problem error={act.error} />}
    </Dialog>
  );
}

function RestartDialog({ r, o, onClose }: Ask) {
  const run = useCallback(async () => {
    const at = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
    await call('PATCH', objectPath(r, o.metadata.namespace, o.metadata.name), {
      body: { spec: { template: { metadata: { annotations: { 'kubectl.kubernetes.io/restartedAt': at } } } } },
      type: MERGE,
    });
    note(t('{0} is being restarted', o.metadata.name));
  }, [r, o]);
  return <Confirm title={t('Restart {0}?', o.metadata.name)} text={<p>{t('Its pods are replaced one after the other, as its update strategy has it.')}</p>} verb={t('Restart')} run={run} onClose={onClose} />;
}

function RunDialog({ o, onClose }: { o: KObject; onClose: () => void }) {
  const run = useCallback(async () => {
    const jobs = find('batch', 'jobs');
    if (!jobs) throw new Error('no jobs');
    const name = `${o.metadata.name.slice(0, 50)}-${Math.random().toString(36).slice(2, 7)}`;
    const template = o.spec.jobTemplate;
    const job = {
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: {
        name,
        namespace: o.metadata.namespace,
        labels: template.metadata?.labels,
        annotations: { ...template.metadata?.annotations, 'cronjob.kubernetes.io/instantiate': 'manual' },
        ownerReferences: [{ apiVersion: 'batch/v1', kind: 'CronJob', name: o.metadata.name, uid: o.metadata.uid, controller: true, blockOwnerDeletion: true }],
      },
      spec: template.spec,
    };
    await call('POST', `/apis/batch/v1/namespaces/${o.metadata.namespace}/jobs`, { body: job });
    note(t('The job {0} is made', name));
    go(objectHref(jobs, o.metadata.namespace, name));
  }, [o]);
  return <Confirm title={t('Run {0} now?', o.metadata.name)} text={<p>{t('A job is made from its template, beside the schedule.')}</p>} verb={t('Run now')} run={run} onClose={onClose} />;
}
