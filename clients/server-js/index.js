// Mabel's OpenFeature provider for servers: the published OFREP provider, which can also say what happened.

import { randomUUID } from 'node:crypto';
import { OFREPProvider } from '@openfeature/ofrep-provider';

// Visitors whose receipts are remembered, flags of each, and events that are on their way.
const MAX_VISITORS = 10_000;
const MAX_FLAGS = 100;
const MAX_SENDING = 1_000;
const TIMEOUT_MS = 5_000;

/** `track` rewards what the visitor was shown. It never throws and nobody waits for it: what cannot be sent is logged. */
export class MabelProvider extends OFREPProvider {
  #receipts = new Map();
  #sending = new Set();
  #logger = console;

  constructor(options) {
    super(options);
    const before = ({ logger }) => {
      this.#logger = logger;
    };
    const after = ({ context }, details) => this.#remember(context.targetingKey, details);
    this.hooks = [{ before, after }];
  }

  track(name, context, details = {}) {
    const visitor = context.targetingKey;
    if (!visitor) {
      this.#logger.warn(`"${name}" was not tracked: the evaluation context has no targetingKey`);
      return;
    }
    if (this.#sending.size >= MAX_SENDING) {
      this.#logger.error(`"${name}" was not tracked: ${MAX_SENDING} events are on their way`);
      return;
    }
    const { value, currency, track_id = randomUUID(), occurred_at } = details;
    const receipts = [...(this.#receipts.get(visitor)?.values() ?? [])];
    const event = { name, targetingKey: visitor, receipts, value, currency, track_id, occurred_at };
    const sending = this.#send(event).finally(() => this.#sending.delete(sending));
    this.#sending.add(sending);
  }

  /** Waits for what is on its way. */
  async onClose() {
    await Promise.all(this.#sending);
  }

  // What a visitor was shown last of each flag is what an event is a reward of.
  #remember(visitor, { flagKey, flagMetadata }) {
    const receipt = flagMetadata?.receipt;
    if (!visitor || !receipt) return;
    const flags = this.#receipts.get(visitor) ?? new Map();
    // What was set last stands last; the first goes first.
    this.#receipts.delete(visitor);
    this.#receipts.set(visitor, flags);
    flags.delete(flagKey);
    flags.set(flagKey, receipt);
    if (flags.size > MAX_FLAGS) flags.delete(flags.keys().next().value);
    if (this.#receipts.size > MAX_VISITORS) this.#receipts.delete(this.#receipts.keys().next().value);
  }

  async #send(event) {
    try {
      const headers = new Headers(this.options.headers);
      for (const [name, value] of new Headers(await this.options.headersFactory?.())) headers.set(name, value);
      headers.set('content-type', 'application/json');
      const send = this.options.fetchImplementation ?? fetch;
      const url = `${this.options.baseUrl.replace(/\/$/, '')}/v1/track`;
      const signal = AbortSignal.timeout(TIMEOUT_MS);
      const response = await send(url, { method: 'POST', headers, signal, body: JSON.stringify(event) });
      const answer = await response.json();
      if (!response.ok) throw new Error(answer.detail ?? response.status);
      const refused = answer.results.filter((result) => result.outcome === 'refused');
      if (refused.length > 0) this.#logger.warn(`"${event.name}" was refused: ${JSON.stringify(refused)}`);
    } catch (error) {
      this.#logger.error(`"${event.name}" was not tracked: ${error}`);
    }
  }
}
