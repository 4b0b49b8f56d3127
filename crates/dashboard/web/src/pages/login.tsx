// The token is typed here, tried, and not kept in the page.
import { useEffect, useState } from 'react';
import { Preferences } from '../app';
import { ApiError, isOpen } from '../api';
import { t } from '../i18n';
import { login, useSession } from '../session';
import { Button, Copy } from '../ui';

const COMMANDS = `kubectl -n kube-system create serviceaccount dashboard-admin
kubectl create clusterrolebinding dashboard-admin --clusterrole=cluster-admin --serviceaccount=kube-system:dashboard-admin
kubectl -n kube-system create token dashboard-admin --duration=24h`;

/** A token by itself, or the one inside a pasted kubeconfig. */
function tokenIn(text: string): string {
  const inside = /^\s*token:\s*["']?([^\s"']+)["']?\s*$/m.exec(text);
  return (inside?.[1] ?? text.trim().replace(/^Bearer\s+/i, '')).replace(/\s+/g, '');
}

export function Login() {
  const s = useSession();
  const [text, setText] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const [open, setOpen] = useState(false);
  useEffect(() => {
    isOpen().then(setOpen, () => {});
  }, []);
  const submit = async (token = tokenIn(text), may = !!token) => {
    if (!may || busy) return;
    setBusy(true);
    setError(undefined);
    try {
      await login(token);
    } catch (e) {
      setError(e);
    }
    setBusy(false);
  };
  const message =
    error instanceof ApiError && error.code === 401
      ? t('The API server does not accept this token: it may have expired, or be cut off.')
      : error instanceof Error
        ? error.message
        : s.expired
          ? t('Your session has ended: the token is no longer accepted. Log in again.')
          : '';
  return (
    <div className="center">
      <div className="login-top">
        <Preferences />
      </div>
      <form
        className="hero login"
        onSubmit={(e) => {
          e.preventDefault();
          void submit();
        }}
      >
        <img src="./icon.svg" alt="" width="44" height="44" />
        <h1>keelson</h1>
        <p className="sub">{t('Log in with a token. You can do here what the token may do, and nothing else.')}</p>
        <label>
          {t('Token')}
          <input
            type="password"
            value={text}
            autoFocus
            autoComplete="off"
            spellCheck={false}
            onChange={(e) => setText(e.target.value)}
            onPaste={(e) => {
              // A whole kubeconfig has many lines, of which a field would keep one.
              e.preventDefault();
              setText(tokenIn(e.clipboardData.getData('text')));
            }}
          />
        </label>
        {message && (
          <div className="problem" role="alert">
            <b>{message}</b>
          </div>
        )}
        <Button kind="primary" type="submit" busy={busy} disabled={!text.trim()}>
          {t('Log in')}
        </Button>
        {open && (
          <Button busy={busy} onClick={() => void submit('', true)}>
            {t('Go on without a token: this cluster asks for none')}
          </Button>
        )}
        <details>
          <summary>{t('How do I get a token?')}</summary>
          <p>{t('For an account that may do everything (give others a narrower role):')}</p>
          <div className="code">
            <pre>{COMMANDS}</pre>
            <Copy text={COMMANDS} />
          </div>
        </details>
        <p className="small">{t('The token is kept in a cookie that no script can read, until you log out or close the browser.')}</p>
      </form>
    </div>
  );
}
