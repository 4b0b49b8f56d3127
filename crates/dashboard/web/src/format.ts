// Numbers and times as people read them.
import { lang } from './i18n';

export function age(from?: string, now = Date.now()): string {
  if (!from) return '';
  return span((now - Date.parse(from)) / 1000);
}
/** As kubectl writes durations: 2d3h, 5m10s. */
export function span(seconds: number): string {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 120) return `${s}s`;
  const m = Math.floor(s / 60);
  if (m < 10) return `${m}m${s % 60 ? `${s % 60}s` : ''}`;
  if (m < 180) return `${m}m`;
  const h = Math.floor(m / 60);
  if (h < 8) return `${h}h${m % 60 ? `${m % 60}m` : ''}`;
  if (h < 48) return `${h}h`;
  const d = Math.floor(h / 24);
  if (d < 8) return `${d}d${h % 24 ? `${h % 24}h` : ''}`;
  if (d < 730) return `${d}d`;
  return `${Math.floor(d / 365)}y${Math.floor((d % 365)) ? `${d % 365}d` : ''}`;
}
export function when(iso?: string): string {
  if (!iso) return '';
  return new Date(iso).toLocaleString(lang() === 'zh' ? 'zh-CN' : 'en-GB', { hour12: false });
}
const UNITS: Record<string, number> = {
  n: 1e-9, u: 1e-6, m: 1e-3, '': 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15, E: 1e18,
  Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40, Pi: 2 ** 50, Ei: 2 ** 60,
};
export function quantity(s?: string | number): number {
  if (s === undefined || s === null) return 0;
  const m = /^([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([a-zA-Z]*)$/.exec(String(s));
  return m ? Number(m[1]) * (UNITS[m[2]] ?? 1) : 0;
}
export function bytes(n: number): string {
  const names = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let i = 0;
  while (n >= 1024 && i < names.length - 1) {
    n /= 1024;
    i++;
  }
  return `${n >= 100 || i === 0 ? Math.round(n) : n.toFixed(1)} ${names[i]}`;
}
export function cores(n: number): string {
  return n >= 10 ? n.toFixed(0) : n >= 1 ? n.toFixed(1).replace(/\.0$/, '') : `${Math.round(n * 1000)}m`;
}
export function selectorText(s: any): string {
  const out: string[] = Object.entries(s?.matchLabels ?? {}).map(([k, v]) => `${k}=${v}`);
  for (const x of s?.matchExpressions ?? []) {
    const vs = (x.values ?? []).join(',');
    out.push(
      x.operator === 'In' ? `${x.key} in (${vs})` : x.operator === 'NotIn' ? `${x.key} notin (${vs})` : x.operator === 'Exists' ? x.key : `!${x.key}`,
    );
  }
  return out.join(',');
}
export const labelsText = (l?: Record<string, string>) =>
  Object.entries(l ?? {})
    .map(([k, v]) => `${k}=${v}`)
    .join(',');

export type Tone = 'good' | 'warn' | 'bad' | 'busy' | 'idle';
const TONES: [RegExp, Tone][] = [
  [/^(Running|Active|Bound|Ready|Available|Complete|Completed|Succeeded|Healthy|True|Established|Normal|Approved.*)$/, 'good'],
  [/(BackOff|Error|Failed|Err[A-Z]|Invalid|OOMKilled|Evicted|Lost|Unknown|NotReady|CreateContainer|Unhealthy|Denied|StartError|DeadlineExceeded)/, 'bad'],
  [/^(Pending|ContainerCreating|PodInitializing|Init:.*|Terminating|Released|Progressing|Waiting)$/, 'busy'],
  [/(SchedulingDisabled|Warning|Suspended|SchedulingGated|Paused)/, 'warn'],
];
/** What a status word means for the reader's calm. */
export function tone(text: string): Tone {
  for (const [re, x] of TONES) if (re.test(text)) return x;
  return 'idle';
}
/** 2/3 and the like. */
export function ratioTone(text: string): Tone | undefined {
  const m = /^(\d+)\/(\d+)$/.exec(text);
  if (!m) return undefined;
  return m[1] === m[2] ? (m[2] === '0' ? 'idle' : 'good') : m[1] === '0' ? 'bad' : 'warn';
}
/** Conditions whose truth is the trouble. */
const ADVERSE = /(Pressure|Unavailable|Failure|Failed|NotReady|Disruption|Terminating|NonStructural|KubernetesAPIApprovalPolicy|DeletionFail|Suspended|Dangling)/;
export function conditionTone(type: string, status: string): Tone {
  if (status === 'Unknown') return 'warn';
  return (status === 'True') !== ADVERSE.test(type) ? 'good' : type === 'Progressing' || ADVERSE.test(type) ? 'bad' : 'warn';
}
