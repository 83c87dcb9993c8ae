/**
 * The range coder, section 4 of FORMAT.md. All products have at most 48 bits, so that numbers, which
 * hold 53, are exact.
 */

const WORD = 2 ** 16;
const WHOLE = 2 ** 32;
const ESCAPE_OFFSET = 2 ** 15;
const BYTES = Int32Array.from({ length: 257 }, (_, i) => 256 * i);

/**
 * Cumulative distributions, one behind the other.
 * @typedef {object} Tables
 * @property {Int32Array} cdf 0, c_1, …, 65536 of each table.
 * @property {Int32Array} first where each table begins in `cdf`.
 * @property {Int32Array} offset the value of each table's symbol 0.
 * @property {Int32Array} escape the last symbol of each table.
 * @property {Float32Array} bits of the symbol at each place of `cdf`, with the two bytes behind an escape.
 */

/**
 * Reads the arrays of a model's tables.
 * @param {ArrayLike<number>} cdf with the precision, 16, in front of each table.
 * @param {Int32Array} offset
 * @param {Int32Array} escape
 * @returns {Tables}
 */
export function readTables(cdf, offset, escape) {
  const first = new Int32Array(offset.length);
  let at = 0;
  escape.forEach((last, table) => {
    first[table] = at + 1;
    at += last + 3;
    if (cdf[first[table] - 1] !== 16 || cdf[first[table]] !== 0 || cdf[at - 1] !== WORD) {
      throw new Error(`table ${table} of the model is not as FORMAT.md specifies`);
    }
  });
  if (at !== cdf.length) throw new Error("there is more behind the last table of the model");
  const bits = Float32Array.from(cdf, (begin, i) => 16 - Math.log2(Math.max(1, cdf[i + 1] - begin)));
  escape.forEach((last, table) => (bits[first[table] + last] += 16));
  return { cdf: Int32Array.from(cdf), first, offset, escape, bits };
}

/** A decoder of any bytes; zeros follow the last one. */
export class Decoder {
  /** @param {Uint8Array} payload */
  constructor(payload) {
    this.payload = payload;
    this.taken = 0;
    this.base = 0;
    this.size = WHOLE;
    this.value = this.word() * WORD + this.word();
  }

  word() {
    const high = this.payload[this.taken] ?? 0;
    const low = this.payload[this.taken + 1] ?? 0;
    this.taken += 2;
    return high * 256 + low;
  }

  /**
   * The next symbol.
   * @param {Int32Array} cdf
   * @param {number} first where the table begins in `cdf`.
   * @param {number} last its last symbol.
   */
  symbol(cdf, first, last) {
    const size = this.size;
    const offset = (this.value - this.base + WHOLE) % WHOLE;
    // floor(size c / 2^16) <= offset is the same as c <= this bound; no such quotient rounds up.
    const bound = Math.floor(((offset + 1) * WORD - 1) / size);
    let low = first;
    let high = first + last + 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (cdf[middle] <= bound) low = middle;
      else high = middle;
    }
    const begin = Math.floor((size * cdf[low]) / WORD);
    this.base += begin;
    if (this.base >= WHOLE) this.base -= WHOLE;
    this.size = Math.floor((size * cdf[high]) / WORD) - begin;
    if (this.size <= WORD) {
      this.size *= WORD;
      this.base = (this.base % WORD) * WORD;
      this.value = (this.value % WORD) * WORD + this.word();
    }
    return low - first;
  }

  /**
   * Decodes a run of values.
   * @param {Tables} tables
   * @param {ArrayLike<number>} index the table of each value.
   * @param {number} add is added to each index.
   * @param {number} count values of the run.
   * @param {Int32Array} values receives the values.
   * @param {Float64Array | null} sums if given, the bits of the values of each position are added.
   * @param {number} channels values of a position.
   */
  run(tables, index, add, count, values, sums = null, channels = 1) {
    const { cdf, first, offset, escape, bits } = tables;
    const escaped = [];
    for (let i = 0; i < count; i++) {
      const table = index[i] + add;
      const symbol = this.symbol(cdf, first[table], escape[table]);
      values[i] = symbol + offset[table];
      if (symbol === escape[table]) escaped.push(i);
      if (sums) sums[(i / channels) | 0] += bits[first[table] + symbol];
    }
    for (const i of escaped) {
      const high = this.symbol(BYTES, 0, 255);
      values[i] = 256 * high + this.symbol(BYTES, 0, 255) - ESCAPE_OFFSET;
    }
  }

  /** Whether the payload ends where an encoder of these symbols would have ended it. */
  isAtEnd() {
    return this.taken >= this.payload.length && this.value === lastNumber(this.base, this.size)[0];
  }
}

