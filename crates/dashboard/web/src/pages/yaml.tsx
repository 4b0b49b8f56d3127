// An object as YAML: looked at, edited, and saved after its difference was seen as the server would store it.
import { useCallback, useMemo, useState } from 'react';
import { parse, stringify } from 'yaml';
import { ApiError, call, get } from '../api';
import { Diff, Editor } from '../editor';
import { t } from '../i18n';
import { objectPath } from '../router';
import type { KObject, Resource } from '../types';
import { Button, Empty, note, Problem, useAction } from '../ui';

/** As it is shown: managed fields are the server's own affair. Without them it keeps those it has. */
export function toYaml(o: KObject): string {
  const { managedFields: _, ...metadata } = o.metadata;
  const { apiVersion, kind, metadata: __, ...rest } = o;
  return stringify({ apiVersion, kind, metadata, ...rest }, { lineWidth: 0, aliasDuplicateObjects: false });
}

/** A server's answer tells what was stored; its version says nothing to a reader of the difference. */
const comparable = (o: KObject) => {
  const { resourceVersion: _, generation: __, ...metadata } = o.metadata;
  return toYaml({ ...o, metadata: metadata as KObject['metadata'] });
};

export default function Yaml({ r, o }: { r: Resource; o: KObject }) {
  const path = objectPath(r, o.metadata.namespace, o.metadata.name);
  const now = useMemo(() => toYaml(o), [o]);
  // What is edited is what was there when editing began; changes since then are told, not mixed in.
  const [base, setBase] = useState(now);
  const [text, setText] = useState(now);
  const [shown, setShown] = useState(r.kind !== 'Secret');
  const [review, setReview] = useState<{ before: string; after: string; body: KObject; warnings: string[] } | null>(null);
  const dirty = text !== base;
  if (!dirty && base !== now && !review) {
    setBase(now);
    setText(now);
  }
  const check = useAction(
    useCallback(async () => {
      const body = parse(text) as KObject;
      if (!body || typeof body !== 'object') throw new Error(t('This is not an object'));
      const [live, would] = await Promise.all([get(path), call('PUT', `${path}?dryRun=All&fieldValidation=Strict`, { body })]);
      const kinds = { apiVersion: body.apiVersion, kind: body.kind };
      setReview({ before: comparable({ ...kinds, ...live }), after: comparable({ ...kinds, ...would.data }), body, warnings: would.warnings });
    }, [path, text]),
  );
  const save = useAction(
    useCallback(async () => {
      if (!review) return;
      const done = await call('PUT', `${path}?fieldValidation=Strict`, { body: review.body });
      for (const w of done.warnings) note(w, 'warn');
      const fresh = toYaml({ apiVersion: review.body.apiVersion, kind: review.body.kind, ...done.data });
      setReview(null);
      setBase(fresh);
      setText(fresh);
      note(t('{0} is saved', o.metadata.name));
    }, [path, review, o.metadata.name]),
  );
  /** After a conflict: the same edit upon the newest version. */
  const rebase = useAction(
    useCallback(async () => {
      const live = await get(path);
      const body = parse(text) as KObject;
      body.metadata.resourceVersion = live.metadata.resourceVersion;
      check.clear();
      save.clear();
      setReview(null);
      setText(stringify(body, { lineWidth: 0, aliasDuplicateObjects: false }));
    }, [path, text, check, save]),
  );
  if (!shown)
    return (
      <Empty title={t('This YAML holds secret values')}>
        <Button onClick={() => setShown(true)}>{t('Show it')}</Button>
      </Empty>
    );
  const error = save.error ?? check.error ?? rebase.error;
  const conflict = error instanceof ApiError && error.code === 409;
  return (
    <div className="yaml">
      <div className="toolbar">
        {review ? (
          <>
            <b>{review.before === review.after ? t('Nothing would change') : t('This is what would change')}</b>
            <div className="grow" />
            <Button onClick={() => setReview(null)}>{t('Back to editing')}</Button>
            <Button kind="primary" busy={save.busy} disabled={review.before === review.after} onClick={() => void save.run()}>
              {t('Save')}
            </Button>
          </>
        ) : (
          <>
            <span className="small">{dirty ? (base !== now ? t('Edited; the object has changed since') : t('Edited')) : t('Edit, then see what would change')}</span>
            <div className="grow" />
            {dirty && (
              <Button onClick={() => (setBase(now), setText(now), check.clear(), save.clear())}>{t('Discard changes')}</Button>
            )}
            <Button kind="primary" disabled={!dirty || !r.verbs.includes('update')} busy={check.busy} onClick={() => void check.run()} title="Ctrl S">
              {t('Review changes')}
            </Button>
          </>
        )}
      </div>
      {error !== undefined && <Problem error={error} />}
      {conflict && (
        <p>
          <Button busy={rebase.busy} onClick={() => void rebase.run()}>
            {t('Keep my text, on top of the newest version')}
          </Button>
        </p>
      )}
      {review?.warnings.map((w) => (
        <div className="strip warn" key={w}>
          {w}
        </div>
      ))}
      {review ? <Diff before={review.before} after={review.after} /> : <Editor value={text} onChange={setText} label="YAML" onSave={() => dirty && void check.run()} />}
    </div>
  );
}
