// Objects from YAML: one document or many, tried first.
import { useCallback, useState } from 'react';
import { parseAllDocuments } from 'yaml';
import { ApiError, call } from '../api';
import { Editor } from '../editor';
import { t } from '../i18n';
import { discover, findKind } from '../kinds';
import { collection, objectHref } from '../router';
import { useSession } from '../session';
import type { KObject } from '../types';
import { Button, Problem, Status, useAction } from '../ui';

const SAMPLES: Record<string, string> = {
  Deployment: `apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 2
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
      - name: web
        image: nginx:1.29
        ports:
        - containerPort: 80
`,
  Service: `apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  selector: {app: web}
  ports:
  - port: 80
`,
  ConfigMap: `apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
data:
  key: value
`,
  CronJob: `apiVersion: batch/v1
kind: CronJob
metadata:
  name: nightly
spec:
  schedule: "0 3 * * *"
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: OnFailure
          containers:
          - name: main
            image: busybox
            command: [date]
`,
};

interface Result {
  title: string;
  href?: string;
  error?: unknown;
  warnings: string[];
  dry: boolean;
}

function documents(text: string): KObject[] {
  const out: KObject[] = [];
  for (const d of parseAllDocuments(text)) {
    if (d.errors[0]) throw new Error(d.errors[0].message);
    const o = d.toJS() as KObject | null;
    if (!o) continue;
    if (o.kind === 'List' && Array.isArray(o.items)) out.push(...(o.items as KObject[]));
    else out.push(o);
  }
  if (out.length === 0) throw new Error(t('There is no document'));
  return out;
}

export default function Create() {
  const { namespace } = useSession();
  const [text, setText] = useState('');
  const [results, setResults] = useState<Result[]>([]);
  const run = useCallback(
    async (dry: boolean) => {
      const all = documents(text);
      const out: Result[] = [];
      setResults([]);
      for (const o of all) {
        const name = o.metadata?.name ?? `${(o.metadata as any)?.generateName ?? ''}…`;
        const one: Result = { title: `${o.kind} ${name}`, warnings: [], dry };
        out.push(one);
        try {
          let r = findKind(o.apiVersion ?? '', o.kind ?? '');
          if (!r) {
            // A definition made a moment ago.
            await discover();
            r = findKind(o.apiVersion ?? '', o.kind ?? '');
          }
          if (!r) throw new Error(t('This cluster has no {0}', `${o.kind} (${o.apiVersion})`));
          const version = (o.apiVersion ?? '').split('/').pop() ?? r.version;
          const ns = r.namespaced ? o.metadata.namespace || namespace || 'default' : '';
          const a = await call('POST', `${collection({ ...r, version }, ns)}?fieldValidation=Strict${dry ? '&dryRun=All' : ''}`, { body: o });
          one.warnings = a.warnings;
          one.href = objectHref(r, ns, a.data.metadata.name);
          if (o.kind === 'CustomResourceDefinition' && !dry) setTimeout(() => void discover(), 1_000);
        } catch (e) {
          one.error = e;
          // Documents that follow may need this one.
          if (!dry && !(e instanceof ApiError && e.code === 409)) {
            setResults([...out]);
            break;
          }
        }
        setResults([...out]);
      }
    },
    [text, namespace],
  );
  const act = useAction(run);
  return (
    <div className="yaml">
      <div className="page-head">
        <h1>{t('Create from YAML')}</h1>
        <span className="small">{t('Into the namespace {0} unless the document says otherwise', namespace || 'default')}</span>
      </div>
      <div className="toolbar">
        <select value="" onChange={(e) => setText((text ? `${text.trimEnd()}\n---\n` : '') + (SAMPLES[e.target.value] ?? ''))} aria-label={t('Insert a sample')}>
          <option value="">{t('Insert a sample')}</option>
          {Object.keys(SAMPLES).map((k) => (
            <option key={k}>{k}</option>
          ))}
        </select>
        <label className="btn plain">
          {t('Open a file')}
          <input
            type="file"
            hidden
            accept=".yaml,.yml,.json"
            onChange={(e) => {
              const f = e.target.files?.[0];
              if (f && f.size < 3 << 20) void f.text().then(setText);
              e.target.value = '';
            }}
          />
        </label>
        <div className="grow" />
        <Button disabled={!text.trim()} busy={act.busy} onClick={() => void act.run(true)}>
          {t('Try without creating')}
        </Button>
        <Button kind="primary" disabled={!text.trim()} busy={act.busy} onClick={() => void act.run(false)}>
          {t('Create')}
        </Button>
      </div>
      {act.error !== undefined && <Problem error={act.error} />}
      {results.map((x, i) => (
        <div key={i} className="result">
          {x.error ? (
            <>
              <Status text={x.title} as="bad" />
              <Problem error={x.error} />
            </>
          ) : (
            <>
              <Status text={x.dry ? t('would be created') : t('created')} as={x.dry ? 'idle' : 'good'} /> {x.href && !x.dry ? <a href={x.href}>{x.title}</a> : x.title}
              {x.warnings.map((w) => (
                <div className="strip warn" key={w}>
                  {w}
                </div>
              ))}
            </>
          )}
        </div>
      ))}
      <Editor value={text} onChange={setText} label="YAML" onSave={() => void act.run(true)} />
    </div>
  );
}
