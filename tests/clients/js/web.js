// A page of another origin than the server's, in real Chromium, that uses the published OpenFeature SDK for pages:
// node web.js BASE VISITORS SEED RATES

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const [mabel, visitors, seed, rates] = [process.argv[2], +process.argv[3], +process.argv[4], JSON.parse(process.argv[5])];
const here = new URL('.', import.meta.url);
// The package that the provider for pages brings is another than that of the provider for servers.
const provider = createRequire(new URL('node_modules/@openfeature/ofrep-web-provider/index.esm.js', here));
const core = new URL(`file://${provider.resolve('@openfeature/ofrep-core/package.json')}`).href.slice(here.href.length - 1);
const imports = {
  '@openfeature/core': '/node_modules/@openfeature/core/dist/esm/index.js',
  '@openfeature/ofrep-core': core.replace('package.json', 'index.esm.js'),
  '@openfeature/ofrep-web-provider': '/node_modules/@openfeature/ofrep-web-provider/index.esm.js',
  '@openfeature/web-sdk': '/node_modules/@openfeature/web-sdk/dist/esm/index.js',
  'mabel-openfeature-web': '/node_modules/mabel-openfeature-web/index.js',
};
const site = createServer(async ({ url }, response) => {
  const path = new URL(url, 'http://site').pathname;
  const file = await readFile(new URL(`.${path === '/' ? '/page.html' : path}`, here)).catch(() => undefined);
  if (!file) return response.writeHead(404).end();
  if (path !== '/') return response.writeHead(200, { 'content-type': 'text/javascript' }).end(file);
  const page = file.toString().replace('IMPORTS', JSON.stringify({ imports }));
  response.writeHead(200, { 'content-type': 'text/html' }).end(page);
});
await new Promise((listening) => site.listen(0, '127.0.0.1', listening));
const origin = `http://127.0.0.1:${site.address().port}`;

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
const page = await browser.newPage();
const statuses = {};
const wrong = [];
let open = 0;
page.on('pageerror', (error) => wrong.push(`${error}`));
page.on('console', (message) => message.type() === 'error' && wrong.push(message.text()));
page.on('request', (request) => (open += request.url().startsWith(mabel) ? 1 : 0));
page.on('requestfailed', (request) => {
  open -= request.url().startsWith(mabel) ? 1 : 0;
  wrong.push(`${request.url()}: ${request.failure().errorText}`);
});
page.on('requestfinished', async (request) => {
  if (!request.url().startsWith(mabel)) return;
  const { pathname } = new URL(request.url());
  const counts = (statuses[pathname] ??= {});
  const status = (await request.response()).status();
  counts[status] = (counts[status] ?? 0) + 1;
  open -= 1;
});
// Nobody waits for what says that a flag was read or that something happened.
const settled = async () => {
  do await page.waitForTimeout(100); while (open > 0);
};
const load = async () => {
  await page.goto(`${origin}/?${new URLSearchParams({ mabel, key: process.env.MABEL_KEY })}`);
  await page.waitForFunction(() => window.ready);
};
await load();
const seen = await page.evaluate(([visitors, seed, rates]) => window.visit(visitors, seed, rates), [visitors, seed, rates]);
await settled();
const first = structuredClone(statuses);
const returns = [];
for (let times = 0; times < 2; times += 1) {
  await load();
  returns.push(await page.evaluate((index) => window.comeBack(index), visitors - 1));
  await settled();
}
await browser.close();
site.close();
console.log(JSON.stringify({ ...seen, first, statuses, returns, wrong }));
