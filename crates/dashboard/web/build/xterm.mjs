// xterm.js writes style attributes as text, which the page's policy (no inline styles) forbids; set as properties they are allowed.
const WAS = 't.setAttribute("style",`${t.getAttribute("style")||""}${e};`)';
const IS = 't.style.cssText+=`${e};`';

export function xtermStyles() {
  return {
    name: 'xterm-styles',
    transform(code, id) {
      if (!id.includes('@xterm/xterm/lib/')) return;
      if (code.split(WAS).length !== 2) throw new Error('xterm.js has changed: see build/xterm.mjs');
      return { code: code.replace(WAS, () => IS), map: null };
    },
  };
}
