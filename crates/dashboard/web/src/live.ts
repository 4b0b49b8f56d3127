// Lists that stay true: a list, then a watch from where it ended, begun anew whenever it breaks.
import { useEffect, useReducer } from 'react';
import { type ApiError, call, get, lines, stream } from './api';
import type { Column, KObject, Meta, Row } from './types';

const TABLE = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json';
const PAGE = 500;
/** More than this is not held: the page says so and asks for a narrower view. */
const MOST = 10_000;
/** How long a list that nobody looks at is kept up, so that going back is instant. */
const LINGER = 20_000;

export type State = 'loading' | 'live' | 'broken' | 'failed';

export class Live<T extends { metadata: Meta } | Row> {
  items = new Map<string, T>();
  columns: Column[] = [];
  state: State = 'loading';
  error?: ApiError;
  truncated = false;
  version = 0;
  /** When an item last changed, by uid: for a moment it is shown. */
  touched = new Map<string, number>();
  private listeners = new Set<() => void>();
  private users = 0;
  private close?: () => void;
  private timer?: ReturnType<typeof setTimeout>;
  private linger?: ReturnType<typeof setTimeout>;
  private frame = 0;
  private tries = 0;
  private on = false;
  private sorted?: T[];

  constructor(
    readonly key: string,
    private path: string,
    private query: string,
    private table: boolean,
    /** Keeps of an object what is looked at: lists of everything are long. */
    private slim?: (o: any) => any,
  ) {}

  list(): T[] {
    this.sorted ??= [...this.items.values()];
    return this.sorted;
  }
  subscribe(l: () => void) {
    this.listeners.add(l);
    this.users++;
    clearTimeout(this.linger);
    if (!this.on) {
      this.on = true;
      void this.start();
    }
    return () => {
      this.listeners.delete(l);
      if (--this.users === 0) this.linger = setTimeout(() => this.stop(), LINGER);
    };
  }
  retry() {
    clearTimeout(this.timer);
    this.close?.();
    this.tries = 0;
    if (this.state === 'failed') this.state = 'loading';
    this.changed();
    void this.start();
  }
  stop() {
    this.on = false;
    clearTimeout(this.timer);
    this.close?.();
    this.close = undefined;
    lists.delete(this.key);
  }
  private changed() {
    this.sorted = undefined;
    if (this.frame) return;
    // Many changes, one drawing; a hidden tab gets no frames, so a timer stands in.
    const run = () => {
      this.frame = 0;
      this.version++;
      for (const l of this.listeners) l();
    };
    this.frame = document.hidden ? (setTimeout(run, 500) as unknown as number) : requestAnimationFrame(run);
  }
  private meta(i: T): Meta {
    return 'cells' in i ? i.object.metadata : i.metadata;
  }
  private url(more: Record<string, string>) {
    const q = new URLSearchParams(this.query);
    for (const [k, v] of Object.entries(more)) q.set(k, v);
    return `${this.path}?${q}`;
  }

