// Rows as the API server prints them: sorted, filtered, drawn only where they can be seen, walked by keys.
import { type ReactNode, useEffect, useMemo, useRef, useState } from 'react';
import { ratioTone, tone, type Tone } from './format';
import { t, tOut } from './i18n';
import type { Live } from './live';
import { objectHref } from './router';
import type { Column, Resource, Row } from './types';
import { Age, Button, Copy, Empty, Problem, Skeleton, Status } from './ui';

const ROW = 33;
const AROUND = 30;

interface Props {
  r: Resource;
  live: Live<Row>;
  namespaced: boolean;
  filter?: string;
  wide?: boolean;
  /** Inside another page: no windowing, no keys. */
  inner?: boolean;
  only?: (row: Row) => boolean;
  hide?: string[];
  empty?: ReactNode;
  selected?: Set<string>;
  onSelect?: (s: Set<string>) => void;
}

const STATUS = new Set(['Status', 'Phase', 'Reason', 'Type', 'Health']);

function matches(row: Row, words: string[]): boolean {
  if (words.length === 0) return true;
  const m = row.object.metadata;
  const labels = Object.entries(m.labels ?? {}).map(([k, v]) => `${k}=${v}`);
  const text = [m.namespace ?? '', ...row.cells.map(String), ...labels].join('\u0000').toLowerCase();
  return words.every((w) => (w.startsWith('!') && w.length > 1 ? !text.includes(w.slice(1)) : text.includes(w)));
}

function order(a: unknown, b: unknown): number {
  const [x, y] = [Number(a), Number(b)];
  if (a !== '' && b !== '' && !Number.isNaN(x) && !Number.isNaN(y)) return x - y;
  return String(a ?? '').localeCompare(String(b ?? ''), undefined, { numeric: true });
}

function Cell({ c, v, row }: { c: Column; v: unknown; row: Row }) {
  if (c.name === 'Age' || (c.name === 'Created At' && c.format === 'date')) return <Age at={row.object.metadata.creationTimestamp} />;
  const text = v === null || v === undefined || v === '' ? '' : String(v);
  if (!text || text === '<none>' || text === '<unset>') return <span className="faint">–</span>;
  const as = ratioTone(text);
  if (as && /Ready|Replicas|Completions|Endpoints/.test(c.name)) return <span className={`ratio ${as}`}>{text}</span>;
  if (STATUS.has(c.name)) {
    const parts = c.name === 'Status' ? text.split(',') : [text];
    const known: Tone = tone(text);
    if (known !== 'idle' || c.name === 'Status')
      return (
        <span className="statuses">
          {parts.map((p) => (
            <Status key={p} text={p} />
          ))}
        </span>
      );
  }
  if (text === 'True' || text === 'False') return <span className={text === 'True' ? 'good-text' : 'faint'}>{text}</span>;
  return <span className={c.type === 'integer' || c.type === 'number' ? 'num' : ''}>{text}</span>;
}

