// The pages of examples/storefront in real Chromium, between them and Mabel a proxy that can be slow or silent:
// node storefront.js SCENARIO MABEL DIRECTORY

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const [scenario, mabel, directory] = process.argv.slice(2);
const listen = async (server) => {
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  return `http://127.0.0.1:${server.address().port}`;
};
const sleep = (ms) => new Promise((passed) => setTimeout(passed, ms));

// By path: how long an answer takes; never, if it is infinite. What was sent is kept.
const waits = {};
const sent = [];
let open = 0;
const proxy = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks).toString();
  const wait = waits[request.url] ?? 0;
  const entry = { path: request.url, body: body && JSON.parse(body) };
  sent.push(entry);
  if (wait === Infinity) return;
  open += 1;
  await sleep(wait);
  const headers = Object.fromEntries(['content-type', 'origin'].flatMap((name) => (request.headers[name] ? [[name, request.headers[name]]] : [])));
  const answer = await fetch(mabel + request.url, { method: request.method, headers, body: body || undefined });
  const text = await answer.text();
  entry.answer = text.startsWith('{') ? JSON.parse(text) : undefined;
  response.writeHead(answer.status, Object.fromEntries([...answer.headers].filter(([name]) => !/^(content-length|content-encoding|connection|keep-alive|transfer-encoding)$/.test(name))));
  response.end(text);
  open -= 1;
});
const server = await listen(proxy);
const settled = async () => {
  do await sleep(150); while (open > 0);
};

const types = { html: 'text/html', css: 'text/css', js: 'text/javascript', svg: 'image/svg+xml' };
const site = createServer(async ({ url }, response) => {
  const name = new URL(url, 'http://site').pathname.slice(1) || 'index.html';
  const file = await readFile(new URL(`../../../examples/storefront/${name}`, import.meta.url)).catch(() => undefined);
  if (!file) return response.writeHead(404).end();
  let text = file.toString().replaceAll('http://127.0.0.1:8080', server).replace('data-key=""', `data-key="${process.env.MABEL_KEY}"`);
  // A machine under load is no slow server: elsewhere the shop waits longer than any answer takes.
  if (scenario !== 'silence') text = text.replace('0s 400ms', '0s 9000ms').replace('data-timeout="400"', 'data-timeout="9000"');
  response.writeHead(200, { 'content-type': types[name.split('.').pop()] }).end(text);
});
const shop = await listen(site);

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
const wrong = [];
const beacons = [];

// Records what each frame shows of the hero's headline, and violations of the page's policy.
const record = () => {
  document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) =>
    console.error(`violation of ${violatedDirective} by ${blockedURI}`));
  window.painted = [];
  const look = (time) => {
    const title = document.querySelector('.hero h1');
    if (title) {
      const text = getComputedStyle(title).visibility === 'visible' ? title.textContent : '';
      if (window.painted.at(-1)?.text !== text) window.painted.push({ time, text });
    }
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
};
const arrive = async () => {
  const context = await browser.newContext();
  await context.addInitScript(record);
  const page = await context.newPage();
  page.on('pageerror', (error) => wrong.push(`${error}`));
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && wrong.push(message.text()));
  page.on('request', (request) => request.resourceType() === 'ping' && beacons.push(new URL(request.url()).pathname));
  return page;
};
const shown = (page, experiment) =>
  page.evaluate((experiment) => document.querySelector(`[data-mabel=${experiment}]`)?.dataset.mabelShown, experiment);
const opened = async (page, path = '/') => {
  await page.goto(shop + path, { waitUntil: 'domcontentloaded' });
  while ((await shown(page, 'hero')) === undefined) await sleep(20);
  // Long enough for a change that should not come.
  await sleep(300);
  await settled();
  return { hero: await shown(page, 'hero'), painted: await page.evaluate(() => window.painted) };
};
const agree = async (page) => {
  await page.goto(shop);
  await page.check('#consent:enabled');
};
const buy = async (page) => {
  await page.click('.hero .button');
  await page.click('#buy button');
  await page.waitForSelector('#order:not(:empty)');
  await settled();
};
const stored = async (page) => {
  const { cookies, origins } = await page.context().storageState();
  return { cookies, origins };
};

