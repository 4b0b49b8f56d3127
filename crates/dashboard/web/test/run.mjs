// The dashboard in a real browser, against a cluster that is there.
//   node test/run.mjs --url http://127.0.0.1:8444 --kubeconfig admin.kubeconfig [--shots DIR] [--containers NS/POD]
// Without --containers nothing runs in the cluster: nodes and the states of pods are written by this test.
// It makes the namespaces shop and quiet, the kind Boat, and removes them at the end.
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const { values: args } = parseArgs({
  options: {
    url: { type: 'string' }, kubeconfig: { type: 'string' }, shots: { type: 'string' }, containers: { type: 'string' },
    kubectl: { type: 'string', default: 'kubectl' }, chromium: { type: 'string', default: '/usr/bin/chromium' }, only: { type: 'string', default: '' },
  },
});
if (!args.url || !args.kubeconfig) throw new Error('--url and --kubeconfig');
const here = dirname(fileURLToPath(import.meta.url));
const env = { ...process.env, KUBECONFIG: args.kubeconfig };
const kubectl = (...a) => execFileSync(args.kubectl, a, { env, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] });
const apply = (yaml) => execFileSync(args.kubectl, ['apply', '-f', '-'], { env, input: yaml, encoding: 'utf8' });
const json = (o) => JSON.stringify(o);
const status = (kind, name, ns, s) => kubectl('patch', kind, name, ...(ns ? ['-n', ns] : []), '--subresource=status', '--type=merge', '-p', json({ status: s }));
if (args.shots) mkdirSync(args.shots, { recursive: true });

let done = 0;
const failures = [];
function check(what, ok, more = '') {
  if (ok) done++;
  else {
    failures.push(`${what}${more ? `: ${more}` : ''}`);
    console.error(`FAILED ${what} ${more}`);
  }
}
const now = () => new Date().toISOString().replace(/\.\d+Z/, 'Z');
async function until(what, f, ms = 20_000) {
  const end = Date.now() + ms;
  for (;;) {
    try {
      const v = await f();
      if (v) return v;
    } catch (e) {
      if (Date.now() > end) throw new Error(`${what}: ${e.message}`);
    }
    if (Date.now() > end) throw new Error(`did not come: ${what}`);
    await new Promise((r) => setTimeout(r, 150));
  }
}

/** Nodes and running pods where there is no kubelet. */
function pretend() {
  for (const name of ['north', 'south']) {
    apply(json({ apiVersion: 'v1', kind: 'Node', metadata: { name, labels: { 'kubernetes.io/hostname': name } } }));
    const c = (type, s, reason) => ({ type, status: s, reason, message: reason, lastHeartbeatTime: now(), lastTransitionTime: now() });
    const amounts = { cpu: '4', memory: '8Gi', pods: '110', 'ephemeral-storage': '40Gi' };
    status('node', name, '', {
      capacity: amounts, allocatable: amounts,
      addresses: [{ type: 'InternalIP', address: '192.0.2.7' }, { type: 'Hostname', address: name }],
      conditions: [c('MemoryPressure', 'False', 'KubeletHasSufficientMemory'), c('DiskPressure', 'False', 'KubeletHasNoDiskPressure'), c('Ready', 'True', 'KubeletReady')],
      nodeInfo: { kubeletVersion: 'v1.37.2', osImage: 'Debian 12', kernelVersion: '6.1.0', architecture: 'amd64', containerRuntimeVersion: 'containerd://2.1', machineID: '', systemUUID: '', bootID: '', kubeProxyVersion: '', operatingSystem: 'linux' },
    });
  }
}
/** Keeps them Ready: the controllers mark a silent node after 40 s. */
function beat() {
  for (const name of ['north', 'south'])
    apply(json({ apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name, namespace: 'kube-node-lease' }, spec: { holderIdentity: name, leaseDurationSeconds: 40, renewTime: new Date().toISOString().replace('Z', '000Z') } }));
}
function run(pods, bad = '') {
  for (const p of pods) {
    const broken = p.metadata.name === bad;
    const state = broken ? { waiting: { reason: 'CrashLoopBackOff', message: 'back-off 40s restarting failed container' } } : { running: { startedAt: now() } };
    status('pod', p.metadata.name, 'shop', {
      phase: 'Running', startTime: now(), podIP: '10.1.0.5', podIPs: [{ ip: '10.1.0.5' }],
      conditions: ['PodScheduled', 'Initialized', 'ContainersReady', 'Ready'].map((type) => ({ type, status: broken && /Ready/.test(type) ? 'False' : 'True', lastTransitionTime: now() })),
      containerStatuses: p.spec.containers.map((c) => ({
        name: c.name, ready: !broken, started: !broken, restartCount: broken ? 7 : 0, image: c.image, imageID: 'x', containerID: 'containerd://x', state,
        ...(broken ? { lastState: { terminated: { reason: 'Error', exitCode: 1, startedAt: now(), finishedAt: now() } } } : {}),
      })),
    });
  }
}
const pods = (label) => JSON.parse(kubectl('get', 'pods', '-n', 'shop', '-l', label, '-o', 'json')).items;

