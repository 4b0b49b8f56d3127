// Deleting: asked first, told after.
import { useCallback, useState } from 'react';
import { call } from '../api';
import { t } from '../i18n';
import { objectPath } from '../router';
import type { Meta, Resource } from '../types';
import { Button, Dialog, note, Problem, useAction } from '../ui';

export function DeleteDialog(p: { r: Resource; objects: Meta[]; onClose: () => void; onDone?: () => void }) {
  const [policy, setPolicy] = useState('Background');
  const [now, setNow] = useState(false);
  const [done, setDone] = useState(0);
  const act = useAction(
    useCallback(async () => {
      for (const [i, m] of p.objects.entries()) {
        setDone(i);
        await call('DELETE', objectPath(p.r, m.namespace, m.name), {
          body: {
            apiVersion: 'v1',
            kind: 'DeleteOptions',
            propagationPolicy: policy,
            preconditions: { uid: m.uid },
            ...(now ? { gracePeriodSeconds: 0 } : {}),
          },
        });
      }
      note(p.objects.length === 1 ? t('{0} is being deleted', p.objects[0]?.name ?? '') : t('{0} are being deleted', p.objects.length));
      p.onDone?.();
      p.onClose();
    }, [p, policy, now]),
  );
  const owns = !['pods', 'configmaps', 'secrets', 'events', 'services'].includes(p.r.plural);
  return (
    <Dialog
      title={p.objects.length === 1 ? t('Delete {0}?', p.objects[0]?.name ?? '') : t('Delete {0} objects?', p.objects.length)}
      onClose={p.onClose}
      footer={
        <>
          <Button onClick={p.onClose} autoFocus>
            {t('Cancel')}
          </Button>
          <Button kind="danger" busy={act.busy} onClick={() => void act.run()}>
            {act.busy && p.objects.length > 1 ? `${done + 1}/${p.objects.length}` : t('Delete')}
          </Button>
        </>
      }
    >
      <ul className="names">
        {p.objects.slice(0, 12).map((m) => (
          <li key={m.uid}>
            {p.r.kind} <b>{m.name}</b>
            {m.namespace && <span className="faint"> · {m.namespace}</span>}
          </li>
        ))}
        {p.objects.length > 12 && <li>{t('and {0} more', p.objects.length - 12)}</li>}
      </ul>
      {p.r.plural === 'namespaces' && <div className="strip bad">{t('Everything in the namespace is deleted with it.')}</div>}
      {p.r.plural === 'customresourcedefinitions' && <div className="strip bad">{t('Every object of this kind is deleted with it.')}</div>}
      {owns && (
        <label className="field">
          {t('What it owns')}
          <select value={policy} onChange={(e) => setPolicy(e.target.value)}>
            <option value="Background">{t('is deleted after it')}</option>
            <option value="Foreground">{t('is deleted before it')}</option>
            <option value="Orphan">{t('stays')}</option>
          </select>
        </label>
      )}
      {p.r.plural === 'pods' && (
        <label className="check">
          <input type="checkbox" checked={now} onChange={(e) => setNow(e.target.checked)} />
          {t('At once, without time to end (processes may go on if the node is gone)')}
        </label>
      )}
      {act.error !== undefined && <Problem error={act.error} />}
    </Dialog>
  );
}
