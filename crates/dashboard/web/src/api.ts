// The API server, reached through the dashboard. The token is in cookies that no script can read; what this page has is
// the key that opens them, which is worth nothing without them.
import type { KObject } from './types';

const KEY = 'keelson.session';
/** Where the dashboard is: a prefix when it is itself reached through a proxy. */
const BASE = new URL('.', location.href.split('#')[0]).pathname.replace(/\/$/, '');

export class ApiError extends Error {
  constructor(
    readonly code: number,
    readonly reason: string,
    message: string,
    readonly details?: unknown,
  ) {
    super(message);
  }
}

function stored(): string {
  try {
    return localStorage.getItem(KEY) ?? '';
  } catch {
    // Storage may be off: the session ends with the page then.
    return '';
  }
}
let key = stored();
let onExpired: () => void = () => {};

export const hasSession = () => key !== '';
function setKey(k: string) {
  key = k;
  try {
    if (k) localStorage.setItem(KEY, k);
    else localStorage.removeItem(KEY);
  } catch {
    // As above.
  }
}
export function whenExpired(f: () => void) {
  onExpired = f;
}
/** Another tab has logged in or out. */
export function whenElsewhere(f: () => void) {
  addEventListener('storage', (e) => {
    if (e.key !== KEY || (e.newValue ?? '') === key) return;
    key = e.newValue ?? '';
    f();
  });
}

export async function openSession(token: string) {
  const r = await call<any>('POST', '/session', { body: { token } });
  setKey(r.data.key);
}
export async function closeSession() {
  const gone = call('DELETE', '/session').catch(() => {});
  setKey('');
  await gone;
}
/** Whether the API server asks nobody for a token. */
export const isOpen = async () => !!(await call<any>('GET', '/session')).data.open;

export interface Options {
  body?: unknown;
  type?: string;
  accept?: string;
  signal?: AbortSignal;
}
export interface Answer<T> {
  data: T;
  warnings: string[];
}

/** A failure as the API server tells it, or as near to that as can be had. */
export function failure(code: number, text: string): ApiError {
  try {
    const s = JSON.parse(text);
    if (s && s.kind === 'Status') return new ApiError(code, s.reason ?? '', s.message ?? text, s.details);
  } catch {
    // Not JSON: the text itself.
  }
  return new ApiError(code, '', text.trim().slice(0, 500) || `HTTP ${code}`);
}

function warningsOf(h: Headers): string[] {
  const out: string[] = [];
  for (const m of (h.get('warning') ?? '').matchAll(/299 \S+ "((?:[^"\\]|\\.)*)"/g)) out.push(m[1].replace(/\\(.)/g, '$1'));
  return out;
}

export async function call<T = KObject>(method: string, path: string, o: Options = {}): Promise<Answer<T>> {
  const headers: Record<string, string> = {
    accept: o.accept ?? 'application/json',
  };
  if (key) headers['x-dashboard-key'] = key;
  let body: string | undefined;
  if (o.body !== undefined) {
    headers['content-type'] = o.type ?? 'application/json';
    body = typeof o.body === 'string' ? o.body : JSON.stringify(o.body);
  }
  let r: Response;
  try {
    r = await fetch(BASE + path, { method, headers, body, signal: o.signal, credentials: 'same-origin', cache: 'no-store' });
  } catch (e) {
    if ((e as Error).name === 'AbortError') throw e;
    throw new ApiError(0, 'Unreachable', 'The dashboard does not answer. Is it still running?');
  }
  const text = await r.text();
  if (!r.ok) {
    if (r.status === 401 && path !== '/session') onExpired();
    throw failure(r.status, text);
  }
  const json = (r.headers.get('content-type') ?? '').includes('json');
  return { data: (json ? JSON.parse(text) : text) as T, warnings: warningsOf(r.headers) };
}
export const get = async <T = KObject>(path: string, o?: Options) => (await call<T>('GET', path, o)).data;

function socket(path: string, protocols: string[]): WebSocket {
  const url = `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}${BASE}${path}`;
  return new WebSocket(url, [...protocols, `key.dashboard.keelson.${key}`]);
}

/** A remote command's channels. */
export const remote = (path: string) => socket(path, ['v5.channel.k8s.io']);

/** A GET whose answer comes piece by piece, until it ends or is closed. */
export function stream(path: string, on: { open?(): void; text(s: string): void; end(e?: ApiError): void }, table = false): () => void {
  const ws = socket(`/stream${table ? '-table' : ''}${path}`, ['stream.dashboard.keelson']);
  ws.binaryType = 'arraybuffer';
  const decoder = new TextDecoder();
  let over = false;
  let error: ApiError | undefined;
  ws.onmessage = (m) => {
    if (over) return;
    if (m.data === 'open') on.open?.();
    else if (typeof m.data === 'string') {
      const r = JSON.parse(m.data);
      error = failure(r.code, r.body);
      if (r.code === 401) onExpired();
    } else on.text(decoder.decode(m.data, { stream: true }));
  };
  ws.onclose = () => {
    if (!over) {
      over = true;
      on.end(error);
    }
  };
  return () => {
    over = true;
    ws.close();
  };
}

/** Cuts text into lines that are JSON. */
export function lines(each: (v: any) => void): (s: string) => void {
  let rest = '';
  return (s) => {
    rest += s;
    const parts = rest.split('\n');
    rest = parts.pop() ?? '';
    for (const p of parts) if (p.trim()) each(JSON.parse(p));
  };
}
