// Every text of the interface has its Chinese, and no translation is left over.
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const src = join(dirname(fileURLToPath(import.meta.url)), '../src');

export function checkTexts() {
  const used = new Set();
  const walk = (d) => {
    for (const e of readdirSync(d, { withFileTypes: true })) {
      const p = join(d, e.name);
      if (e.isDirectory()) walk(p);
      else if (/\.tsx?$/.test(e.name) && e.name !== 'zh.ts') {
        const text = readFileSync(p, 'utf8');
        for (const m of text.matchAll(/\b(?:t|N)\(\s*'((?:[^'\\]|\\.)*)'/g)) used.add(m[1].replace(/\\'/g, "'"));
      }
    }
  };
  walk(src);
  const zh = readFileSync(join(src, 'zh.ts'), 'utf8');
  const known = new Set();
  for (const m of zh.matchAll(/^\s*(?:'((?:[^'\\]|\\.)*)'|([A-Za-z]+)):/gm)) known.add((m[1] ?? m[2]).replace(/\\'/g, "'"));
  const missing = [...used].filter((k) => !known.has(k)).sort();
  if (missing.length) throw new Error(`zh.ts lacks:\n${missing.map((k) => `  ${JSON.stringify(k)}`).join('\n')}`);
}