  private async start() {
    try {
      const seen = new Map<string, T>();
      let token = '';
      let rv = '';
      this.truncated = false;
      do {
        const page: any = await get(this.url({ limit: String(PAGE), ...(token ? { continue: token } : {}) }), {
          accept: this.table ? TABLE : undefined,
        });
        if (!this.on) return;
        if (page.columnDefinitions?.length) this.columns = page.columnDefinitions;
        for (const i of (this.table ? page.rows : page.items) ?? []) seen.set(this.meta(i).uid, this.slim ? this.slim(i) : i);
        token = page.metadata.continue ?? '';
        rv = page.metadata.resourceVersion ?? '';
        if (seen.size >= MOST && token) {
          this.truncated = true;
          token = '';
        }
      } while (token);
      this.items = seen;
      this.state = 'live';
      this.error = undefined;
      this.tries = 0;
      this.changed();
      this.watch(rv);
    } catch (e) {
      if (this.on) this.again(e as ApiError);
    }
  }
  private watch(rv: string) {
    let last = rv;
    const began = Date.now();
    this.close = stream(this.url({ watch: 'true', allowWatchBookmarks: 'true', resourceVersion: rv, timeoutSeconds: '1800' }), {
      text: lines((e) => {
        const o = e.object;
        if (e.type === 'ERROR') {
          last = '';
          return;
        }
        const version = o?.metadata?.resourceVersion;
        if (e.type === 'BOOKMARK') {
          last = version ?? o?.rows?.[0]?.object?.metadata?.resourceVersion ?? last;
          return;
        }
        for (const i of (this.table ? (o.rows ?? []) : [o]) as T[]) {
          const m = this.meta(i);
          if (e.type === 'DELETED') this.items.delete(m.uid);
          else {
            this.items.set(m.uid, this.slim ? this.slim(i) : i);
            this.touched.set(m.uid, Date.now());
            if (this.touched.size > 2000) this.touched.clear();
          }
          if (m.resourceVersion) last = m.resourceVersion;
        }
        this.changed();
      }),
      end: (error) => {
        if (!this.on) return;
        // The usual end is the server's time limit: go on from the last revision seen.
        if (!error && last && Date.now() - began > 5_000) this.watch(last);
        else if (error?.code === 410 || (!error && !last)) void this.start();
        else this.again(error);
      },
    }, this.table);
  }
  private again(e?: ApiError) {
    this.error = e;
    const hopeless = e && [400, 401, 403, 404, 405, 406].includes(e.code);
    this.state = hopeless && this.items.size === 0 ? 'failed' : hopeless ? 'failed' : this.state === 'loading' && e ? 'failed' : 'broken';
    this.changed();
    const wait = hopeless ? 30_000 : Math.min(15_000, 500 * 2 ** this.tries++);
    this.timer = setTimeout(() => this.on && void this.start(), wait);
  }
}

const lists = new Map<string, Live<any>>();

export function forgetLists() {
  for (const l of [...lists.values()]) l.stop();
}

function useLive<T extends { metadata: Meta } | Row>(path: string | null, query: string, table: boolean, slim?: (o: any) => any): Live<T> | null {
  const [, redraw] = useReducer((n: number) => n + 1, 0);
  const key = path === null ? '' : `${table ? 'T' : slim ? `S${slim.name}` : 'O'} ${path}?${query}`;
  let live: Live<T> | null = null;
  if (path !== null) {
    live = (lists.get(key) as Live<T>) ?? new Live<T>(key, path, query, table, slim);
    lists.set(key, live);
  }
  useEffect(() => {
    if (live) {
      const off = live.subscribe(redraw);
      redraw();
      return off;
    }
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [key]);
  return live;
}
export const useTable = (path: string | null, query = '') => useLive<Row>(path, query, true);
export const useObjects = (path: string | null, query = '', slim?: (o: any) => any) => useLive<KObject>(path, query, false, slim);

/** Whether the user may; asked once a minute for the same thing at most. */
const answers = new Map<string, { at: number; answer: Promise<boolean> }>();
export function may(verb: string, group: string, resource: string, namespace = '', name = ''): Promise<boolean> {
  const [plural, subresource = ''] = resource.split('/');
  const key = [verb, group, resource, namespace, name].join(' ');
  const old = answers.get(key);
  if (old && Date.now() - old.at < 60_000) return old.answer;
  const body = {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SelfSubjectAccessReview',
    spec: { resourceAttributes: { verb, group, resource: plural, subresource, namespace, name } },
  };
  const answer = call('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', { body }).then(
    (r) => !!r.data.status?.allowed,
    // No answer is no reason to hide a button: the API server judges anyway.
    () => true,
  );
  answers.set(key, { at: Date.now(), answer });
  return answer;
}
export const forgetRights = () => answers.clear();
