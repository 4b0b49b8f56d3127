// Texts: English is the key, Chinese the translation. `N` marks a text that is translated elsewhere.
import { useSyncExternalStore } from 'react';
import { zh } from './zh';

export type Lang = 'en' | 'zh';
export type Theme = 'auto' | 'light' | 'dark';

interface Prefs {
  lang: Lang;
  theme: Theme;
}

function stored(): Prefs {
  let p: Partial<Prefs> = {};
  try {
    p = JSON.parse(localStorage.getItem('keelson.prefs') ?? '{}');
  } catch {
    // Storage may be off: defaults then.
  }
  return {
    lang: p.lang === 'en' || p.lang === 'zh' ? p.lang : navigator.language.startsWith('zh') ? 'zh' : 'en',
    theme: p.theme === 'light' || p.theme === 'dark' ? p.theme : 'auto',
  };
}

let prefs = stored();
const listeners = new Set<() => void>();

function show() {
  document.documentElement.lang = prefs.lang === 'zh' ? 'zh-CN' : 'en';
  document.documentElement.dataset.theme = isDark() ? 'dark' : 'light';
}

const media = window.matchMedia('(prefers-color-scheme: dark)');
export function isDark() {
  return prefs.theme === 'dark' || (prefs.theme === 'auto' && media.matches);
}
function tell() {
  show();
  for (const l of listeners) l();
}
media.addEventListener('change', () => {
  prefs = { ...prefs };
  tell();
});
show();

export function setPrefs(p: Partial<Prefs>) {
  prefs = { ...prefs, ...p };
  try {
    localStorage.setItem('keelson.prefs', JSON.stringify(prefs));
  } catch {
    // As above.
  }
  tell();
}

export function usePrefs(): Prefs {
  return useSyncExternalStore(
    (l) => {
      listeners.add(l);
      return () => listeners.delete(l);
    },
    () => prefs,
  );
}

export function t(text: string, ...args: (string | number)[]): string {
  const s = prefs.lang === 'zh' ? (zh[text] ?? text) : text;
  return args.length ? s.replace(/\{(\d)\}/g, (_, i) => String(args[Number(i)] ?? '')) : s;
}
/** For texts that come from outside (column names): translated when known. */
export function tOut(text: string): string {
  return prefs.lang === 'zh' ? (zh[text] ?? text) : text;
}
export const N = (s: string) => s;
export const lang = () => prefs.lang;
