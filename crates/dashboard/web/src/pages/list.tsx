// All objects of one resource.
import { useEffect, useMemo, useRef, useState } from 'react';
import { t, tOut } from '../i18n';
import { isCustom, titleOf } from '../kinds';
import { useTable } from '../live';
import { collection, replaceQuery } from '../router';
import { useSession } from '../session';
import { Rows } from '../table';
import type { Resource } from '../types';
import { Button, Empty } from '../ui';
import { DeleteDialog } from './delete';

export function ListPage({ r, query }: { r: Resource; query: URLSearchParams }) {
  const { namespace } = useSession();
  const ns = r.namespaced ? namespace : '';
  const selector = query.get('labels') ?? '';
  const live = useTable(collection(r, ns), selector ? `labelSelector=${encodeURIComponent(selector)}` : '');
  const [wide, setWide] = useState(false);
  const [selected, setSelected] = useState<Set<string>>(new Set());
  const [deleting, setDeleting] = useState(false);
  const filter = query.get('q') ?? '';
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => setSelected(new Set()), [ns, selector]);
  useEffect(() => {
    const key = (e: KeyboardEvent) => {
      if (e.key !== '/' || (e.target as HTMLElement).closest?.('input,textarea,select,[contenteditable=true]')) return;
      e.preventDefault();
      input.current?.focus();
    };
    document.addEventListener('keydown', key);
    return () => document.removeEventListener('keydown', key);
  }, []);
  const chosen = useMemo(
    () => (live?.list() ?? []).filter((x) => selected.has(x.object.metadata.uid)).map((x) => x.object.metadata),
    // eslint-disable-next-line react-hooks/exhaustive-deps
    [live, live?.version, selected],
  );
  if (!live) return null;
  return (
    <>
      <div className="page-head">
        <h1>
          {tOut(titleOf(r))}
          {live.state !== 'loading' && live.state !== 'failed' && <span className="count">{live.items.size}</span>}
        </h1>
        {isCustom(r) && <span className="small">{`${r.group}/${r.version}`}</span>}
        <span className={`livedot ${live.state}`} title={live.state === 'live' ? t('Changes are shown as they happen') : ''} />
        <div className="grow" />
        {selected.size > 0 && r.verbs.includes('delete') && (
          <Button kind="danger" onClick={() => setDeleting(true)}>
            {t('Delete {0} selected', selected.size)}
          </Button>
        )}
        {live.columns.some((c) => c.priority > 0) && (
          <Button kind="ghost" pressed={wide} onClick={() => setWide(!wide)}>
            {t('All columns')}
          </Button>
        )}
        <input
          ref={input}
          className="filter"
          type="search"
          placeholder={t('Filter: words, label=value, !not')}
          aria-label={t('Filter the list')}
          defaultValue={filter}
          onChange={(e) => replaceQuery({ q: e.target.value })}
          onKeyDown={(e) => (e.key === 'Escape' || e.key === 'Enter') && e.currentTarget.blur()}
        />
      </div>
      {selector && (
        <p className="chips">
          <span className="chip">
            {selector}
            <button type="button" aria-label={t('Close')} onClick={() => replaceQuery({ labels: '' })}>
              ×
            </button>
          </span>
        </p>
      )}
      <Rows
        r={r}
        live={live}
        namespaced={r.namespaced && !ns}
        filter={filter}
        wide={wide}
        selected={selected}
        onSelect={setSelected}
        empty={
          <Empty title={ns ? t('No {0} in the namespace {1}', tOut(titleOf(r)), ns) : t('No {0} in this cluster', tOut(titleOf(r)))}>
            {r.verbs.includes('create') && <a href="#/create">{t('Create from YAML')}</a>}
          </Empty>
        }
      />
      {deleting && <DeleteDialog r={r} objects={chosen} onClose={() => setDeleting(false)} onDone={() => setSelected(new Set())} />}
    </>
  );
}
