// Visitors of a server that uses the published OpenFeature SDK: node server.js BASE VISITORS SEED RATES

import { OpenFeature } from '@openfeature/server-sdk';
import { MabelProvider } from 'mabel-openfeature-server';
import { Seen, uniforms } from './visitors.js';

const [baseUrl, visitors, seed, rates] = [process.argv[2], +process.argv[3], +process.argv[4], JSON.parse(process.argv[5])];
const uniform = uniforms(seed);
const seen = new Seen();
await OpenFeature.setProviderAndWait(new MabelProvider({ baseUrl, headers: [['authorization', `Bearer ${process.env.MABEL_KEY}`]] }));
const client = OpenFeature.getClient();
for (let index = 0; index < visitors; index += 1) {
  const context = { targetingKey: `visitor-${index}`, device: index % 2 ? 'mobile' : 'desktop', cart: { items: ['hat'] } };
  const hero = await client.getStringDetails('hero', 'none', context);
  const banner = await client.getNumberDetails('banner', 0, context);
  for (const [details, goal] of [[hero, 'purchase'], [banner, 'signup']]) {
    seen.read(details);
    if (uniform() < rates[details.variant]) {
      seen.converted(details);
      client.track(goal, context, { value: 1 });
    }
  }
}
// What goes wrong is the code's default, and an event that nobody takes is only logged.
const context = { targetingKey: 'visitor-0' };
const unknown = await client.getStringDetails('nothing', 'none', context);
const keyless = await client.getNumberDetails('banner', 7);
await OpenFeature.close();
const logged = [];
const logger = { error: (text) => logged.push(text), warn: (text) => logged.push(text), info() {}, debug() {} };
OpenFeature.setLogger(logger);
await OpenFeature.setProviderAndWait(new MabelProvider({ baseUrl: 'http://127.0.0.1:9' }));
const unreachable = await OpenFeature.getClient().getStringDetails('hero', 'none', context);
OpenFeature.getClient().track('purchase', context);
await OpenFeature.close();
const errors = { unknown, keyless, unreachable };
for (const name in errors) errors[name] = { value: errors[name].value, code: errors[name].errorCode };
console.log(JSON.stringify({ flags: seen.flags, errors, untracked: logged.filter((text) => `${text}`.includes('not tracked')).length }));
