/** The checksum of files: FarmHash's 64-bit fingerprint, section 2 of FORMAT.md. */

const K0 = 0xc3a5c85c97cb3127n;
const K1 = 0xb492b66fbe98f273n;
const K2 = 0x9ae16a3b2f90404fn;
const BLOCK = 64;

/** @param {bigint} x */
const word = (x) => BigInt.asUintN(64, x);
/** @param {bigint} x @param {bigint} n */
const rotated = (x, n) => ((x = word(x)), (x >> n) | word(x << (64n - n)));
/** @param {bigint} x */
const fold = (x) => ((x = word(x)), x ^ (x >> 47n));

/** @param {bigint} u @param {bigint} v @param {bigint} m */
function merge(u, v, m) {
  const a = fold(word(u ^ v) * m);
  return word(fold(word(v ^ a) * m) * m);
}

/**
 * The four bytes of the checksum.
 * @param {Uint8Array} bytes 16 or more.
 * @returns {Uint8Array}
 */
export function checksum(bytes) {
  const n = bytes.length;
  const view = new DataView(bytes.buffer, bytes.byteOffset, n);
  /** @param {number} i */
  const at = (i) => view.getBigUint64(i < 0 ? n + i : i, true);
  const low = Number(hash(n, at) & 0xffffffffn);
  const result = new Uint8Array(4);
  new DataView(result.buffer).setUint32(0, low, true);
  return result;
}

/** @param {number} n @param {(i: number) => bigint} at @returns {bigint} */
function hash(n, at) {
  if (n > BLOCK) return hashOfBlocks(n, at);
  const m = K2 + 2n * BigInt(n);
  if (n === 16) {
    const [a, b] = [at(0) + K2, at(-8)];
    return merge(rotated(b, 37n) * m + a, (rotated(a, 25n) + b) * m, m);
  }
  const [a, b, c, d] = [word(at(0) * (n <= 32 ? K1 : K2)), at(8), word(at(-8) * m), at(-16) * K2];
  const y = rotated(a + b, 43n) + rotated(c, 30n) + d;
  const rest = a + rotated(b + K2, 18n) + c;
  if (n <= 32) return merge(word(y), word(rest), m);
  const z = merge(word(y), word(rest), m);
  const [e, f, g] = [word(at(16) * m), at(24), word((y + at(-32)) * m)];
  const h = (z + at(-24)) * m;
  return merge(word(rotated(e + f, 43n) + rotated(g, 30n) + h), word(e + rotated(f + a, 18n) + g), m);
}

/** The hash of more than 64 bytes. @param {number} n @param {(i: number) => bigint} at */
function hashOfBlocks(n, at) {
  let x = word(81n * K2 + at(0));
  let y = word(81n * K1 + 113n);
  let z = word(fold(y * K2 + 113n) * K2);
  let [v0, v1, w0, w1] = [0n, 0n, 0n, 0n];
  /** @param {number} start @param {bigint} m @param {bigint} k */
  const step = (start, m, k) => {
    const [a, b, c, d, e, f, g, h] = [0, 8, 16, 24, 32, 40, 48, 56].map((i) => at(start + i));
    x = word(rotated(x + y + v0 + b, 37n) * m) ^ word(k * w1);
    y = word(rotated(y + v1 + g, 42n) * m + k * v0 + f);
    z = word(rotated(z + w0, 33n) * m);
    [v0, v1] = pair(a, b, c, d, v1 * m, x + w0);
    [w0, w1] = pair(e, f, g, h, z + w1, y + c);
    [x, z] = [z, x];
  };
  for (let block = 0; block < Math.ceil(n / BLOCK) - 1; block++) step(BLOCK * block, K1, 1n);
  const m = word(K1 + 2n * (z & 255n));
  w0 += BigInt((n - 1) % BLOCK);
  v0 = word(v0 + w0);
  w0 = word(w0 + v0);
  step(n - BLOCK, m, 9n); // They overlap the block before them.
  const first = merge(v0, w0, m) + fold(y) * K0 + z;
  return merge(word(first), word(merge(v1, w1, m) + x), m);
}

/**
 * @param {bigint} p @param {bigint} q @param {bigint} r @param {bigint} s @param {bigint} i
 * @param {bigint} j
 */
function pair(p, q, r, s, i, j) {
  i += p;
  j = rotated(i + j + s, 21n);
  const t = i;
  i += q + r;
  j += rotated(i, 44n);
  return [word(i + s), word(j + t)];
}
