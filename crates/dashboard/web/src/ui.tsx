// The small parts everything is made of.
import { type CSSProperties, type ReactNode, useCallback, useEffect, useId, useReducer, useRef, useState, useSyncExternalStore } from 'react';
import { ApiError } from './api';
import { age, type Tone, tone, when } from './format';
import { t } from './i18n';

const ICONS: Record<string, string> = {
  overview: 'M3 3h6v8H3zM11 3h6v4h-6zM11 9h6v8h-6zM3 13h6v4H3z',
  cluster: 'M3 4h14v5H3zM3 11h14v5H3zM6 6.500h.01M6 13.500h.01',
  workloads: 'M10 2l7 4v8l-7 4-7-4V6zM3 6l7 4 7-4M10 10v8',
  network: 'M10 3v4M4 17v-4h12v4M10 7v6M8 3h4M2 17h4M14 17h4M8 7h4',
  config: 'M4 5h12M4 10h12M4 15h12M7 3v4M13 8v4M9 13v4',
  storage: 'M3 5c0-1.100 3.100-2 7-2s7 .9 7 2v10c0 1.100-3.100 2-7 2s-7-.9-7-2zM3 5c0 1.100 3.100 2 7 2s7-.9 7-2M3 10c0 1.100 3.100 2 7 2s7-.9 7-2',
  access: 'M7 9a4 4 0 1 1 3.500 3.900L9 14.500H7.500V16H6v1.500H3V15z',
  custom: 'M8 3h4v3a1.500 1.500 0 0 0 3 0h2v5h-2.500a1.500 1.500 0 0 0 0 3H17v3H3v-4h2a1.500 1.500 0 0 0 0-3H3V6h5z',
  search: 'M9 15A6 6 0 1 0 9 3a6 6 0 0 0 0 12zM13.500 13.500L17 17',
  plus: 'M10 4v12M4 10h12',
  sun: 'M10 13.500a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7zM10 2v2M10 16v2M2 10h2M16 10h2M4.300 4.300l1.400 1.400M14.300 14.300l1.400 1.400M4.300 15.700l1.400-1.400M14.300 5.700l1.400-1.400',
  moon: 'M16 12.500A7 7 0 0 1 7.500 4 7 7 0 1 0 16 12.500z',
  auto: 'M10 17a7 7 0 1 0 0-14zM10 3a7 7 0 1 0 0 14',
  out: 'M12 4h4v12h-4M9 13l3-3-3-3M12 10H3',
  down: 'M5 8l5 5 5-5',
  menu: 'M3 5h14M3 10h14M3 15h14',
  close: 'M5 5l10 10M15 5L5 15',
  copy: 'M7 7h9v9H7zM4 13V4h9',
  warning: 'M10 3l8 14H2zM10 8v4M10 14.500h.01',
  lock: 'M5 9h10v8H5zM7 9V6.500a3 3 0 0 1 6 0V9',
  box: 'M3 7l7-4 7 4v7l-7 4-7-4zM3 7l7 4 7-4M10 11v7',
  check: 'M4 10l4 4 8-8',
  list: 'M4 5h12M4 10h12M4 15h12',
};
export function Icon({ name, size = 16 }: { name: string; size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 20 20" fill="none" stroke="currentColor" strokeWidth="1.500" strokeLinecap="round" strokeLinejoin="round" aria-hidden="true">
      <path d={ICONS[name] ?? ''} />
    </svg>
  );
}

export function Status({ text, as, title }: { text: string; as?: Tone; title?: string }) {
  return (
    <span className={`status ${as ?? tone(text)}`} title={title}>
      <i />
      {text}
    </span>
  );
}

/** Draws again as time passes, at a pace that fits what is shown. */
export function useTick(ms: number) {
  const [, tick] = useReducer((n: number) => n + 1, 0);
  useEffect(() => {
    const i = setInterval(() => !document.hidden && tick(), ms);
    return () => clearInterval(i);
  }, [ms]);
}
export function Age({ at }: { at?: string }) {
  useTick(at && Date.now() - Date.parse(at) < 600_000 ? 1_000 : 30_000);
  return (
    <time dateTime={at} title={when(at)} className="num">
      {age(at)}
    </time>
  );
}

