// Logs of a container, followed.
import { useEffect, useMemo, useReducer, useRef, useState } from 'react';
import { type ApiError, get, stream } from '../api';
import { selectorText } from '../format';
import { t } from '../i18n';
import { useObjects } from '../live';
import type { KObject } from '../types';
import { Button, Empty, Problem, Skeleton } from '../ui';

/** Lines held and lines drawn at most: older ones go. */
const HELD = 20_000;
const DRAWN = 3_000;

function containersOf(p: KObject): { name: string; started: boolean; restarted: boolean }[] {
  const states = [...(p.status?.initContainerStatuses ?? []), ...(p.status?.containerStatuses ?? []), ...(p.status?.ephemeralContainerStatuses ?? [])];
  return [...(p.spec?.containers ?? []), ...(p.spec?.initContainers ?? []), ...(p.spec?.ephemeralContainers ?? [])].map((c: any) => {
    const s = states.find((x: any) => x.name === c.name);
    return { name: c.name, started: !!(s?.state?.running || s?.state?.terminated || s?.lastState?.terminated), restarted: !!s?.lastState?.terminated };
  });
}

export default function Logs({ o }: { o: KObject }) {
  return o.kind === 'Pod' ? <PodLogs pods={[o]} /> : <OfMany o={o} />;
}
function OfMany({ o }: { o: KObject }) {
  const live = useObjects(`/api/v1/namespaces/${o.metadata.namespace}/pods`, `labelSelector=${encodeURIComponent(selectorText(o.spec?.selector))}`);
  if (!live || live.state === 'loading') return <Skeleton rows={4} />;
  if (live.state === 'failed') return <Problem error={live.error} retry={() => live.retry()} />;
  const pods = live.list().slice().sort((a, b) => b.metadata.creationTimestamp.localeCompare(a.metadata.creationTimestamp) || a.metadata.name.localeCompare(b.metadata.name));
  return pods.length ? <PodLogs pods={pods} /> : <Empty title={t('It has no pods now')} />;
}

