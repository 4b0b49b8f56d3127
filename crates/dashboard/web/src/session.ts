// Who is logged in, and the namespace that is looked at.
import { useSyncExternalStore } from 'react';
import { call, closeSession, get, hasSession, openSession, whenElsewhere, whenExpired } from './api';
import { discover, forgetDiscovery } from './kinds';
import { forgetLists, forgetRights } from './live';

export interface Session {
  phase: 'out' | 'starting' | 'in' | 'failed';
  user: string;
  groups: string[];
  version: string;
  namespace: string;
  /** Why the login page is shown again, or why the start failed. */
  error?: unknown;
  expired?: boolean;
}
let s: Session = {
  phase: hasSession() ? 'starting' : 'out',
  user: '',
  groups: [],
  version: '',
  namespace: sessionStorage.getItem('keelson.namespace') ?? '',
};
const listeners = new Set<() => void>();
function set(p: Partial<Session>) {
  s = { ...s, ...p };
  for (const l of listeners) l();
}
export function useSession(): Session {
  return useSyncExternalStore(
    (l) => {
      listeners.add(l);
      return () => listeners.delete(l);
    },
    () => s,
  );
}
export const namespace = () => s.namespace;
export function setNamespace(n: string) {
  sessionStorage.setItem('keelson.namespace', n);
  set({ namespace: n });
}

async function whoami() {
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' };
  const r = await call('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', { body });
  return r.data.status?.userInfo ?? {};
}

/** Brings a token, once: the dashboard keeps it in the session's cookies when the API server knows whose it is. */
export async function login(token: string) {
  await openSession(token);
  await start();
}
export async function start() {
  set({ phase: 'starting', error: undefined, expired: false });
  try {
    const [user, version] = await Promise.all([whoami(), get<any>('/version'), discover()]);
    // A service account often sees its own namespace only.
    const own = /^system:serviceaccount:([^:]+):/.exec(user.username ?? '')?.[1];
    let namespace = s.namespace;
    if (!namespace && own && !(await mayListAll())) namespace = own;
    set({ phase: 'in', user: user.username ?? '', groups: user.groups ?? [], version: version.gitVersion ?? '', namespace });
  } catch (e) {
    if (s.phase === 'starting') set({ phase: 'failed', error: e });
  }
}
async function mayListAll() {
  const body = {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SelfSubjectAccessReview',
    spec: { resourceAttributes: { verb: 'list', resource: 'pods' } },
  };
  const r = await call('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', { body });
  return !!r.data.status?.allowed;
}
function forget(p: Partial<Session>) {
  sessionStorage.removeItem('keelson.namespace');
  forgetLists();
  forgetRights();
  forgetDiscovery();
  set({ phase: 'out', user: '', groups: [], namespace: '', expired: false, error: undefined, ...p });
}
export function logout(expired = false) {
  void closeSession();
  forget({ expired });
}
// A browser that was closed has lost the cookies but kept the key: that is no end of a session worth telling of.
whenExpired(() => s.phase !== 'out' && logout(s.phase === 'in'));
whenElsewhere(() => {
  forget({});
  if (hasSession()) void start();
});