export function Button(p: {
  children: ReactNode;
  onClick?: () => void;
  kind?: 'primary' | 'danger' | 'plain' | 'ghost';
  disabled?: boolean;
  /** Why it is disabled, or what it does. */
  title?: string;
  busy?: boolean;
  type?: 'button' | 'submit';
  small?: boolean;
  pressed?: boolean;
  autoFocus?: boolean;
}) {
  return (
    <button
      type={p.type ?? 'button'}
      className={`btn ${p.kind ?? 'plain'}${p.small ? ' small' : ''}`}
      onClick={p.onClick}
      disabled={p.disabled || p.busy}
      title={p.title}
      aria-pressed={p.pressed}
      autoFocus={p.autoFocus}
    >
      {p.busy && <span className="spinner" />}
      {p.children}
    </button>
  );
}

export function Empty({ title, children, good, lock }: { title: string; children?: ReactNode; good?: boolean; lock?: boolean }) {
  return (
    <div className="empty">
      <span className={good ? 'disc good' : 'disc idle'}>
        <Icon name={good ? 'check' : lock ? 'lock' : 'box'} size={20} />
      </span>
      <b>{title}</b>
      {children && <div>{children}</div>}
    </div>
  );
}

/** What the account may not see is no failure: it is said, with what would change it. */
function Forbidden({ error }: { error: ApiError }) {
  return (
    <div className="empty forbidden" role="alert">
      <span className="disc warn">
        <Icon name="lock" size={20} />
      </span>
      <b>{t('Your account may not see this')}</b>
      <div>{t('Ask an administrator for a role that allows it, or choose another namespace.')}</div>
      <code>{error.message}</code>
    </div>
  );
}

/** What went wrong, and what to do about it. */
export function Problem({ error, retry, page }: { error: unknown; retry?: () => void; page?: boolean }) {
  const e = error instanceof ApiError ? error : undefined;
  if (e?.code === 403 && page) return <Forbidden error={e} />;
  const advice =
    e?.code === 403
      ? t('Your account may not do this. Ask an administrator for a role that allows it.')
      : e?.code === 404
        ? t('It does not exist, or no longer.')
        : e?.code === 401
          ? t('Your token is no longer accepted. Log in again.')
          : e?.code === 409
            ? t('It was changed by somebody else in the meantime. Load it again and repeat the change.')
            : e?.code === 422
              ? t('The API server refuses the content: correct the fields it names.')
              : e?.code === 0 || (e && e.code >= 500)
                ? t('The API server cannot be reached or is not well. It is tried again by itself.')
                : '';
  return (
    <div className="problem" role="alert">
      <b>{error instanceof Error ? error.message : String(error)}</b>
      {advice && <div>{advice}</div>}
      {retry && (
        <Button small onClick={retry}>
          {t('Try again')}
        </Button>
      )}
    </div>
  );
}

export function Skeleton({ rows = 8 }: { rows?: number }) {
  return (
    <div className="skeleton" aria-busy="true" aria-label={t('Loading')}>
      {Array.from({ length: rows }, (_, i) => (
        <i key={i} style={{ width: `${92 - ((i * 37) % 45)}%` }} />
      ))}
    </div>
  );
}

/** A window over the page. Escape and a click beside it close it; the focus stays inside and goes back after. */
export function Dialog(p: { title: string; onClose: () => void; children: ReactNode; footer?: ReactNode; wide?: boolean }) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const d = ref.current;
    if (d && !d.open) d.showModal();
  }, []);
  return (
    <dialog
      ref={ref}
      className={p.wide ? 'dialog wide' : 'dialog'}
      aria-label={p.title}
      onCancel={(e) => {
        e.preventDefault();
        p.onClose();
      }}
      onMouseDown={(e) => e.target === ref.current && p.onClose()}
    >
      <div className="dialog-in">
        <header>
          <h2>{p.title}</h2>
          <Button kind="ghost" small onClick={p.onClose} title={t('Close')}>
            <Icon name="close" />
          </Button>
        </header>
        <div className="dialog-body">{p.children}</div>
        {p.footer && <footer>{p.footer}</footer>}
      </div>
    </dialog>
  );
}

