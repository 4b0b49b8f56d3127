// A shell in a container: xterm.js on one side, the exec channels of the API server on the other.
import { FitAddon } from '@xterm/addon-fit';
import { Terminal as XTerm } from '@xterm/xterm';
import '@xterm/xterm/css/xterm.css';
import { useEffect, useMemo, useRef, useState } from 'react';
import { remote } from '../api';
import { isDark, t, usePrefs } from '../i18n';
import type { KObject } from '../types';
import { Button, Empty, Status } from '../ui';

/** Channels of v5.channel.k8s.io. */
const [STDIN, STDOUT, STDERR, ERROR, RESIZE] = [0, 1, 2, 3, 4];
/** The best shell there is. */
const SHELL = ['/bin/sh', '-c', 'TERM=xterm-256color; export TERM; command -v bash >/dev/null 2>&1 && exec bash; exec sh'];

const DARK = { background: '#0f1319', foreground: '#d7dde6', cursor: '#6ea8ff', selectionBackground: '#2b4a7a' };
const LIGHT = {
  background: '#ffffff', foreground: '#1d2430', cursor: '#2f6fdb', selectionBackground: '#bcd4fb',
  black: '#1d2430', white: '#5a6474', brightWhite: '#2b3340', yellow: '#8a6100', brightYellow: '#8a6100', green: '#1f7a42', brightGreen: '#1f7a42', cyan: '#0b7285', brightCyan: '#0b7285',
};

export default function Terminal({ o }: { o: KObject }) {
  const running: string[] = useMemo(() => {
    const states = [...(o.status?.containerStatuses ?? []), ...(o.status?.ephemeralContainerStatuses ?? []), ...(o.status?.initContainerStatuses ?? [])];
    return states.filter((s: any) => s.state?.running).map((s: any) => s.name);
  }, [o]);
  const preferred = o.metadata.annotations?.['kubectl.kubernetes.io/default-container'];
  const [chosen, setChosen] = useState('');
  const container = running.find((c) => c === (chosen || preferred)) ?? running[0];
  const [command, setCommand] = useState('');
  const [session, setSession] = useState(0);
  const [state, setState] = useState<'opening' | 'open' | 'over'>('opening');
  const [why, setWhy] = useState('');
  const box = useRef<HTMLDivElement>(null);
  const term = useRef<XTerm>(null);
  const prefs = usePrefs();
  useEffect(() => {
    if (term.current) term.current.options.theme = isDark() ? DARK : LIGHT;
  }, [prefs]);

  const { namespace, name } = o.metadata;
  const running1 = container ?? '';
  useEffect(() => {
    if (!box.current || !running1) return;
    const x = new XTerm({ fontFamily: 'ui-monospace, "SFMono-Regular", Menlo, Consolas, "DejaVu Sans Mono", monospace', fontSize: 13, cursorBlink: true, theme: isDark() ? DARK : LIGHT, scrollback: 5_000 });
    const fit = new FitAddon();
    x.loadAddon(fit);
    x.open(box.current);
    term.current = x;
    setState('opening');
    setWhy('');
    const words = command.trim() ? command.trim().split(/\s+/) : SHELL;
    const q = new URLSearchParams({ container: running1, stdin: 'true', stdout: 'true', stderr: 'false', tty: 'true' });
    for (const w of words) q.append('command', w);
    const ws = remote(`/api/v1/namespaces/${namespace}/pods/${name}/exec?${q}`);
    ws.binaryType = 'arraybuffer';
    const encoder = new TextEncoder();
    const send = (channel: number, bytes: Uint8Array) => {
      if (ws.readyState !== WebSocket.OPEN) return;
      const m = new Uint8Array(bytes.length + 1);
      m[0] = channel;
      m.set(bytes, 1);
      ws.send(m);
    };
    const resize = () => {
      fit.fit();
      send(RESIZE, encoder.encode(JSON.stringify({ Width: x.cols, Height: x.rows })));
    };
    let told = '';
    ws.onopen = () => {
      setState('open');
      resize();
      x.focus();
    };
    ws.onmessage = (m) => {
      const b = new Uint8Array(m.data as ArrayBuffer);
      if (b[0] === STDOUT || b[0] === STDERR) x.write(b.subarray(1));
      else if (b[0] === ERROR) {
        try {
          const s = JSON.parse(new TextDecoder().decode(b.subarray(1)));
          const code = s.details?.causes?.find((c: any) => c.reason === 'ExitCode')?.message;
          told = s.status === 'Success' ? t('The command has ended.') : code ? t('The command has ended with exit code {0}.', code) : (s.message ?? '');
        } catch {
          // A cut message tells nothing.
        }
      }
    };
    ws.onclose = (e) => {
      setState('over');
      setWhy(told || e.reason || (e.wasClean ? t('The connection has ended.') : t('No connection: the container may have no shell, or you may not open one (create pods/exec).')));
    };
    const input = x.onData((d) => send(STDIN, encoder.encode(d)));
    const watcher = new ResizeObserver(resize);
    watcher.observe(box.current);
    return () => {
      watcher.disconnect();
      input.dispose();
      ws.onclose = null;
      ws.close();
      x.dispose();
      term.current = null;
    };
    // The command is taken when a session begins, not while it is typed.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [namespace, name, running1, session]);

  if (!container) return <Empty title={t('No container is running')}>{t('A terminal opens in a running container only.')}</Empty>;
  return (
    <div className="terminal">
      <div className="toolbar">
        <select value={container} onChange={(e) => setChosen(e.target.value)} aria-label={t('Container')}>
          {running.map((c) => (
            <option key={c}>{c}</option>
          ))}
        </select>
        <input className="filter" placeholder={t('Command (default: a shell)')} aria-label={t('Command (default: a shell)')} value={command} onChange={(e) => setCommand(e.target.value)} onKeyDown={(e) => e.key === 'Enter' && setSession(session + 1)} />
        <Button small onClick={() => setSession(session + 1)}>
          {state === 'over' ? t('Open again') : t('Open anew')}
        </Button>
        <Status text={state === 'open' ? t('connected') : state === 'opening' ? t('connecting') : t('ended')} as={state === 'open' ? 'good' : state === 'opening' ? 'busy' : 'idle'} />
      </div>
      {why && <div className="strip warn">{why}</div>}
      <div className="xterm-box" ref={box} />
    </div>
  );
}
