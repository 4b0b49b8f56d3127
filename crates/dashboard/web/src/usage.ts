// What is used now, where the cluster serves metrics; elsewhere nothing is shown of it.
import { useEffect, useState } from 'react';
import { get } from './api';
import { quantity } from './format';
import { find } from './kinds';
import { collection } from './router';

export interface Usage {
  cpu: number;
  memory: number;
}
/** By name for nodes, by namespace/name for pods; null where there are no metrics, or none may be seen. */
export type Usages = Map<string, Usage> | null;

const PACE = 15_000;

export function useUsage(plural: 'nodes' | 'pods', namespace = '', name = ''): Usages {
  const r = find('metrics.k8s.io', plural);
  const path = r ? `${collection(r, namespace)}${name ? `?fieldSelector=${encodeURIComponent(`metadata.name=${name}`)}` : ''}` : '';
  const [all, setAll] = useState<Usages>(null);
  useEffect(() => {
    setAll(null);
    if (!path) return;
    let on = true;
    const ask = () => {
      if (document.hidden) return;
      get<any>(path).then(
        (l) => {
          if (!on) return;
          const out = new Map<string, Usage>();
          for (const i of l.items ?? []) {
            const sum = { cpu: 0, memory: 0 };
            for (const u of i.containers ? i.containers.map((c: any) => c.usage) : [i.usage])
              for (const f of ['cpu', 'memory'] as const) sum[f] += quantity(u?.[f]);
            out.set(i.metadata.namespace ? `${i.metadata.namespace}/${i.metadata.name}` : i.metadata.name, sum);
          }
          setAll(out);
        },
        () => on && setAll(null),
      );
    };
    ask();
    const t = setInterval(ask, PACE);
    return () => {
      on = false;
      clearInterval(t);
    };
  }, [path]);
  return all;
}