function PodLogs({ pods }: { pods: KObject[] }) {
  const [podName, setPod] = useState(pods[0]?.metadata.name ?? '');
  const pod = pods.find((p) => p.metadata.name === podName) ?? pods[0]!;
  const containers = useMemo(() => containersOf(pod), [pod]);
  const preferred = pod.metadata.annotations?.['kubectl.kubernetes.io/default-container'];
  const [chosen, setChosen] = useState('');
  const container = containers.find((c) => c.name === (chosen || preferred)) ?? containers[0];
  const [previous, setPrevious] = useState(false);
  const [times, setTimes] = useState(false);
  const [wrap, setWrap] = useState(true);
  const [follow, setFollow] = useState(true);
  const [tail, setTail] = useState(500);
  const [find, setFind] = useState('');
  const [, redraw] = useReducer((n: number) => n + 1, 0);
  const [error, setError] = useState<ApiError>();
  const [over, setOver] = useState(false);
  const [again, setAgain] = useState(0);
  const held = useRef<string[]>([]);
  const box = useRef<HTMLDivElement>(null);
  const sticky = useRef(true);

  const base = `/api/v1/namespaces/${pod.metadata.namespace}/pods/${pod.metadata.name}/log`;
  const query = container ? new URLSearchParams({ container: container.name, ...(previous ? { previous: 'true' } : {}), ...(times ? { timestamps: 'true' } : {}) }) : null;
  const key = query && container?.started ? `${base}?${query}&tailLines=${tail}${follow && !previous ? '&follow=true' : ''}` : '';
  useEffect(() => {
    held.current = [];
    setError(undefined);
    setOver(false);
    redraw();
    if (!key) return;
    let rest = '';
    let frame = 0;
    const draw = () => {
      if (frame) return;
      frame = requestAnimationFrame(() => {
        frame = 0;
        redraw();
      });
    };
    const close = stream(key, {
      text: (s) => {
        const parts = (rest + s).split('\n');
        rest = (parts.pop() ?? '').slice(0, 1 << 20);
        for (const p of parts) held.current.push(p.length > 20_000 ? `${p.slice(0, 20_000)}…` : p);
        if (held.current.length > HELD) held.current = held.current.slice(-HELD * 0.8);
        draw();
      },
      end: (e) => {
        if (rest) held.current.push(rest);
        setError(e);
        setOver(true);
        draw();
      },
    });
    return () => {
      cancelAnimationFrame(frame);
      close();
    };
  }, [key, again]);
  useEffect(() => {
    const b = box.current;
    if (b && sticky.current) b.scrollTop = b.scrollHeight;
  });

  const word = find.toLowerCase();
  const lines = word ? held.current.filter((l) => l.toLowerCase().includes(word)) : held.current;
  const download = async () => {
    const text = await get<string>(`${base}?${query}`, { accept: '*/*' });
    const a = document.createElement('a');
    a.href = URL.createObjectURL(new Blob([text], { type: 'text/plain' }));
    a.download = `${pod.metadata.name}.${container?.name}.log`;
    a.click();
    setTimeout(() => URL.revokeObjectURL(a.href), 10_000);
  };
  return (
    <div className="logs">
      <div className="toolbar">
        {pods.length > 1 && (
          <select value={pod.metadata.name} onChange={(e) => setPod(e.target.value)} aria-label={t('Pod')}>
            {pods.map((p) => (
              <option key={p.metadata.uid}>{p.metadata.name}</option>
            ))}
          </select>
        )}
        <select value={container?.name} onChange={(e) => setChosen(e.target.value)} aria-label={t('Container')}>
          {containers.map((c) => (
            <option key={c.name}>{c.name}</option>
          ))}
        </select>
        <select value={tail} onChange={(e) => setTail(Number(e.target.value))} aria-label={t('Lines from the end')}>
          {[100, 500, 2000, 10000].map((n) => (
            <option key={n} value={n}>
              {t('last {0} lines', n)}
            </option>
          ))}
        </select>
        <Toggle on={follow} set={setFollow} text={t('Follow')} />
        {container?.restarted && <Toggle on={previous} set={setPrevious} text={t('Before the restart')} />}
        <Toggle on={times} set={setTimes} text={t('Times')} />
        <Toggle on={wrap} set={setWrap} text={t('Wrap')} />
        <div className="grow" />
        <input className="filter" type="search" placeholder={t('Find in the logs')} aria-label={t('Find in the logs')} value={find} onChange={(e) => setFind(e.target.value)} />
        <Button small onClick={() => void download().catch((e) => setError(e))}>
          {t('Download')}
        </Button>
      </div>
      {error && <Problem error={error} retry={() => setAgain(again + 1)} />}
      {!container?.started ? (
        <Empty title={t('The container has not started')}>{t('Its logs appear here when it does.')}</Empty>
      ) : (
        <div
          className={wrap ? 'log-box wrap' : 'log-box'}
          ref={box}
          tabIndex={0}
          role="log"
          aria-label={t('Logs')}
          onScroll={(e) => {
            const b = e.currentTarget;
            sticky.current = b.scrollHeight - b.scrollTop - b.clientHeight < 30;
          }}
        >
          {lines.length > DRAWN && <div className="faint">{t('{0} earlier lines are not drawn', lines.length - DRAWN)}</div>}
          {lines.slice(-DRAWN).map((l, i) => (
            <Line key={i} text={l} word={word} times={times} />
          ))}
          {lines.length === 0 && <div className="faint">{over ? (word ? t('Nothing matches') : t('No logs')) : word ? t('Nothing matches') : t('Waiting for logs…')}</div>}
          {over && !error && follow && <div className="faint">{t('— the end —')}</div>}
        </div>
      )}
    </div>
  );
}

function Toggle({ on, set, text }: { on: boolean; set: (b: boolean) => void; text: string }) {
  return (
    <Button small pressed={on} onClick={() => set(!on)}>
      {text}
    </Button>
  );
}

// eslint-disable-next-line no-control-regex
const ESCAPES = /\u001b\[[0-9;?]*[A-Za-z]/g;
function Line({ text, word, times }: { text: string; word: string; times: boolean }) {
  const plain = text.replace(ESCAPES, '');
  const cut = times ? plain.indexOf(' ') : -1;
  const body = plain.slice(cut + 1);
  const as = /\b(error|fatal|panic|exception)\b|^E\d{4} /i.test(body) ? 'bad' : /\b(warn|warning)\b|^W\d{4} /i.test(body) ? 'warn' : '';
  const at = word ? body.toLowerCase().indexOf(word) : -1;
  return (
    <div className={as}>
      {cut > 0 && <span className="faint">{plain.slice(0, cut)} </span>}
      {at < 0 ? (
        body || ' '
      ) : (
        <>
          {body.slice(0, at)}
          <mark>{body.slice(at, at + word.length)}</mark>
          {body.slice(at + word.length)}
        </>
      )}
    </div>
  );
}
