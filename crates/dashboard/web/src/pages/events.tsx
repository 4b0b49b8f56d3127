// What happened to one object.
import { t } from '../i18n';
import { useObjects } from '../live';
import type { KObject } from '../types';
import { Age, Empty, Problem, Skeleton, Status } from '../ui';

export function Events({ o, brief }: { o: KObject; brief?: boolean }) {
  const ns = o.metadata.namespace ?? 'default';
  // A node's events name the node in place of its uid.
  const by = o.kind === 'Node' ? `involvedObject.kind=Node,involvedObject.name=${o.metadata.name}` : `involvedObject.uid=${o.metadata.uid}`;
  const live = useObjects(`/api/v1/namespaces/${ns}/events`, `fieldSelector=${encodeURIComponent(by)}`);
  if (!live || live.state === 'loading') return <Skeleton rows={3} />;
  if (live.state === 'failed') return <Problem error={live.error} retry={() => live.retry()} />;
  const last = (e: any) => e.lastTimestamp ?? e.series?.lastObservedTime ?? e.eventTime ?? e.metadata.creationTimestamp;
  let rows = live.list().slice().sort((a, b) => String(last(b)).localeCompare(String(last(a))));
  if (brief) rows = rows.slice(0, 6);
  if (rows.length === 0) return <Empty title={t('No events')}>{!brief && t('Events are kept for an hour.')}</Empty>;
  if (brief)
    return (
      <ul className="feed">
        {rows.map((e) => (
          <li key={e.metadata.uid}>
            <span className={`mark ${e.type === 'Warning' ? 'warn' : 'idle'}`} title={e.type} />
            <div className="grow">
              <div className="line">
                <b>{e.reason}</b>
                <span className="faint small">{e.source?.component || e.reportingComponent}</span>
                <span className="grow" />
                <span className="small">
                  {(e.series?.count ?? e.count ?? 1) > 1 && `${e.series?.count ?? e.count}× `}
                  <Age at={last(e)} />
                </span>
              </div>
              <div className="why full">{e.message}</div>
            </div>
          </li>
        ))}
      </ul>
    );
  return (
    <div className="table-box inner">
      <table className="events">
        <thead>
          <tr>
            <th>{t('Last seen')}</th>
            <th>{t('Type')}</th>
            <th>{t('Reason')}</th>
            <th className="num">{t('Count')}</th>
            <th>{t('Message')}</th>
            <th>{t('From')}</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((e) => (
            <tr key={e.metadata.uid}>
              <td>
                <Age at={last(e)} />
              </td>
              <td>
                <Status text={e.type} as={e.type === 'Warning' ? 'warn' : 'idle'} />
              </td>
              <td>{e.reason}</td>
              <td className="num">{e.series?.count ?? e.count ?? 1}</td>
              <td className="wrap">{e.message}</td>
              <td className="faint">{e.source?.component || e.reportingComponent}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
