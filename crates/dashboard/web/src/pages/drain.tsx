// Draining a node: cordoned first, then its pods are evicted, which disruption budgets may delay.
import { useEffect, useRef, useState } from 'react';
import { ApiError, call, get } from '../api';
import { t } from '../i18n';
import type { KObject } from '../types';
import { Button, Dialog, note, Problem, Status } from '../ui';

type State = 'waiting' | 'evicting' | 'held' | 'gone' | 'failed';
interface Item {
  pod: KObject;
  state: State;
  why?: string;
}

/** What kubectl drain leaves, and what it wants to be told of first. */
function sort(pods: KObject[]) {
  const go: KObject[] = [];
  const left: KObject[] = [];
  const bare: string[] = [];
  const local: string[] = [];
  for (const p of pods) {
    const owner = p.metadata.ownerReferences?.find((o) => o.controller);
    const over = p.status?.phase === 'Succeeded' || p.status?.phase === 'Failed';
    if (p.metadata.annotations?.['kubernetes.io/config.mirror'] || owner?.kind === 'DaemonSet') left.push(p);
    else {
      go.push(p);
      if (!owner && !over) bare.push(p.metadata.name);
      if (!over && (p.spec?.volumes ?? []).some((v: any) => v.emptyDir)) local.push(p.metadata.name);
    }
  }
  return { go, left, bare, local };
}

export function DrainDialog({ o, onClose }: { o: KObject; onClose: () => void }) {
  const name = o.metadata.name;
  const [plan, setPlan] = useState<ReturnType<typeof sort> | null>(null);
  const [error, setError] = useState<unknown>();
  const [items, setItems] = useState<Item[]>([]);
  const [phase, setPhase] = useState<'ask' | 'run' | 'done'>('ask');
  const [sure, setSure] = useState(false);
  const stopped = useRef(false);
  useEffect(() => {
    stopped.current = false;
    get<any>(`/api/v1/pods?fieldSelector=${encodeURIComponent(`spec.nodeName=${name}`)}`).then((l) => setPlan(sort(l.items)), setError);
    return () => {
      stopped.current = true;
    };
  }, [name]);

  const run = async () => {
    if (!plan) return;
    setPhase('run');
    setError(undefined);
    const all: Item[] = plan.go.map((pod) => ({ pod, state: 'waiting' }));
    const put = (i: Item, state: State, why?: string) => {
      i.state = state;
      i.why = why;
      setItems([...all]);
    };
    setItems(all);
    try {
      await call('PATCH', `/api/v1/nodes/${name}`, { body: { spec: { unschedulable: true } }, type: 'application/merge-patch+json' });
    } catch (e) {
      setError(e);
      setPhase('ask');
      return;
    }
    await Promise.all(
      all.map(async (i) => {
        const m = i.pod.metadata;
        const path = `/api/v1/namespaces/${m.namespace}/pods/${m.name}`;
        for (;;) {
          if (stopped.current) return;
          try {
            if (i.state === 'evicting') {
              const now = await get(path);
              if (now.metadata.uid !== m.uid) return put(i, 'gone');
            } else {
              await call('POST', `${path}/eviction`, {
                body: { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: m.name, namespace: m.namespace }, deleteOptions: { preconditions: { uid: m.uid } } },
              });
              put(i, 'evicting');
            }
          } catch (e) {
            const x = e as ApiError;
            if (x.code === 404) return put(i, 'gone');
            // A disruption budget says not now.
            if (x.code === 429) put(i, 'held', x.message);
            else if (x.code !== 0 && x.code < 500) return put(i, 'failed', x.message);
          }
          await new Promise((f) => setTimeout(f, i.state === 'held' ? 5_000 : 1_000));
        }
      }),
    );
    if (stopped.current) return;
    setPhase('done');
    if (all.every((i) => i.state === 'gone')) note(t('{0} is drained', name));
  };
  const gone = items.filter((i) => i.state === 'gone').length;
  const careful = plan && (plan.bare.length > 0 || plan.local.length > 0);
  const words: Record<State, [string, 'idle' | 'busy' | 'warn' | 'good' | 'bad']> = {
    waiting: [t('waiting'), 'idle'],
    evicting: [t('ending'), 'busy'],
    held: [t('held by a disruption budget'), 'warn'],
    gone: [t('gone'), 'good'],
    failed: [t('failed'), 'bad'],
  };
  return (
    <Dialog
      title={t('Drain {0}', name)}
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>{phase === 'run' ? t('Stop') : phase === 'done' ? t('Close') : t('Cancel')}</Button>
          {phase !== 'done' && (
            <Button kind="danger" busy={phase === 'run'} disabled={!plan || (!!careful && !sure)} onClick={() => void run()}>
              {phase === 'run' ? `${gone}/${items.length}` : t('Drain')}
            </Button>
          )}
        </>
      }
    >
      {error !== undefined && <Problem error={error} />}
      {phase === 'ask' && plan && (
        <>
          <p>{t('The node takes no more pods, and {0} are evicted; {1} of daemon sets and of the node itself stay.', plan.go.length, plan.left.length)}</p>
          {plan.bare.length > 0 && <div className="strip bad">{t('Nobody makes these anew: {0}', plan.bare.join(', '))}</div>}
          {plan.local.length > 0 && <div className="strip warn">{t('These lose their emptyDir volumes: {0}', plan.local.join(', '))}</div>}
          {careful && (
            <label className="check">
              <input type="checkbox" checked={sure} onChange={(e) => setSure(e.target.checked)} />
              {t('That is meant')}
            </label>
          )}
        </>
      )}
      {phase !== 'ask' && (
        <ul className="feed">
          {items.map((i) => (
            <li key={i.pod.metadata.uid} title={i.why}>
              <Status text={words[i.state][0]} as={words[i.state][1]} />
              <span>{i.pod.metadata.name}</span>
              <span className="faint">{i.pod.metadata.namespace}</span>
            </li>
          ))}
          {items.length === 0 && <li>{t('There are none')}</li>}
        </ul>
      )}
    </Dialog>
  );
}
