// The frame: menu, bar on top, and the page for the place.
import { lazy, Suspense, useEffect, useMemo, useState } from 'react';
import { isDark, setPrefs, t, type Theme, tOut, usePrefs } from './i18n';
import { customSection, find, MENU, type Section, useResources } from './kinds';
import { forgetLists, useTable } from './live';
import { ListPage } from './pages/list';
import { Login } from './pages/login';
import { ObjectPage } from './pages/object';
import { Overview } from './pages/overview';
import { Palette } from './pages/search';
import { go, listHref, usePlace } from './router';
import { logout, setNamespace, start, useSession } from './session';
import { Button, Dialog, Empty, Icon, Menu, Notes, Problem, Skeleton } from './ui';

const CreatePage = lazy(() => import('./pages/create'));

export function App() {
  const s = useSession();
  const prefs = usePrefs();
  useEffect(() => {
    if (s.phase === 'starting') void start();
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, []);
  // A change of language draws everything anew.
  if (s.phase === 'out')
    return (
      <div key={prefs.lang}>
        <Login />
        <Notes />
      </div>
    );
  if (s.phase === 'starting')
    return (
      <div className="center">
        <div className="hero">
          <Skeleton rows={5} />
        </div>
      </div>
    );
  if (s.phase === 'failed')
    return (
      <div className="center">
        <div className="hero">
          <Problem error={s.error} retry={() => void start()} />
          <p>
            <Button onClick={() => logout()}>{t('Log out')}</Button>
          </p>
        </div>
      </div>
    );
  return <Frame key={prefs.lang} />;
}

function Frame() {
  const place = usePlace();
  const all = useResources();
  const sections = useMemo(() => [...MENU, customSection(all)], [all]);
  const [nav, setNav] = useState(false);
  const [palette, setPalette] = useState(false);
  const [help, setHelp] = useState(false);
  useEffect(() => setNav(false), [place]);
  useEffect(() => {
    const key = (e: KeyboardEvent) => {
      const typing = (e.target as HTMLElement).closest?.('input,textarea,select,[contenteditable=true],.xterm');
      if ((e.ctrlKey || e.metaKey) && e.key.toLowerCase() === 'k') {
        e.preventDefault();
        setPalette(true);
      } else if (!typing && !e.ctrlKey && !e.metaKey && !e.altKey && !document.querySelector('dialog[open]')) {
        if (e.key === 'g') {
          e.preventDefault();
          setPalette(true);
        } else if (e.key === '?') setHelp(true);
        else if (e.key === 'c') go('#/create');
        else if (e.key === 'o') go('#/');
        else if (e.key === 'n') document.querySelector<HTMLElement>('#namespace')?.focus();
        else return;
      } else return;
      e.stopPropagation();
    };
    document.addEventListener('keydown', key);
    return () => document.removeEventListener('keydown', key);
  }, []);
  return (
    <div className="frame">
      <a className="skip" href="#main" onClick={(e) => (e.preventDefault(), document.getElementById('main')?.focus())}>
        {t('To the content')}
      </a>
      <Side sections={sections} open={nav} close={() => setNav(false)} />
      <div className="page">
        <Top onMenu={() => setNav(!nav)} onSearch={() => setPalette(true)} />
        <main id="main" tabIndex={-1}>
          <Suspense fallback={<Skeleton />}>
            <Page />
          </Suspense>
        </main>
      </div>
      {palette && <Palette sections={sections} onClose={() => setPalette(false)} />}
      {help && <Help onClose={() => setHelp(false)} />}
      <Notes />
    </div>
  );
}

function Page() {
  const { parts, query } = usePlace();
  useEffect(() => {
    const name = parts[0] === 'object' ? parts[5] : parts[0] === 'list' ? parts[3] : '';
    document.title = name ? `${name} · keelson` : 'keelson';
  }, [parts]);
  const group = parts[1] === 'core' ? '' : (parts[1] ?? '');
  if (parts.length === 0) return <Overview />;
  if (parts[0] === 'create') return <CreatePage />;
  if ((parts[0] === 'list' && parts.length === 4) || (parts[0] === 'object' && parts.length >= 6)) {
    const r = find(group, parts[3] ?? '');
    if (!r)
      return (
        <Empty title={t('This cluster has no {0}', `${parts[3]}${group ? `.${group}` : ''}`)}>
          {t('The definition may have been removed, or the API version is not served.')}
        </Empty>
      );
    if (parts[0] === 'list') return <ListPage key={`${r.group}/${r.plural}`} r={r} query={query} />;
    const [, , , , ns, name, tab = ''] = parts;
    return <ObjectPage key={`${r.group}/${r.plural}/${ns}/${name}`} r={r} namespace={ns === '_' ? '' : (ns ?? '')} name={name ?? ''} tab={tab} />;
  }
  return (
    <Empty title={t('There is no such page')}>
      <a href="#/">{t('Overview')}</a>
    </Empty>
  );
}

function Side({ sections, open, close }: { sections: Section[]; open: boolean; close: () => void }) {
  const { parts } = usePlace();
  const all = useResources();
  const here = parts[0] === 'list' || parts[0] === 'object' ? `${parts[1]}/${parts[3]}` : '';
  return (
    <>
      <nav className={open ? 'side open' : 'side'} aria-label={t('Main menu')}>
        <a className="brand" href="#/">
          <img src="./icon.svg" alt="" width="22" height="22" />
          keelson
        </a>
        <div className="side-scroll">
          <a href="#/" className={parts.length === 0 ? 'item top here' : 'item top'}>
            <Icon name="overview" />
            {t('Overview')}
          </a>
          {sections.map((s) => (
            <div className="side-section" key={s.title}>
              <h2>
                <Icon name={s.icon} size={14} />
                {tOut(s.title)}
              </h2>
              {s.entries.map((x) => {
                const r = all.find((r) => r.group === x.group && r.plural === x.plural);
                if (!r) return null;
                const key = `${x.group || 'core'}/${x.plural}`;
                return (
                  <a key={key} href={listHref(r)} className={here === key ? 'item here' : 'item'} aria-current={here === key ? 'page' : undefined} title={`${x.plural}${x.group ? `.${x.group}` : ''}`}>
                    {tOut(x.title)}
                  </a>
                );
              })}
            </div>
          ))}
        </div>
      </nav>
      {open && <button type="button" className="veil" aria-label={t('Close')} onClick={close} />}
    </>
  );
}

function Namespaces() {
  const s = useSession();
  const live = useTable('/api/v1/namespaces');
  const names = useMemo(
    () => (live?.list() ?? []).map((r) => r.object.metadata.name).sort(),
    // eslint-disable-next-line react-hooks/exhaustive-deps
    [live, live?.version],
  );
  if (live?.state === 'failed')
    return (
      <form
        className="ns"
        onSubmit={(e) => {
          e.preventDefault();
          setNamespace(String(new FormData(e.currentTarget).get('ns') ?? '').trim());
        }}
      >
        <input id="namespace" name="ns" defaultValue={s.namespace} placeholder={t('Namespace')} aria-label={t('Namespace')} title={t('You may not list namespaces: type the name of yours')} />
      </form>
    );
  return (
    <label className="ns">
      <span>{t('Namespace')}</span>
      <select id="namespace" value={s.namespace} onChange={(e) => setNamespace(e.target.value)}>
        <option value="">{t('All namespaces')}</option>
        {s.namespace && !names.includes(s.namespace) && <option>{s.namespace}</option>}
        {names.map((n) => (
          <option key={n}>{n}</option>
        ))}
      </select>
    </label>
  );
}

const NEXT: Record<Theme, Theme> = { auto: 'light', light: 'dark', dark: 'auto' };

export function Preferences() {
  const prefs = usePrefs();
  const themes: Record<Theme, string> = { auto: t('Theme: as the system'), light: t('Theme: light'), dark: t('Theme: dark') };
  return (
    <>
      <button type="button" className="btn ghost" title={themes[prefs.theme]} aria-label={themes[prefs.theme]} onClick={() => setPrefs({ theme: NEXT[prefs.theme] })}>
        <Icon name={prefs.theme === 'auto' ? 'auto' : isDark() ? 'moon' : 'sun'} />
      </button>
      <button type="button" className="btn ghost lang" lang={prefs.lang === 'en' ? 'zh-CN' : 'en'} onClick={() => setPrefs({ lang: prefs.lang === 'en' ? 'zh' : 'en' })}>
        {prefs.lang === 'en' ? '中文' : 'EN'}
      </button>
    </>
  );
}

function Top({ onMenu, onSearch }: { onMenu: () => void; onSearch: () => void }) {
  const s = useSession();
  return (
    <header className="topbar">
      <button type="button" className="btn ghost burger" onClick={onMenu} aria-label={t('Main menu')}>
        <Icon name="menu" />
      </button>
      <Namespaces />
      <button type="button" className="search" onClick={onSearch}>
        <Icon name="search" size={14} />
        <span>{t('Search or go to…')}</span>
        <kbd>Ctrl K</kbd>
      </button>
      <div className="grow" />
      <a className="btn plain" href="#/create" title={t('Create from YAML')}>
        <Icon name="plus" size={14} />
        <span className="wide-only">{t('Create')}</span>
      </a>
      <Preferences />
      <Menu
        label={<span className="user">{s.user.replace(/^system:serviceaccount:/, '')}</span>}
        items={[
          { text: t('Load everything anew'), run: () => (forgetLists(), location.reload()) },
          { text: t('Log out'), run: () => logout() },
        ]}
      />
    </header>
  );
}

function Help({ onClose }: { onClose: () => void }) {
  const keys: [string, string][] = [
    ['Ctrl K · g', t('Search, or go to any page or object')],
    ['/', t('Filter the list')],
    ['j · k', t('Next and previous row')],
    ['Enter', t('Open the row')],
    ['n', t('Choose the namespace')],
    ['c', t('Create from YAML')],
    ['o', t('Overview')],
    ['[ · ]', t('Previous and next tab')],
    ['?', t('This help')],
  ];
  return (
    <Dialog title={t('Keyboard')} onClose={onClose}>
      <dl className="keys">
        {keys.map(([k, what]) => (
          <div key={k}>
            <dt>
              <kbd>{k}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