/** A button with a list of further actions. */
export function Menu({ label, items }: { label: ReactNode; items: { text: string; run: () => void; off?: string; danger?: boolean }[] }) {
  const [open, setOpen] = useState(false);
  const ref = useRef<HTMLDivElement>(null);
  const id = useId();
  useEffect(() => {
    if (!open) return;
    const away = (e: Event) => !ref.current?.contains(e.target as Node) && setOpen(false);
    const key = (e: KeyboardEvent) => {
      if (e.key === 'Escape') setOpen(false);
      if (e.key !== 'ArrowDown' && e.key !== 'ArrowUp') return;
      e.preventDefault();
      const all = [...(ref.current?.querySelectorAll<HTMLButtonElement>('[role=menuitem]:not(:disabled)') ?? [])];
      const at = all.indexOf(document.activeElement as HTMLButtonElement);
      all[(at + (e.key === 'ArrowDown' ? 1 : -1) + all.length) % all.length]?.focus();
    };
    document.addEventListener('mousedown', away);
    document.addEventListener('keydown', key);
    return () => {
      document.removeEventListener('mousedown', away);
      document.removeEventListener('keydown', key);
    };
  }, [open]);
  return (
    <div className="menu" ref={ref}>
      <button type="button" className="btn plain" aria-haspopup="menu" aria-expanded={open} aria-controls={id} onClick={() => setOpen(!open)}>
        {label}
        <Icon name="down" size={12} />
      </button>
      {open && (
        <div role="menu" id={id} className="menu-list">
          {items.map((i) => (
            <button
              type="button"
              role="menuitem"
              key={i.text}
              className={i.danger ? 'danger' : ''}
              disabled={!!i.off}
              title={i.off}
              onClick={() => {
                setOpen(false);
                i.run();
              }}
            >
              {i.text}
            </button>
          ))}
        </div>
      )}
    </div>
  );
}

interface Note {
  id: number;
  text: string;
  tone: Tone;
}
let notes: Note[] = [];
let nextNote = 1;
const noteListeners = new Set<() => void>();
const tellNotes = () => {
  for (const l of noteListeners) l();
};
/** A word in the corner: what was done, what the server warns of. */
export function note(text: string, as: Tone = 'good') {
  const id = nextNote++;
  notes = [...notes.slice(-3), { id, text, tone: as }];
  tellNotes();
  setTimeout(() => dismiss(id), as === 'good' ? 4_000 : 10_000);
}
function dismiss(id: number) {
  notes = notes.filter((n) => n.id !== id);
  tellNotes();
}
export function Notes() {
  const all = useSyncExternalStore(
    (l) => {
      noteListeners.add(l);
      return () => noteListeners.delete(l);
    },
    () => notes,
  );
  return (
    <div className="notes" aria-live="polite">
      {all.map((n) => (
        <button type="button" key={n.id} className={`note ${n.tone}`} onClick={() => dismiss(n.id)} title={t('Close')}>
          {n.text}
        </button>
      ))}
    </div>
  );
}

export function Copy({ text }: { text: string }) {
  const [done, setDone] = useState(false);
  return (
    <button
      type="button"
      className="copy"
      title={t('Copy')}
      aria-label={t('Copy')}
      onClick={(e) => {
        e.stopPropagation();
        void copyText(text).then(() => {
          setDone(true);
          setTimeout(() => setDone(false), 1_200);
        });
      }}
    >
      <Icon name={done ? 'check' : 'copy'} size={13} />
    </button>
  );
}
async function copyText(text: string) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Not a secure context: the old way.
    const a = document.createElement('textarea');
    a.value = text;
    document.body.append(a);
    a.select();
    document.execCommand('copy');
    a.remove();
  }
}

/** Something asked of the server by a button: busy while it runs, its failure kept. */
export function useAction<A extends unknown[]>(f: (...a: A) => Promise<void>) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const run = useCallback(
    async (...a: A) => {
      setBusy(true);
      setError(undefined);
      try {
        await f(...a);
      } catch (e) {
        setError(e);
      } finally {
        setBusy(false);
      }
    },
    [f],
  );
  return { busy, error, run, clear: () => setError(undefined) };
}

/** A bar of parts of a whole, with its words beside it. */
export function Bar({ parts, style }: { parts: { n: number; tone: Tone; text: string }[]; style?: CSSProperties }) {
  const all = parts.reduce((a, p) => a + p.n, 0);
  return (
    <div className="bar" style={style} role="img" aria-label={parts.map((p) => `${p.text}: ${p.n}`).join(', ')}>
      {parts
        .filter((p) => p.n > 0)
        .map((p) => (
          <i key={p.text} className={p.tone} style={{ flexGrow: p.n / (all || 1) }} title={`${p.text}: ${p.n}`} />
        ))}
    </div>
  );
}
export function Card({ title, right, children, className = '' }: { title?: ReactNode; right?: ReactNode; children: ReactNode; className?: string }) {
  return (
    <section className={`card ${className}`}>
      {title && (
        <header>
          <h3>{title}</h3>
          {right}
        </header>
      )}
      {children}
    </section>
  );
}
