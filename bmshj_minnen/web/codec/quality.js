/** Qualities of models for many rates: their bytes, λ, gains, and the search for a size. */

import { RequestError, shown } from "./errors.js";

export const DEFAULT_QUALITY = 50;
export const ONE_RATE = "This model has one rate: leave quality and bytes out.";
/** All qualities: 1, 1½, … 100. */
export const QUALITIES = Array.from({ length: 199 }, (_, i) => 1 + i / 2);
const HALF = 99.5; // The byte of a half quality less the quality.

/** The quality of a byte, or null. @param {number} byte */
export function qualityOfByte(byte) {
  if (byte >= 1 && byte <= 100) return byte;
  return byte >= 101 && byte <= 199 ? byte - HALF : null;
}

/**
 * Checks a quality.
 * @param {any} quality
 * @throws {RequestError} it is not one of `QUALITIES`.
 */
export function checkQuality(quality) {
  if (QUALITIES.includes(quality)) return;
  throw new RequestError(`The quality must be 1 to 100, whole or with a half, not ${shown(quality)}.`);
}

/** The byte of a quality. @param {number} quality @throws {RequestError} it is not one of `QUALITIES`. */
export function byteOfQuality(quality) {
  checkQuality(quality);
  return Number.isInteger(quality) ? quality : quality + HALF;
}

/**
 * The factors of the channels at a quality: section 7 of FORMAT.md.
 * @param {number[]} lambdas λ at which gains are known, increasing.
 * @param {number[][]} logs natural logarithms of the gains, [λ][channel].
 * @param {number} quality
 * @returns {Float32Array} [channels]
 */
export function gains(lambdas, logs, quality) {
  const knots = lambdas.map(Math.log);
  const last = knots.length - 1;
  const at = knots[0] + ((knots[last] - knots[0]) * (quality - 1)) / 99;
  let below = 0;
  while (below < last - 1 && knots[below + 1] <= at) below++;
  const share = Math.min(1, Math.max(0, (at - knots[below]) / (knots[below + 1] - knots[below])));
  const upper = logs[below + 1];
  return Float32Array.from(logs[below], (low, c) => Math.exp(low + share * (upper[c] - low)));
}

/**
 * The highest quality whose file has at most some bytes. Bytes grow with the quality.
 * @template {{bytes: Uint8Array}} Trial
 * @param {number} bytes
 * @param {(quality: number) => Promise<Trial>} attempt is called once for a quality at most.
 * @returns {Promise<Trial>}
 */
export async function searchBytes(bytes, attempt) {
  checkTarget(bytes);
  const step = 0.0105; // Growth of the logarithm of the bytes from one quality to the next, roughly.
  const goal = Math.log(bytes);
  let [low, high] = [-1, QUALITIES.length];
  /** @type {Trial | null} */
  let best = null;
  /** @type {number | null} */
  let logLow = null;
  /** @type {number | null} */
  let logHigh = null;
  for (let trials = 0; high - low > 1; trials++) {
    let index = (low + high) >> 1;
    if (trials < 6 && logLow !== null && logHigh !== null) {
      index = low + Math.floor(((goal - logLow) * (high - low)) / Math.max(logHigh - logLow, 1e-9));
    } else if (trials && trials < 6) {
      index = Math.floor(
        logLow !== null ? low + (goal - logLow) / step : high + (goal - (logHigh ?? 0)) / step,
      );
    }
    index = Math.min(Math.max(index, low + 1), high - 1);
    const trial = await attempt(QUALITIES[index]);
    const log = Math.log(trial.bytes.length);
    if (trial.bytes.length <= bytes) [low, logLow, best] = [index, log, trial];
    else [high, logHigh] = [index, log];
  }
  if (best) return best;
  const least = Math.round(Math.exp(logHigh ?? 0));
  throw new RequestError(
    `${kilobytes(bytes)} are too few for this picture: the lowest quality takes ${kilobytes(least)}.`,
  );
}

/**
 * Checks the most bytes of a file.
 * @param {any} bytes
 * @throws {RequestError} they are not a number, not above 0, or not finite.
 */
export function checkTarget(bytes) {
  if (!Number.isFinite(bytes)) {
    throw new RequestError(`The bytes of a file must be a number above 0, not ${shown(bytes)}.`);
  }
  if (bytes <= 0) throw new RequestError(`A file cannot have ${kilobytes(bytes)}.`);
}

/** @param {number} bytes */
export const kilobytes = (bytes) => `${(bytes / 1000).toFixed(bytes < 100000 ? 2 : 0)} kB`;
