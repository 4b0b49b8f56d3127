// The hash of everything the bundle is made from; the Rust test in ../src/tests.rs computes the same.
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const web = join(dirname(fileURLToPath(import.meta.url)), '..');
const sha = (b) => createHash('sha256').update(b).digest('hex');

export function sourcesHash() {
  const files = [];
  const walk = (dir) => {
    for (const e of readdirSync(dir, { withFileTypes: true })) {
      const p = join(dir, e.name);
      if (e.isDirectory()) walk(p);
      else files.push(p);
    }
  };
  for (const d of ['src', 'build', 'public']) walk(join(web, d));
  for (const f of ['index.html', 'package.json', 'package-lock.json', 'tsconfig.json', 'vite.config.ts']) files.push(join(web, f));
  const names = files.map((f) => relative(web, f)).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return sha(names.map((n) => `${n} ${sha(readFileSync(join(web, n)))}\n`).join(''));
}
