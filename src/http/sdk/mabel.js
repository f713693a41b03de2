// The client of pages: shows what was decided, keeps receipts on the page's own site, says what happened. docs/BROWSER.md says how it
// is used. Served as it stands, without comments and indentation, so a comment has a line of its own.
(() => {
  "use strict";
  // What is kept in the browser, and under which name.
  const NAME = "mabel";
  // Receipts that are kept at most, and characters of a cookie.
  const RECEIPTS_MAX = 50;
  const COOKIE_MAX = 3800;
  // How long a connection may stay silent before it is given up, long after the page has shown its default.
  const SILENCE_MS = 10000;

  const warn = (text) => console.warn(`mabel: ${text}`);
  const attempt = (task) => {
    try {
      return task();
    } catch {
      return undefined;
    }
  };
  // Pages without TLS have no randomUUID.
  const mint = () =>
    crypto.randomUUID?.() ?? Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16)).join("-");
  const setCookie = (text, seconds) => {
    const secure = location.protocol === "https:" ? ";secure" : "";
    document.cookie = `${NAME}=${text};path=/;max-age=${seconds};samesite=lax${secure}`;
  };
  const getCookie = () => decodeURIComponent(document.cookie.match(/(?:^|; )mabel=([^;]+)/)[1]);

  // Texts and attributes of an element and of what is within it. Nothing a payload says becomes markup or code.
  const fill = (element, payload) => {
    for (const target of [element, ...element.querySelectorAll("*")]) {
      for (const { name, value: field } of [...target.attributes]) {
        const attribute = name.match(/^data-mabel-attr-(.+)/)?.[1];
        if (!attribute && name !== "data-mabel-text") continue;
        const value = field ? payload?.[field] : payload;
        // What the payload does not have stays as the page wrote it.
        if (typeof value !== "string" && typeof value !== "number") continue;
        const scheme = attempt(() => new URL(value, document.baseURI).protocol);
        if (!attribute) target.textContent = value;
        else if (/^on|^srcdoc$|^style$/.test(attribute) || /^(javascript|vbscript|data):$/.test(scheme))
          warn(`${attribute}=${value} is refused`);
        else target.setAttribute(attribute, value);
      }
    }
  };

  const Mabel = ({ url, key, visitor, consent: given, context = {}, timeout = 300 }) => {
    // Whether the visitor agreed. Without it nothing is kept, sent back or counted.
    let granted = true;
    let memory = { receipts: {} };
    const asked = new Map();
    const taken = new WeakSet();
    let waiting = [];

    // Read anew each time, since other tabs write as well.
    const read = () => {
      if (!granted) return memory;
      const text = attempt(() => localStorage.getItem(NAME)) ?? attempt(getCookie);
      const kept = attempt(() => JSON.parse(text));
      if (kept?.visitor && kept.receipts) memory = kept;
      const valid = Object.entries(memory.receipts).filter(([, { expires }]) => Date.parse(expires) > Date.now());
      valid.sort(([, one], [, other]) => Date.parse(other.expires) - Date.parse(one.expires));
      memory.receipts = Object.fromEntries(valid.slice(0, RECEIPTS_MAX));
      return memory;
    };
    const write = () => {
      if (!granted) return;
      const stored = attempt(() => localStorage.setItem(NAME, JSON.stringify(memory)) ?? true);
      if (stored) return;
      // A cookie has little room: what expires first stays behind.
      const receipts = Object.entries(memory.receipts);
      let text;
      do text = encodeURIComponent(JSON.stringify({ ...memory, receipts: Object.fromEntries(receipts) }));
      while (text.length > COOKIE_MAX && receipts.pop());
      attempt(() => setCookie(text, 31536000));
      // Last, so that other tabs, which hear of this alone, find the cookie.
      attempt(() => localStorage.removeItem(NAME));
    };
    const forget = () => {
      granted = false;
      memory = { receipts: {} };
      attempt(() => setCookie("", 0));
      attempt(() => localStorage.removeItem(NAME));
    };
    const consent = (agreed) => {
      if (!agreed) return forget();
      granted = true;
      read().visitor = visitor ?? memory.visitor ?? mint();
      write();
    };
    // Consent that is withdrawn in one tab is withdrawn in all, but where there was no room any more there is a cookie instead.
    addEventListener("storage", ({ key, newValue }) => {
      if ((key === NAME || key === null) && !newValue && !attempt(getCookie)) forget();
    });

    // As text/plain, which needs no preflight, and so one way there and back less.
    const post = (path, body, options) =>
      fetch(url + path, { method: "POST", body: JSON.stringify({ key, ...body }), credentials: "omit", ...options });

    // One request for all that is asked for in one moment. Every decision is deferred: what comes too late to be shown must not count.
    const flush = async () => {
      const questions = waiting;
      waiting = [];
      const { visitor, receipts } = read();
      const may = granted;
      const requests = questions.map(({ experiment, about }) => {
        const whose = may ? { visitor, receipt: receipts[experiment]?.receipt } : { consent: false };
        return { experiment, exclude: about.exclude, context: { ...context, ...about.context }, defer: true, ...whose };
      });
      let answer;
      try {
        const response = await post("/v1/decide", { requests }, { signal: AbortSignal.timeout(SILENCE_MS) });
        answer = (await response.json()) ?? {};
      } catch (error) {
        warn(error);
        answer = { reason: "unreachable" };
      }
      questions.forEach(({ experiment, answered }, index) => {
        const decision = answer.decisions?.[index] ?? answer;
        if (decision.detail) warn(`${experiment}: ${decision.detail}`);
        if (may && granted && decision.receipt) keep(decision);
        answered(decision);
      });
    };
    const keep = ({ experiment, receipt, expires, decision_id: id }) => {
      const { [experiment]: known, ...others } = read().receipts;
      memory.receipts = { [experiment]: { receipt, expires, id, shown: known?.id === id && known.shown }, ...others };
      write();
    };
    // Whoever asks again before the answer is there gets the same, and so do parts of the page that are still to come.
    const ask = (experiment, about) => {
      if (!asked.has(experiment)) {
        const answer = new Promise((answered) => {
          if (waiting.push({ experiment, about, answered }) === 1) queueMicrotask(flush);
        });
        asked.set(experiment, answer);
        answer.then(() => document.readyState === "loading" || asked.delete(experiment));
      }
      return asked.get(experiment);
    };

    // Says that a decision was shown, once; if that fails, the next page that shows it says so.
    const activate = (decision) => {
      const known = () => {
        const kept = read().receipts[decision.experiment];
        return kept?.id === decision.decision_id ? kept : undefined;
      };
      if (document.prerendering) {
        return document.addEventListener("prerenderingchange", () => activate(decision), { once: true });
      }
      const kept = known();
      if (!kept || kept.shown) return;
      kept.shown = true;
      write();
      const failed = () => {
        const kept = known();
        if (kept) kept.shown = false;
        write();
      };
      post("/v1/activate", { receipt: kept.receipt }, { keepalive: true }).then(({ ok }) => ok || failed(), failed);
    };

    const decide = async (experiment, { default: payload = null, timeout: most = timeout, defer, ...about } = {}) => {
      const late = new Promise((passed) => setTimeout(passed, most, { reason: "timeout" }));
      const decision = await Promise.race([ask(experiment, about), late]);
      if (!decision.variation) {
        return { experiment, variation: null, payload, reason: decision.reason ?? "refused", activate() {} };
      }
      if (!defer) activate(decision);
      return { ...decision, payload: decision.payload ?? payload, activate: () => activate(decision) };
    };

    // An element that a visitor has seen is never changed: this is what keeps a page from flickering.
    const show = async (experiment, elements) => {
      const hidden = () => elements.every((element) => getComputedStyle(element).visibility === "hidden");
      let decision = { experiment, variation: null, payload: null, reason: "timeout", activate() {} };
      if (hidden()) decision = await decide(experiment, { defer: true });
      else warn(`${experiment} was visible before it was decided: see "No flicker" in docs/BROWSER.md`);
      const fits = decision.variation && hidden();
      for (const element of elements) {
        if (fits) fill(element, decision.payload);
        element.dataset.mabelShown = fits ? decision.variation : "";
      }
      if (!fits) return { ...decision, variation: null, payload: null, reason: decision.variation ? "timeout" : decision.reason };
      const later = elements.filter((element) => element.hasAttribute("data-mabel-when-seen"));
      if (!later.length) decision.activate();
      const watch = new IntersectionObserver((entries) => {
        if (!entries.some((entry) => entry.isIntersecting)) return;
        watch.disconnect();
        decision.activate();
      });
      for (const element of later) watch.observe(element);
      return decision;
    };
    const apply = (root = document) => {
      const groups = new Map();
      for (const element of root.querySelectorAll("[data-mabel]:not([data-mabel-shown])")) {
        const experiment = element.dataset.mabel;
        if (!taken.has(element)) groups.set(experiment, [...(groups.get(experiment) ?? []), element]);
        taken.add(element);
      }
      return Promise.all([...groups].map(([experiment, elements]) => show(experiment, elements)));
    };

    // A beacon outlives the page. Only what was shown can have led to anything.
    const convert = (goal, { value, currency, id } = {}) => {
      const shown = Object.values(read().receipts).filter((kept) => kept.shown);
      if (!shown.length) return false;
      const receipts = shown.map((kept) => kept.receipt);
      const event = { name: goal, receipts, value, currency, track_id: id === undefined ? id : `${id}` };
      const sent = attempt(() => navigator.sendBeacon(`${url}/v1/track`, JSON.stringify({ key, ...event })));
      if (!sent) post("/v1/track", event, { keepalive: true }).catch(() => warn(`${goal} could not be sent`));
      return true;
    };

    // Unless the page says, whoever agreed before still does: its visitor is kept.
    consent(given ?? Boolean(read().visitor));
    return {
      decide,
      apply,
      convert,
      consent,
      // What is known of every request; pages add to it.
      context,
      get visitor() {
        return granted ? memory.visitor : undefined;
      },
    };
  };

  window.Mabel = Mabel;
  const script = document.currentScript;
  if (script?.dataset.key === undefined) return;
  const { url, key, visitor, consent, context, timeout } = script.dataset;
  const mabel = Mabel({
    // The address before /sdk/mabel.js.
    url: url ?? new URL("..", script.src).href.slice(0, -1),
    key: key || undefined,
    visitor,
    consent: consent && consent === "true",
    context: context && (attempt(() => JSON.parse(context)) ?? warn("data-context is no JSON")),
    timeout: Number(timeout) || undefined,
  });
  // A page need not wait for this script: what it pushes to the list `mabel` before is done now, in order.
  mabel.push = (task) => {
    try {
      task(mabel);
    } catch (error) {
      reportError(error);
    }
  };
  const before = window.mabel;
  window.mabel = mabel;
  if (Array.isArray(before)) before.forEach(mabel.push);
  mabel.apply();
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", () => mabel.apply());
})();