export function Rows(p: Props) {
  const { live, r } = p;
  const [sort, setSort] = useState<{ by: string; down: boolean }>({ by: '', down: false });
  const [at, setAt] = useState(-1);
  const [view, setView] = useState({ top: 0, height: 900 });
  const box = useRef<HTMLDivElement>(null);

  const columns = useMemo(
    () =>
      live.columns
        .map((c, i) => ({ c, i }))
        .filter(({ c }) => (p.wide || c.priority === 0) && !(p.hide ?? []).includes(c.name)),
    // eslint-disable-next-line react-hooks/exhaustive-deps
    [live.columns, p.wide, p.hide?.join()],
  );
  const rows = useMemo(() => {
    const words = (p.filter ?? '').toLowerCase().split(/\s+/).filter(Boolean);
    const out = live.list().filter((row) => (!p.only || p.only(row)) && matches(row, words));
    const index = live.columns.findIndex((c) => c.name === sort.by);
    const name = (x: Row) => x.object.metadata.name;
    const created = (x: Row) => x.object.metadata.creationTimestamp ?? '';
    out.sort((a, b) => {
      let d = 0;
      if (sort.by === 'Age') d = order(created(b), created(a));
      else if (sort.by === 'Namespace') d = order(a.object.metadata.namespace, b.object.metadata.namespace);
      else if (index >= 0) d = order(a.cells[index], b.cells[index]);
      else if (r.plural === 'events') d = order(created(b), created(a));
      return (sort.down ? -d : d) || order(a.object.metadata.namespace, b.object.metadata.namespace) || order(name(a), name(b));
    });
    return out;
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [live, live.version, p.filter, p.only, sort]);

  // Only what is near the window is drawn; the rest is height.
  useEffect(() => {
    if (p.inner) return;
    const main = document.getElementById('main');
    if (!main) return;
    const look = () => setView({ top: main.scrollTop - (box.current?.offsetTop ?? 0), height: main.clientHeight });
    look();
    main.addEventListener('scroll', look, { passive: true });
    window.addEventListener('resize', look);
    return () => {
      main.removeEventListener('scroll', look);
      window.removeEventListener('resize', look);
    };
  }, [p.inner]);
  const many = !p.inner && rows.length > 150;
  const from = many ? Math.max(0, Math.min(rows.length - 1, Math.floor(view.top / ROW) - AROUND)) : 0;
  const to = many ? Math.min(rows.length, Math.ceil((view.top + view.height) / ROW) + AROUND) : rows.length;

  const href = (row: Row) => objectHref(r, row.object.metadata.namespace, row.object.metadata.name);
  useEffect(() => {
    if (p.inner) return;
    const key = (e: KeyboardEvent) => {
      const el = e.target as HTMLElement;
      if (el.closest?.('input,textarea,select,button,a,[contenteditable=true]') && !['j', 'k'].includes(e.key)) return;
      if (el.closest?.('input,textarea,select') || e.ctrlKey || e.metaKey || e.altKey || document.querySelector('dialog[open]')) return;
      if (e.key === 'j' || e.key === 'ArrowDown') setAt((x) => Math.min(x + 1, rows.length - 1));
      else if (e.key === 'k' || e.key === 'ArrowUp') setAt((x) => Math.max(x - 1, 0));
      else if (e.key === 'Enter' && rows[at]) location.hash = href(rows[at]);
      else if (e.key === 'x' && rows[at] && p.onSelect) toggle(rows[at].object.metadata.uid);
      else return;
      e.preventDefault();
    };
    document.addEventListener('keydown', key);
    return () => document.removeEventListener('keydown', key);
  });
  useEffect(() => {
    if (at >= 0) box.current?.querySelector(`[data-row="${at}"]`)?.scrollIntoView({ block: 'nearest' });
  }, [at]);

  const toggle = (uid: string) => {
    const s = new Set(p.selected);
    if (!s.delete(uid)) s.add(uid);
    p.onSelect?.(s);
  };

  if (live.state === 'failed') return <Problem error={live.error} retry={() => live.retry()} page />;
  if (live.state === 'loading') return <Skeleton rows={p.inner ? 3 : 12} />;
  if (rows.length === 0)
    return live.items.size === 0 || p.inner ? (
      <>{p.empty ?? <Empty title={t('There are none')} />}</>
    ) : (
      <Empty title={t('Nothing matches')}>{t('{0} are not shown because of the filter.', live.items.size)}</Empty>
    );
  const head = (name: string, description?: string, num = false) => (
    <th key={name} scope="col" className={num ? 'num' : ''} aria-sort={sort.by === name ? (sort.down ? 'descending' : 'ascending') : undefined}>
      <button type="button" title={description} onClick={() => setSort({ by: name, down: sort.by === name && !sort.down })}>
        {tOut(name)}
        <i>{sort.by === name ? (sort.down ? '↓' : '↑') : ''}</i>
      </button>
    </th>
  );
  const width = columns.length + (p.namespaced ? 1 : 0) + (p.onSelect ? 1 : 0);
  const now = Date.now();
  return (
    <div className={p.inner ? 'table-box inner' : 'table-box'} ref={box}>
      {live.state === 'broken' && (
        <div className="strip warn" role="status">
          {t('The connection is broken: what is shown may be old. It is tried again by itself.')}
          <Button small onClick={() => live.retry()}>
            {t('Try again')}
          </Button>
        </div>
      )}
      {live.truncated && <div className="strip warn">{t('More than {0}: choose a namespace to see them all.', live.items.size)}</div>}
      <table>
        <thead>
          <tr>
            {p.onSelect && (
              <th className="tick">
                <input
                  type="checkbox"
                  aria-label={t('Select all')}
                  checked={!!p.selected?.size && rows.every((x) => p.selected?.has(x.object.metadata.uid))}
                  onChange={(e) => p.onSelect?.(new Set(e.target.checked ? rows.map((x) => x.object.metadata.uid) : []))}
                />
              </th>
            )}
            {columns.slice(0, 1).map(({ c }) => head(c.name, c.description))}
            {p.namespaced && head('Namespace')}
            {columns.slice(1).map(({ c }) => head(c.name, c.description, c.type === 'integer'))}
          </tr>
        </thead>
        <tbody>
          {from > 0 && (
            <tr aria-hidden="true">
              <td colSpan={width} style={{ height: from * ROW, padding: 0 }} />
            </tr>
          )}
          {rows.slice(from, to).map((row, k) => {
            const i = from + k;
            const m = row.object.metadata;
            const fresh = now - (live.touched.get(m.uid) ?? 0) < 2_000;
            return (
              <tr
                key={m.uid}
                data-row={i}
                className={`${i === at ? 'at ' : ''}${fresh ? 'fresh ' : ''}${m.deletionTimestamp ? 'going' : ''}`}
                onClick={(e) => {
                  if ((e.target as HTMLElement).closest('a,input,button') || getSelection()?.toString()) return;
                  location.hash = href(row);
                }}
              >
                {p.onSelect && (
                  <td className="tick">
                    <input type="checkbox" aria-label={m.name} checked={!!p.selected?.has(m.uid)} onChange={() => toggle(m.uid)} />
                  </td>
                )}
                {columns.map(({ c, i: ci }, n) => [
                  n === 0 ? (
                    <td key="name" className="name">
                      <a href={href(row)}>{String(row.cells[ci] ?? m.name)}</a>
                      {c.name === 'Name' && <Copy text={m.name} />}
                    </td>
                  ) : (
                    <td key={c.name} className={c.type === 'integer' ? 'num' : ''} title={String(row.cells[ci] ?? '').length > 30 ? String(row.cells[ci]) : undefined}>
                      <Cell c={c} v={row.cells[ci]} row={row} />
                    </td>
                  ),
                  n === 0 && p.namespaced && <td key="ns">{m.namespace}</td>,
                ])}
              </tr>
            );
          })}
          {to < rows.length && (
            <tr aria-hidden="true">
              <td colSpan={width} style={{ height: (rows.length - to) * ROW, padding: 0 }} />
            </tr>
          )}
        </tbody>
      </table>
    </div>
  );
}
