// The beginning: logged in or not.
import { createRoot } from 'react-dom/client';
import { App } from './app';
import './style.css';

// The page's policy takes style sheets made by scripts only with the page's own word; the editor and the terminal make some.
const word = document.querySelector<HTMLElement>('meta[property=csp-nonce]')?.nonce ?? '';
const make = document.createElement.bind(document);
document.createElement = (name: string, o?: ElementCreationOptions) => {
  const e = make(name, o);
  if (name.toLowerCase() === 'style') e.nonce = word;
  return e;
};

const root = document.getElementById('app');
if (root) createRoot(root).render(<App />);
