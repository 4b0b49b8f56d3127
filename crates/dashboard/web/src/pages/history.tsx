// Revisions of a workload, and the way back to one.
import { useCallback, useState } from 'react';
import { call } from '../api';
import { selectorText } from '../format';
import { t } from '../i18n';
import { useObjects } from '../live';
import { objectPath } from '../router';
import type { KObject, Resource } from '../types';
import { Age, Button, Dialog, Empty, note, Problem, Skeleton, useAction } from '../ui';

const REVISION = 'deployment.kubernetes.io/revision';
interface Revision {
  n: number;
  made: KObject;
  template: any;
  cause?: string;
  current: boolean;
}

const imagesOf = (template: any): string[] => (template?.spec?.containers ?? []).map((c: any) => `${c.name}: ${c.image}`);

function revisions(o: KObject, all: KObject[]): Revision[] {
  const mine = all.filter((x) => x.metadata.ownerReferences?.some((y) => y.uid === o.metadata.uid));
  const out = mine.map((x): Revision => {
    const deployment = o.kind === 'Deployment';
    return {
      n: Number(deployment ? (x.metadata.annotations?.[REVISION] ?? 0) : (x.revision ?? 0)),
      made: x,
      template: deployment ? x.spec?.template : x.data?.spec?.template,
      cause: x.metadata.annotations?.['kubernetes.io/change-cause'],
      current: deployment ? x.metadata.annotations?.[REVISION] === o.metadata.annotations?.[REVISION] : o.kind === 'StatefulSet' ? x.metadata.name === o.status?.updateRevision : false,
    };
  });
  out.sort((a, b) => b.n - a.n);
  if (o.kind === 'DaemonSet' && out[0]) out[0].current = true;
  return out;
}

export default function History({ r, o }: { r: Resource; o: KObject }) {
  const ns = o.metadata.namespace;
  const kind = o.kind === 'Deployment' ? 'replicasets' : 'controllerrevisions';
  const live = useObjects(`/apis/apps/v1/namespaces/${ns}/${kind}`, `labelSelector=${encodeURIComponent(selectorText(o.spec?.selector))}`);
  const [back, setBack] = useState<Revision | null>(null);
  if (!live || live.state === 'loading') return <Skeleton rows={4} />;
  if (live.state === 'failed') return <Problem error={live.error} retry={() => live.retry()} />;
  const all = revisions(o, live.list());
  if (all.length === 0) return <Empty title={t('No revisions are kept')} />;
  return (
    <div className="table-box inner">
      <table>
        <thead>
          <tr>
            <th className="num">{t('Revision')}</th>
            <th>{t('Made')}</th>
            <th>{t('Images')}</th>
            <th>{t('Why')}</th>
            <th />
          </tr>
        </thead>
        <tbody>
          {all.map((x) => (
            <tr key={x.made.metadata.uid}>
              <td className="num">
                <b>{x.n}</b>
              </td>
              <td>
                <Age at={x.made.metadata.creationTimestamp} />
              </td>
              <td className="wrap mono">{imagesOf(x.template).join('  ')}</td>
              <td className="wrap">{x.cause ?? <span className="faint">–</span>}</td>
              <td className="right">
                {x.current ? (
                  <span className="chip">{t('current')}</span>
                ) : (
                  <Button small onClick={() => setBack(x)}>
                    {t('Roll back to this')}
                  </Button>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {back && <BackDialog r={r} o={o} to={back} onClose={() => setBack(null)} />}
    </div>
  );
}

function BackDialog({ r, o, to, onClose }: { r: Resource; o: KObject; to: Revision; onClose: () => void }) {
  const act = useAction(
    useCallback(async () => {
      const path = objectPath(r, o.metadata.namespace, o.metadata.name);
      if (o.kind === 'Deployment') {
        // As kubectl rollout undo: the template whole, without the hash that the controller put in.
        const template = structuredClone(to.template);
        delete template.metadata?.labels?.['pod-template-hash'];
        const body: unknown[] = [{ op: 'replace', path: '/spec/template', value: template }];
        if (to.cause && o.metadata.annotations) body.push({ op: 'add', path: '/metadata/annotations/kubernetes.io~1change-cause', value: to.cause });
        await call('PATCH', path, { body, type: 'application/json-patch+json' });
      } else {
        await call('PATCH', path, { body: to.made.data, type: 'application/strategic-merge-patch+json' });
      }
      note(t('{0} goes back to revision {1}', o.metadata.name, to.n));
      onClose();
    }, [r, o, to, onClose]),
  );
  const [was, will] = [imagesOf(o.spec?.template), imagesOf(to.template)];
  return (
    <Dialog
      title={t('Roll back {0} to revision {1}?', o.metadata.name, to.n)}
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>{t('Cancel')}</Button>
          <Button kind="primary" busy={act.busy} disabled={!!o.spec?.paused} onClick={() => void act.run()} autoFocus>
            {t('Roll back')}
          </Button>
        </>
      }
    >
      {o.spec?.paused && <div className="strip warn">{t('The rollout is paused: resume it first.')}</div>}
      <dl className="facts">
        <div>
          <dt>{t('Now')}</dt>
          <dd className="mono">{was.join('  ')}</dd>
        </div>
        <div>
          <dt>{t('Then')}</dt>
          <dd className="mono">{will.join('  ')}</dd>
        </div>
      </dl>
      {act.error !== undefined && <Problem error={act.error} />}
    </Dialog>
  );
}