/** An encoder, which writes the bytes that FORMAT.md describes. */
export class Encoder {
  constructor() {
    this.low = 0; // May be 2^32 or more, until the carry is added to the words.
    this.size = WHOLE;
    this.words = new Uint32Array(4096); // 16 bits each, or a carry more.
    this.length = 0;
  }

  /** Encodes the interval [first, last) of 2^16. @param {number} first @param {number} last */
  interval(first, last) {
    const begin = Math.floor((this.size * first) / WORD);
    this.size = Math.floor((this.size * last) / WORD) - begin;
    this.low += begin;
    if (this.size <= WORD) {
      if (this.length === this.words.length) {
        const longer = new Uint32Array(2 * this.length);
        longer.set(this.words);
        this.words = longer;
      }
      this.words[this.length++] = Math.floor(this.low / WORD);
      this.low = (this.low % WORD) * WORD;
      this.size *= WORD;
    }
  }

  /**
   * Encodes a run of values, -32767 to 32767; arguments as in `Decoder.run`.
   * @param {Tables} tables
   * @param {ArrayLike<number>} index
   * @param {number} add
   * @param {number} count
   * @param {Int32Array} values
   * @param {Float64Array | null} sums
   * @param {number} channels
   */
  run(tables, index, add, count, values, sums = null, channels = 1) {
    const { cdf, first, offset, escape, bits } = tables;
    const escaped = [];
    for (let i = 0; i < count; i++) {
      const table = index[i] + add;
      let symbol = values[i] - offset[table];
      if (symbol < 0 || symbol >= escape[table]) {
        symbol = escape[table];
        escaped.push(values[i] + ESCAPE_OFFSET);
      }
      const at = first[table] + symbol;
      this.interval(cdf[at], cdf[at + 1]);
      if (sums) sums[(i / channels) | 0] += bits[at];
    }
    for (const value of escaped) {
      const [high, low] = [value >> 8, value & 255];
      this.interval(BYTES[high], BYTES[high + 1]);
      this.interval(BYTES[low], BYTES[low + 1]);
    }
  }

  /** The payload. */
  finish() {
    let carry = Math.floor(this.low / WHOLE);
    const low = this.low % WHOLE;
    const ends = low + this.size > WHOLE; // The last number is 2^32, whose low bytes are zeros.
    if (ends) carry += 1;
    const [value, length] = ends ? [0, 0] : lastNumber(low, this.size);
    const bytes = new Uint8Array(2 * this.length + length);
    for (let i = this.length - 1; i >= 0; i--) {
      const sum = this.words[i] + carry;
      carry = Math.floor(sum / WORD);
      bytes[2 * i] = (sum >> 8) & 255;
      bytes[2 * i + 1] = sum & 255;
    }
    for (let i = 0; i < length; i++) bytes[2 * this.length + i] = Math.floor(value / 2 ** (24 - 8 * i)) & 255;
    let end = bytes.length;
    if (ends) while (end && !bytes[end - 1]) end--;
    return bytes.slice(0, end);
  }
}

/**
 * The last number of an encoder, modulo 2^32, and the bytes of it that are written.
 * @param {number} low
 * @param {number} size
 * @returns {[number, number]}
 */
function lastNumber(low, size) {
  if (low === 0 || low + size > WHOLE) return [0, 0];
  const last = low + size - 1;
  const unit = Math.floor((low - 1) / 2 ** 24) < Math.floor(last / 2 ** 24) ? 2 ** 24 : 2 ** 16;
  return [Math.ceil(low / unit) * unit, unit === 2 ** 24 ? 1 : 2];
}