function cleanup() {
  // Nobody ends pods that never ran, and their namespace waits for them.
  if (!args.containers)
    try {
      kubectl('delete', 'pods', '-n', 'shop', '--all', '--force', '--grace-period=0', '--wait=false');
    } catch (e) {
      console.error(String(e.stderr ?? e));
    }
  for (const a of [['ns', 'shop', 'quiet'], ['crd', 'boats.sea.example.com'], ['node', 'north', 'south'], ['clusterrolebinding', 'captain'], ['serviceaccount', '-n', 'kube-system', 'captain']])
    try {
      kubectl('delete', ...a, '--ignore-not-found', '--wait=false');
    } catch (e) {
      console.error(String(e.stderr ?? e));
    }
}

const browser = await chromium.launch({ executablePath: args.chromium, args: ['--no-sandbox', '--disable-gpu'] });
try {
  if (!args.containers) {
    pretend();
    setInterval(beat, 10_000).unref();
  }
  kubectl('apply', '-f', join(here, 'objects.yaml'));
  await until('the kind Boat', () => apply(json({ apiVersion: 'sea.example.com/v1', kind: 'Boat', metadata: { name: 'pequod', namespace: 'shop' }, spec: { length: 40, harbour: 'Nantucket' } })));
  if (!args.containers) {
    await until('pods', () => pods('app=web').length === 3 && pods('app=db').length === 1 && pods('app=agent').length > 0);
    const web = pods('app=web');
    run([...web, ...pods('app=db'), ...pods('app=agent')], web[2].metadata.name);
  }
} catch (e) {
  cleanup();
  await browser.close();
  throw e;
}
if (!args.containers) {
  const p = pods('app=web')[2];
  execFileSync(args.kubectl, ['create', '-f', '-'], {
    env,
    input: json({ apiVersion: 'v1', kind: 'Event', metadata: { generateName: 'web-', namespace: 'shop' }, type: 'Warning', reason: 'BackOff', message: `Back-off restarting failed container web in pod ${p.metadata.name}`, count: 12, firstTimestamp: now(), lastTimestamp: now(), source: { component: 'kubelet' }, involvedObject: { apiVersion: 'v1', kind: 'Pod', name: p.metadata.name, namespace: 'shop', uid: p.metadata.uid } }),
  });
}
const token = kubectl('create', 'token', 'captain', '-n', 'kube-system', '--duration=2h').trim();
const guest = kubectl('create', 'token', 'guest', '-n', 'shop', '--duration=2h').trim();

let last;
let said = [];
async function open(prefs = {}) {
  const context = await browser.newContext({ viewport: { width: 1360, height: 850 }, locale: 'en-GB' });
  const page = await context.newPage();
  last = page;
  const problems = [];
  said = problems;
  const outside = [];
  // On a node's own network, pods that come and go are changes of the network to the browser.
  page.on('console', (m) => m.type() === 'error' && !/status of (401|403|404|409|422)|ERR_NETWORK_CHANGED/.test(m.text()) && problems.push(m.text()));
  page.on('pageerror', (e) => problems.push(String(e)));
  page.on('request', (r) => !r.url().startsWith(args.url) && !/^(data|blob):/.test(r.url()) && outside.push(r.url()));
  await page.addInitScript((p) => !localStorage.getItem('keelson.prefs') && localStorage.setItem('keelson.prefs', JSON.stringify(p)), prefs);
  await page.goto(args.url);
  return { page, problems, outside, context };
}
async function login(page, t) {
  await page.locator('input[type=password]').fill(t);
  await page.locator('button[type=submit]').click();
  await page.locator('.topbar').waitFor();
}
const shot = async (page, name) => {
  if (!args.shots) return;
  await page.waitForTimeout(250);
  await page.screenshot({ path: join(args.shots, `${name}.png`) });
};
const at = (page, hash) => page.evaluate((h) => void (location.hash = h), hash);
const text = (page, sel = 'main') => page.locator(sel).innerText();

