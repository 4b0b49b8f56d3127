// Type to go anywhere: pages of the menu, every resource, and objects by name.
import { useEffect, useMemo, useRef, useState } from 'react';
import { get } from '../api';
import { t, tOut } from '../i18n';
import { find, type Section, useResources } from '../kinds';
import { collection, go, listHref, objectHref } from '../router';
import { useSession } from '../session';
import type { Row } from '../types';
import { Dialog } from '../ui';

interface Hit {
  key: string;
  title: string;
  where: string;
  href: string;
}
/** Kinds whose objects are looked through by name. */
const SEARCHED: [string, string][] = [
  ['', 'pods'], ['apps', 'deployments'], ['apps', 'statefulsets'], ['apps', 'daemonsets'], ['', 'services'],
  ['', 'configmaps'], ['', 'nodes'], ['', 'namespaces'], ['batch', 'cronjobs'], ['networking.k8s.io', 'ingresses'],
  ['', 'persistentvolumeclaims'],
];
const META = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json';

/** Letters in order; fewer gaps are better. Negative: no match. */
function score(text: string, what: string): number {
  const s = text.toLowerCase();
  const at = s.indexOf(what);
  if (at >= 0) return 100 - at - (s.length - what.length) / 10;
  let from = 0;
  let gaps = 0;
  for (const c of what) {
    const i = s.indexOf(c, from);
    if (i < 0) return -1;
    gaps += i - from;
    from = i + 1;
  }
  return 30 - gaps;
}

export function Palette({ sections, onClose }: { sections: Section[]; onClose: () => void }) {
  const all = useResources();
  const { namespace } = useSession();
  const [text, setText] = useState('');
  const [at, setAt] = useState(0);
  const [objects, setObjects] = useState<Hit[] | null>(null);
  const list = useRef<HTMLUListElement>(null);

  useEffect(() => {
    const stop = new AbortController();
    const one = async ([group, plural]: [string, string]): Promise<Hit[]> => {
      const r = find(group, plural);
      if (!r) return [];
      const path = `${collection(r, r.namespaced ? namespace : '')}?limit=1000`;
      const got = await get<any>(path, { accept: META, signal: stop.signal });
      return (got.items as Row['object'][]).map(({ metadata: m }) => ({
        key: m.uid,
        title: m.name,
        where: `${r.kind}${m.namespace ? ` · ${m.namespace}` : ''}`,
        href: objectHref(r, m.namespace, m.name),
      }));
    };
    void Promise.allSettled(SEARCHED.map(one)).then((rs) => {
      if (!stop.signal.aborted) setObjects(rs.flatMap((r) => (r.status === 'fulfilled' ? r.value : [])));
    });
    return () => stop.abort();
  }, [namespace]);

  const pages = useMemo<Hit[]>(() => {
    const seen = new Set<string>();
    const out: Hit[] = [
      { key: '/', title: t('Overview'), where: t('Page'), href: '#/' },
      { key: '/create', title: t('Create from YAML'), where: t('Page'), href: '#/create' },
    ];
    for (const s of sections)
      for (const x of s.entries) {
        const r = find(x.group, x.plural);
        if (!r) continue;
        const href = listHref(r);
        seen.add(href);
        out.push({ key: href, title: tOut(x.title), where: `${tOut(s.title)} · ${r.plural} ${r.short.join(' ')}`, href });
      }
    for (const r of all)
      if (r.verbs.includes('list') && !seen.has(listHref(r)))
        out.push({ key: listHref(r), title: r.kind, where: `${r.group || 'core'} · ${r.plural} ${r.short.join(' ')}`, href: listHref(r) });
    return out;
  }, [sections, all]);

  const hits = useMemo(() => {
    const what = text.trim().toLowerCase();
    if (!what) return pages.slice(0, 40);
    const scored: [number, Hit][] = [];
    for (const [list, bonus] of [[pages, 20], [objects ?? [], 0]] as const)
      for (const h of list) {
        const s = Math.max(score(h.title, what), score(`${h.where} ${h.title}`, what) - 15);
        // A short name typed whole is meant.
        const whole = h.where.split(/[ ·]+/).includes(what) ? 60 : 0;
        if (s > 0) scored.push([s + bonus + whole, h]);
      }
    return scored
      .sort((a, b) => b[0] - a[0])
      .slice(0, 40)
      .map((x) => x[1]);
  }, [text, pages, objects]);
  useEffect(() => setAt(0), [text]);
  // Newer browsers answer a promise, which must not become the effect's cleanup.
  useEffect(() => void list.current?.children[at]?.scrollIntoView({ block: 'nearest' }), [at]);
  const open = (h?: Hit) => {
    if (!h) return;
    onClose();
    go(h.href);
  };
  return (
    <Dialog title={t('Search or go to…')} onClose={onClose}>
      <div className="palette">
        <input
          autoFocus
          role="combobox"
          aria-expanded="true"
          aria-controls="hits"
          placeholder={t('Name of a page, a kind, or an object')}
          value={text}
          onChange={(e) => setText(e.target.value)}
          onKeyDown={(e) => {
            if (e.key === 'ArrowDown') setAt(Math.min(at + 1, hits.length - 1));
            else if (e.key === 'ArrowUp') setAt(Math.max(at - 1, 0));
            else if (e.key === 'Enter') open(hits[at]);
            else return;
            e.preventDefault();
          }}
        />
        <ul id="hits" role="listbox" ref={list}>
          {hits.map((h, i) => (
            <li key={h.key} role="option" aria-selected={i === at} onMouseMove={() => setAt(i)} onClick={() => open(h)}>
              <span>{h.title}</span>
              <small>{h.where}</small>
            </li>
          ))}
        </ul>
        {hits.length === 0 && <p className="small">{objects ? t('Nothing is called that') : t('Loading')}</p>}
      </div>
    </Dialog>
  );
}
