// Mabel's OpenFeature provider for pages: the published OFREP provider, which says which flags were read and what happened.

import { OFREPWebProvider } from '@openfeature/ofrep-web-provider';

// Flags whose receipts are sent with an event: so many of the longest keep within what a page may send while it closes.
const MAX_FLAGS = 50;

/** A flag counts once it is read, and `track` rewards the flags that were. Neither throws: what cannot be sent is logged. */
export class MabelWebProvider extends OFREPWebProvider {
  #options;
  #logger;
  #receipts = new Map();
  #activated = new Set();

  constructor(options, logger = console) {
    super(options, logger);
    this.#options = options;
    this.#logger = logger;
    this.hooks = [{ after: (_, details) => this.#read(details) }];
  }

  track(name, _context, details = {}) {
    const { value, currency, track_id = randomId(), occurred_at } = details;
    const event = { name, receipts: [...this.#receipts.values()], value, currency, track_id, occurred_at };
    this.#send('/v1/track', event).then(
      ({ results }) => {
        const refused = results.filter((result) => result.outcome === 'refused');
        if (refused.length > 0) this.#logger.warn(`"${name}" was refused: ${JSON.stringify(refused)}`);
      },
      (error) => this.#logger.error(`"${name}" was not tracked: ${error}`),
    );
  }

  async onContextChange(before, after) {
    // What another visitor was shown is not rewarded by this one.
    if (before?.targetingKey !== after?.targetingKey) {
      this.#receipts.clear();
      this.#activated.clear();
    }
    await super.onContextChange(before, after);
  }

  // Flags are fetched ahead and all at once: only what a page reads was seen. Once for each decision and page is enough, and
  // what was recorded before is recorded once.
  #read({ flagKey, flagMetadata }) {
    const { receipt, decisionId } = flagMetadata ?? {};
    if (!receipt) return;
    this.#receipts.delete(flagKey);
    this.#receipts.set(flagKey, receipt);
    if (this.#receipts.size > MAX_FLAGS) this.#receipts.delete(this.#receipts.keys().next().value);
    if (this.#activated.has(decisionId)) return;
    this.#activated.add(decisionId);
    this.#send('/v1/activate', { receipt }).catch((error) => {
      this.#activated.delete(decisionId);
      this.#logger.error(`that "${flagKey}" was read was not recorded: ${error}`);
    });
  }

  async #send(path, body) {
    const headers = new Headers(this.#options.headers);
    for (const [name, value] of new Headers(await this.#options.headersFactory?.())) headers.set(name, value);
    headers.set('content-type', 'application/json');
    const send = this.#options.fetchImplementation ?? fetch;
    const url = `${this.#options.baseUrl.replace(/\/$/, '')}${path}`;
    const response = await send(url, { method: 'POST', headers, keepalive: true, body: JSON.stringify(body) });
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.detail ?? response.status);
    return answer;
  }
}

// `crypto.randomUUID` is not there on pages without TLS.
function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