async function walk() {
  const { page, problems, outside, context } = await open({ lang: 'en', theme: 'light' });
  await shot(page, '00-login');
  await page.locator('input[type=password]').fill('not-a-token');
  await page.locator('button[type=submit]').click();
  await page.locator('[role=alert]').waitFor();
  check('a wrong token is refused', /does not accept/.test(await text(page, '[role=alert]')));
  await login(page, token);
  const cookies = await context.cookies();
  check('the session is in cookies that no script reads', cookies.length > 0 && cookies.every((c) => c.httpOnly && c.secure && c.sameSite === 'Strict'), json(cookies.map((c) => c.name)));
  check('the token itself is nowhere', !json(cookies).includes(token) && (await page.evaluate((t) => !JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]).includes(t), token)));

  await page.locator('.ring', { hasText: /\d/ }).first().waitFor();
  await page.waitForTimeout(1000);
  await shot(page, '01-overview');
  check('overview counts pods', /Pods/.test(await text(page)));

  // Every entry of the menu.
  const links = await page.locator('.side a.item').evaluateAll((a) => a.map((x) => x.getAttribute('href')));
  check('the menu has the custom kind', links.some((h) => h.includes('sea.example.com')));
  for (const h of links) {
    await at(page, h);
    await page.waitForTimeout(80);
    await until(`page ${h}`, async () => (await page.locator('main .skeleton').count()) === 0);
    const bad = await page.locator('main [role=alert]').count();
    check(`page ${h}`, bad === 0, bad ? await text(page, 'main [role=alert]') : '');
  }
  await page.selectOption('#namespace', 'shop');
  for (const [n, h] of [['pods', 'core/v1/pods'], ['deployments', 'apps/v1/deployments'], ['services', 'core/v1/services'], ['boats', 'sea.example.com/v1/boats'], ['clusterroles', 'rbac.authorization.k8s.io/v1/clusterroles'], ['nodes', 'core/v1/nodes'], ['crds', 'apiextensions.k8s.io/v1/customresourcedefinitions']]) {
    await at(page, `#/list/${h}`);
    await page.locator('main tbody tr').first().waitFor();
    await shot(page, `02-list-${n}`);
  }
  await page.selectOption('#namespace', 'quiet');
  await at(page, '#/list/apps/v1/deployments');
  await page.locator('main .empty').waitFor();
  await shot(page, '03-empty');
  await page.selectOption('#namespace', 'shop');

  // A change comes by itself.
  await at(page, '#/list/core/v1/configmaps');
  await page.locator('main tbody tr', { hasText: 'settings' }).waitFor();
  kubectl('create', 'configmap', 'late', '-n', 'shop', '--from-literal=a=b');
  await page.locator('main tbody tr', { hasText: 'late' }).waitFor({ timeout: 5000 });
  kubectl('delete', 'configmap', 'late', '-n', 'shop');
  await page.locator('main tbody tr', { hasText: 'late' }).waitFor({ state: 'detached', timeout: 5000 });
  check('lists are live', true);

  // Keys: filter, walk, open.
  await page.keyboard.press('/');
  await page.keyboard.type('sett');
  await page.keyboard.press('Enter');
  check('the filter leaves one', (await page.locator('main tbody tr').count()) === 1);
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await page.locator('.datum').first().waitFor();
  check('Enter opens the row', /settings/.test(await text(page, 'h1')));
  await shot(page, '04-configmap');
  await page.keyboard.press('Control+k');
  await page.locator('.palette input').fill('netpol');
  await page.locator('.palette li').first().waitFor();
  await shot(page, '05-palette');
  await page.keyboard.press('Enter');
  await page.locator('main tbody tr', { hasText: 'db-only-from-web' }).waitFor();
  check('search goes to a kind by its short name', true);

  // Secrets are masked until asked.
  await at(page, '#/object/core/v1/secrets/shop/password');
  await page.locator('.datum').waitFor();
  check('a secret is masked', !(await text(page)).includes('correct-horse'));
  await page.locator('.datum button', { hasText: 'Show' }).click();
  check('a secret is shown when asked', (await text(page)).includes('correct-horse'));
  await shot(page, '06-secret');
  await at(page, '#/object/core/v1/secrets/shop/password/yaml');
  await page.locator('.empty button').waitFor();
  check('the YAML of a secret is covered', (await page.locator('.cm-content').count()) === 0);

  // Objects of each kind.
  for (const [n, h] of [['networkpolicy', 'networking.k8s.io/v1/networkpolicies/shop/db-only-from-web'], ['ingress', 'networking.k8s.io/v1/ingresses/shop/web'], ['service', 'core/v1/services/shop/web'], ['statefulset', 'apps/v1/statefulsets/shop/db'], ['cronjob', 'batch/v1/cronjobs/shop/nightly'], ['crd', 'apiextensions.k8s.io/v1/customresourcedefinitions/_/boats.sea.example.com'], ['boat', 'sea.example.com/v1/boats/shop/pequod'], ['quota', 'core/v1/resourcequotas/shop/small'], ['clusterrole', 'rbac.authorization.k8s.io/v1/clusterroles/_/view'], ['namespace', 'core/v1/namespaces/_/shop']]) {
    await at(page, `#/object/${h}`);
    await page.locator('.tabs').waitFor();
    await page.waitForTimeout(250);
    check(`object ${h}`, (await page.locator('main [role=alert]').count()) === 0);
    await shot(page, `07-${n}`);
  }
  await at(page, '#/object/apps/v1/deployments/shop/nothing');
  await page.locator('main .empty').waitFor();
  check('an object that is not there', /does not exist/.test(await text(page)));

  // Scale.
  await at(page, '#/object/apps/v1/deployments/shop/web');
  await page.locator('.actions button', { hasText: 'Scale' }).waitFor();
  await page.waitForTimeout(500);
  await shot(page, '08-deployment');
  await page.locator('.actions button', { hasText: 'Scale' }).click();
  await page.locator('.stepper input').fill('4');
  await shot(page, '09-scale');
  await page.locator('dialog footer button', { hasText: 'Scale' }).click();
  await until('scaled', () => kubectl('get', 'deploy', 'web', '-n', 'shop', '-o', 'jsonpath={.spec.replicas}') === '4');
  await until('the page knows', async () => /of 4 ready/.test(await text(page)));
  check('scale', true);

  // Edit with a difference: an error first, then a change.
  await at(page, '#/object/apps/v1/deployments/shop/web/yaml');
  await page.locator('.cm-content').waitFor();
  const edit = async (from, to) => {
    await page.locator('.cm-content').click();
    await page.keyboard.press('Control+f');
    await page.locator('.cm-search input[name=search]').fill(from);
    await page.locator('.cm-search input[name=replace]').fill(to);
    await page.locator('.cm-search [name=replaceAll]').click();
    await page.keyboard.press('Escape');
  };
  await edit('nginx:1.29', 'nginx:1.30');
  await edit('protocol: TCP', 'protocoll: TCP');
  await page.locator('button', { hasText: 'Review changes' }).click();
  await page.locator('main [role=alert]').waitFor();
  check('an unknown field is told', /protocoll/.test(await text(page, 'main [role=alert]')));
  await shot(page, '10-edit-error');
  await edit('protocoll: TCP', 'protocol: TCP');
  await page.locator('button', { hasText: 'Review changes' }).click();
  await page.locator('.editor.diff .cm-deletedChunk').first().waitFor();
  await shot(page, '11-diff');
  check('nothing is saved before the difference is seen', kubectl('get', 'deploy', 'web', '-n', 'shop', '-o', 'jsonpath={.spec.template.spec.containers[0].image}') === 'nginx:1.29');
  await page.locator('button', { hasText: /^Save$/ }).click();
  await until('saved', () => kubectl('get', 'deploy', 'web', '-n', 'shop', '-o', 'jsonpath={.spec.template.spec.containers[0].image}') === 'nginx:1.30');
  check('edit', true);

  // Restart, then back to the first revision.
  await at(page, '#/object/apps/v1/deployments/shop/web');
  await page.locator('.actions button', { hasText: 'Restart' }).click();
  await page.locator('dialog footer button', { hasText: 'Restart' }).click();
  await until('restarted', () => kubectl('get', 'deploy', 'web', '-n', 'shop', '-o', 'jsonpath={.spec.template.metadata.annotations}').includes('restartedAt'));
  await at(page, '#/object/apps/v1/deployments/shop/web/history');
  await until('three revisions', async () => (await page.locator('main tbody tr').count()) === 3);
  await shot(page, '12-history');
  await page.locator('main tbody tr', { hasText: 'nginx:1.29' }).locator('button').click();
  await page.locator('dialog footer button', { hasText: 'Roll back' }).click();
  await until('rolled back', () => kubectl('get', 'deploy', 'web', '-n', 'shop', '-o', 'jsonpath={.spec.template.spec.containers[0].image}') === 'nginx:1.29');
  check('restart and roll back', true);

  // Create, then delete.
  await at(page, '#/create');
  await page.locator('.cm-content').click();
  await page.keyboard.insertText('apiVersion: v1\nkind: ConfigMap\nmetadata: {name: made, namespace: shop}\ndata: {a: "1"}\n---\napiVersion: sea.example.com/v1\nkind: Boat\nmetadata: {name: argo, namespace: shop}\nspec: {length: 30}\n');
  await page.locator('main button', { hasText: 'Try without creating' }).click();
  await until('tried', async () => (await page.locator('.result').count()) === 2);
  await page.locator('main button', { hasText: /^Create$/ }).click();
  await until('created', () => kubectl('get', 'boat', 'argo', '-n', 'shop', '-o', 'name', '--ignore-not-found').includes('argo'));
  await page.locator('.result a').nth(1).waitFor();
  await shot(page, '13-create');
  check('create from YAML', true);
  await at(page, '#/object/core/v1/configmaps/shop/made');
  await page.locator('.actions button', { hasText: 'More' }).click();
  await page.locator('[role=menuitem]', { hasText: 'Delete' }).click();
  await shot(page, '14-delete');
  await page.locator('dialog footer button', { hasText: 'Delete' }).click();
  await until('deleted', () => kubectl('get', 'cm', 'made', '-n', 'shop', '-o', 'name', '--ignore-not-found') === '');
  check('delete', true);

  // Nodes.
  const node = kubectl('get', 'nodes', '-o', 'jsonpath={.items[0].metadata.name}');
  await at(page, `#/object/core/v1/nodes/_/${node}`);
  await page.locator('.actions button', { hasText: 'Cordon' }).waitFor();
  await page.waitForTimeout(500);
  await shot(page, '15-node');
  await page.locator('.actions button', { hasText: 'Cordon' }).click();
  await until('cordoned', () => kubectl('get', 'node', node, '-o', 'jsonpath={.spec.unschedulable}') === 'true');
  await page.locator('.actions button', { hasText: 'Drain' }).click();
  await page.locator('dialog .dialog-body p').waitFor();
  await shot(page, '16-drain');
  await page.keyboard.press('Escape');
  await page.locator('.actions button', { hasText: 'Uncordon' }).click();
  await until('uncordoned', () => kubectl('get', 'node', node, '-o', 'jsonpath={.spec.unschedulable}') === '');
  check('cordon and uncordon', true);

  // A pod.
  if (args.containers) await containers(page);
  else {
    const p = pods('app=db')[0].metadata.name;
    await at(page, `#/object/core/v1/pods/shop/${p}`);
    await page.locator('.tabs').waitFor();
    await page.waitForTimeout(400);
    await shot(page, '17-pod');
  }
  check('nothing is asked of other hosts', outside.length === 0, outside.join(' '));
  check('no error in the console', problems.length === 0, problems.slice(0, 5).join(' | '));

  // The end of a session.
  await page.locator('.topbar .menu button').click();
  await page.locator('[role=menuitem]', { hasText: 'Log out' }).click();
  await page.locator('input[type=password]').waitFor();
  check('logging out ends the session', (await context.cookies()).length === 0 && (await page.evaluate(() => localStorage.getItem('keelson.session') === null)));
  await context.close();
}