const scenarios = {
  // Everybody agrees and comes back twice; every other one scrolls down; all but every third one buy.
  async visits() {
    waits['/v1/decide'] = 100;
    const visitors = [];
    for (let index = 0; index < 9; index += 1) {
      const page = await arrive();
      await agree(page);
      const first = await opened(page);
      const visitor = await page.evaluate(() => window.mabel.visitor);
      const again = await opened(page);
      if (index === 0) await page.screenshot({ path: join(directory, 'storefront.png'), fullPage: true });
      const scrolls = index % 2 === 1;
      if (scrolls) {
        await page.locator('.letter').scrollIntoViewIfNeeded();
        await sleep(300);
      }
      const newsletter = await shown(page, 'newsletter');
      const buys = index % 3 > 0;
      if (buys) await buy(page);
      await settled();
      visitors.push({ visitor, first, again, newsletter, scrolls, buys });
      await page.context().close();
    }
    return { visitors, decides: sent.filter(({ path }) => path === '/v1/decide').map(({ body }) => body.requests.length) };
  },

  // Nobody was asked, somebody agreed and thought better of it.
  async refusals() {
    const page = await arrive();
    await opened(page);
    await opened(page);
    await buy(page);
    const refused = { stored: await stored(page), sent: sent.filter(({ path }) => path.startsWith('/v1')) };
    await agree(page);
    await opened(page);
    const visitor = await page.evaluate(() => window.mabel.visitor);
    const agreed = await stored(page);
    await page.uncheck('#consent');
    const withdrawn = await stored(page);
    return { refused, agreed, visitor, withdrawn };
  },

  // The script never comes; the answer never comes; the answer comes too late.
  async silence() {
    const outcomes = {};
    for (const [name, path, wait] of [['script', '/sdk/mabel.js', Infinity], ['answer', '/v1/decide', Infinity], ['late', '/v1/decide', 1500]]) {
      const page = await arrive();
      // Who was here before has the script in the browser's cache.
      if (name !== 'script') await agree(page);
      waits[path] = wait;
      await page.goto(shop, { waitUntil: 'commit' });
      await sleep(2500);
      if (name === 'script') await page.screenshot({ path: join(directory, 'silent.png') });
      outcomes[name] = { hero: await shown(page, 'hero'), painted: await page.evaluate(() => window.painted) };
      delete waits[path];
      await page.goto(`${shop}/product.html`);
      await page.click('#buy button');
      await page.waitForSelector('#order:not(:empty)');
      await settled();
      await page.context().close();
    }
    return { outcomes, told: sent.filter(({ path }) => path === '/v1/track' || path === '/v1/activate').length };
  },

  // Where localStorage is refused a cookie is kept, and nothing else is needed.
  async cookies() {
    const page = await arrive();
    await page.context().addInitScript(() => {
      Storage.prototype.setItem = () => {
        throw new DOMException('no room', 'QuotaExceededError');
      };
    });
    await agree(page);
    const first = await opened(page);
    const again = await opened(page);
    const kept = await stored(page);
    await page.uncheck('#consent');
    return { first, again, kept, withdrawn: await stored(page) };
  },

  // One tab finds no room any more, and another hears of it; then the other one withdraws.
  async tabs() {
    const page = await arrive();
    await agree(page);
    await opened(page);
    const other = await page.context().newPage();
    await opened(other);
    const visitor = (tab) => tab.evaluate(() => window.mabel.visitor);
    const before = await visitor(other);
    await page.evaluate(() => {
      Storage.prototype.setItem = () => {
        throw new DOMException('no room', 'QuotaExceededError');
      };
      window.mabel.consent(true);
    });
    await sleep(300);
    const crowded = { visitor: await visitor(other), ...(await stored(other)) };
    await other.evaluate(() => {
      window.mabel.consent(true);
      window.mabel.consent(false);
    });
    await sleep(300);
    return { before, crowded, withdrawn: { visitor: (await visitor(page)) ?? null, ...(await stored(page)) } };
  },

  // What a payload may not do to a page, and what scripts of the page are told.
  async scripts() {
    const page = await arrive();
    await agree(page);
    await opened(page);
    const hero = await page.evaluate(() => {
      const [title, link] = document.querySelectorAll('.hero h1, .hero a');
      return { text: title.textContent, children: title.childElementCount, href: link.getAttribute('href'), label: link.textContent };
    });
    const decide = (experiment, options) => page.evaluate(([experiment, options]) => window.mabel.decide(experiment, options), [experiment, options]);
    const known = await decide('hero', { default: 'none' });
    const unknown = await decide('nothing', { default: 'none' });
    waits['/v1/decide'] = 500;
    const late = await decide('hero', { default: 'none', timeout: 50 });
    // The answer that came too late is not taken for that of the next question.
    waits['/v1/decide'] = 0;
    await sleep(700);
    const pushed = await page.evaluate(() => new Promise((done) => window.mabel.push((mabel) => done(mabel.convert('purchase', { id: 7 })))));
    proxy.closeAllConnections();
    await new Promise((closed) => proxy.close(closed));
    const unreachable = await decide('hero', { default: 'none' });
    return { hero, known, unknown, late, pushed, unreachable };
  },
};
const seen = await scenarios[scenario]();
await browser.close();
site.close();
proxy.close();
console.log(JSON.stringify({ ...seen, beacons, wrong }));
process.exit(0);
