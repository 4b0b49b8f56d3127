// Places are in the fragment of the address, so that the dashboard can sit under any prefix.
import { useSyncExternalStore } from 'react';
import type { Resource } from './types';

export interface Place {
  parts: string[];
  query: URLSearchParams;
}
let current = parse();

function parse(): Place {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  return { parts: path.split('/').filter(Boolean).map(decodeURIComponent), query: new URLSearchParams(query) };
}
const listeners = new Set<() => void>();
window.addEventListener('hashchange', () => {
  current = parse();
  for (const l of listeners) l();
});
export function usePlace(): Place {
  return useSyncExternalStore(
    (l) => {
      listeners.add(l);
      return () => listeners.delete(l);
    },
    () => current,
  );
}
const seg = encodeURIComponent;
export const go = (hash: string) => {
  location.hash = hash;
};
export function replaceQuery(set: Record<string, string>) {
  const q = new URLSearchParams(current.query);
  for (const [k, v] of Object.entries(set)) {
    if (v) q.set(k, v);
    else q.delete(k);
  }
  const s = q.toString();
  history.replaceState(null, '', `#/${current.parts.map(seg).join('/')}${s ? `?${s}` : ''}`);
  current = parse();
  for (const l of listeners) l();
}
type Ref = Pick<Resource, 'group' | 'version' | 'plural'>;
export const listHref = (r: Ref) => `#/list/${r.group || 'core'}/${r.version}/${r.plural}`;
export const objectHref = (r: Ref, namespace: string | undefined, name: string, tab = '') =>
  `#/object/${r.group || 'core'}/${r.version}/${r.plural}/${namespace ? seg(namespace) : '_'}/${seg(name)}${tab ? `/${tab}` : ''}`;

/** Paths of the API. */
export function collection(r: Ref, namespace?: string) {
  return `${r.group ? `/apis/${r.group}` : '/api'}/${r.version}${namespace ? `/namespaces/${seg(namespace)}` : ''}/${r.plural}`;
}
export const objectPath = (r: Ref, namespace: string | undefined, name: string, sub = '') =>
  `${collection(r, namespace)}/${seg(name)}${sub ? `/${sub}` : ''}`;