/** With a kubelet: logs and a terminal. */
async function containers(page) {
  const [ns, pod] = args.containers.split('/');
  await at(page, `#/object/core/v1/pods/${ns}/${pod}`);
  await page.locator('.tabs').waitFor();
  await page.waitForTimeout(500);
  await shot(page, '17-pod');
  await at(page, `#/object/core/v1/pods/${ns}/${pod}/logs`);
  await until('logs', async () => (await page.locator('.log-box > div:not(.faint)').count()) > 0);
  await shot(page, '18-logs');
  check('logs', true);
  await at(page, `#/object/core/v1/pods/${ns}/${pod}/terminal`);
  await until('a terminal', async () => /connected/.test(await text(page, '.terminal .toolbar')));
  await page.locator('.xterm').click();
  await page.keyboard.type('echo $((6*7))-is-the-answer; stty size\n');
  await until('its answer', async () => /42-is-the-answer/.test(await page.locator('.xterm-rows').innerText()));
  await shot(page, '19-terminal');
  await page.keyboard.type('exit 3\n');
  await until('its end', async () => /exit code 3/.test(await text(page)));
  check('a terminal in a container', true);
}

/** Somebody who may read one namespace. */
async function asGuest() {
  const { page, context } = await open({ lang: 'en', theme: 'light' });
  await login(page, guest);
  await page.waitForTimeout(800);
  await shot(page, '20-guest-overview');
  await at(page, '#/list/apps/v1/deployments');
  await page.locator('main tbody tr', { hasText: 'web' }).waitFor();
  check('a guest sees the namespace of the account', true);
  await at(page, '#/object/apps/v1/deployments/shop/web');
  await until('buttons off', () => page.locator('.actions button', { hasText: 'Scale' }).isDisabled());
  await shot(page, '21-guest-deployment');
  await at(page, '#/list/core/v1/secrets');
  await page.locator('main [role=alert]').waitFor();
  check('a guest sees no secrets', /forbidden/.test(await text(page, 'main [role=alert]')));
  await shot(page, '22-guest-secrets');
  await context.close();
}

