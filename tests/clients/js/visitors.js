// What the programs of this directory share: seeded visitors, and what was seen of them.

/** Uniform numbers from 0 to 1 by a seed: the generator mulberry32. */
export function uniforms(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** By flag: how often each variant was read and how often it led to a conversion, outside the control group and within. */
export class Seen {
  flags = {};

  read(details) {
    const { shown, control } = this.#of(details);
    if (details.flagMetadata.control) control.shown += 1;
    else shown[details.variant] = (shown[details.variant] ?? 0) + 1;
  }

  converted(details) {
    const { conversions, control } = this.#of(details);
    if (details.flagMetadata.control) control.conversions += 1;
    else conversions[details.variant] = (conversions[details.variant] ?? 0) + 1;
  }

  #of({ flagKey, variant, errorCode, errorMessage, flagMetadata }) {
    if (errorCode || !variant || typeof flagMetadata.control !== 'boolean') {
      throw new Error(`${flagKey} was not evaluated: ${errorCode} ${errorMessage} ${JSON.stringify(flagMetadata)}`);
    }
    return (this.flags[flagKey] ??= { shown: {}, conversions: {}, control: { shown: 0, conversions: 0 } });
  }
}