/** Dark, and Chinese, and small. */
async function looks() {
  for (const [lang, theme] of [['en', 'dark'], ['zh', 'light'], ['zh', 'dark']]) {
    const { page, context } = await open({ lang, theme });
    await shot(page, `30-${lang}-${theme}-login`);
    await login(page, token);
    await page.waitForTimeout(1000);
    await shot(page, `31-${lang}-${theme}-overview`);
    await page.selectOption('#namespace', 'shop');
    for (const [n, h] of [['pods', 'list/core/v1/pods'], ['deployment', 'object/apps/v1/deployments/shop/web'], ['yaml', 'object/apps/v1/deployments/shop/web/yaml']]) {
      await at(page, `#/${h}`);
      await page.waitForTimeout(700);
      await shot(page, `32-${lang}-${theme}-${n}`);
    }
    await context.close();
  }
  const { page, context } = await open({ lang: 'en', theme: 'light' });
  await page.setViewportSize({ width: 400, height: 800 });
  await login(page, token);
  await page.waitForTimeout(700);
  await shot(page, '40-phone');
  const wide = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
  check('nothing sticks out on a small screen', !wide);
  await context.close();
}

try {
  for (const f of [walk, asGuest, looks])
    if (!args.only || args.only === f.name)
      try {
        await f();
      } catch (e) {
        check(f.name, false, `${String(e.stack ?? e).slice(0, 900)}\nin the console: ${said.slice(0, 5).join(' | ')}`);
        await shot(last, `99-failed-${f.name}`);
      }
} finally {
  await browser.close();
  cleanup();
}
console.log(`${done} checks passed, ${failures.length} failed`);
process.exit(failures.length ? 1 : 0);
