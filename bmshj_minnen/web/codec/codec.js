/** Pixels <-> the bytes of a file. */

import { DEFAULT_MAX_PIXELS, pack, unpack } from "./container.js";
import { RequestError } from "./errors.js";
import { decode, encode } from "./latents.js";
import { DEFAULT_QUALITY, gains, kilobytes, searchBytes } from "./quality.js";

// Approximate shares of the time.
const ANALYSIS_SHARE = 0.6;
const ENTROPY_DECODING_SHARE = 0.4;

/**
 * @typedef {import("./model.js").Prior} Prior
 * @typedef {import("./latents.js").Latents} Latents
 * @typedef {import("./tiles.js").Image} Image
 * @typedef {import("./transforms.js").Report} Report
 *
 * @typedef {object} Encoded
 * @property {Uint8Array} bytes the file.
 * @property {number | null} quality null for models for one rate.
 * @property {Latents} latents
 *
 * @typedef {object} Decoded
 * @property {Image} image [height, width, 3] uint8.
 * @property {number | null} quality
 * @property {Latents} latents
 */

const silent = async () => {};

/** Compresses and decompresses with one model. */
export class Codec {
  /**
   * @param {Prior} prior
   * @param {string} fingerprint of the model, hexadecimal.
   * @param {{log_gain: number[][], log_inverse: number[][]} | null} dial logarithms of the gains at the
   *   prior's λ; null for models for one rate.
   * @param {import("./transforms.js").Transforms} transforms
   * @param {number} maxPixels the largest image, in pixels.
   */
  constructor(prior, fingerprint, dial, transforms, maxPixels = DEFAULT_MAX_PIXELS) {
    this.prior = prior;
    this.identity = { version: prior.version, fingerprint };
    this.dial = dial;
    this.transforms = transforms;
    this.maxPixels = maxPixels;
  }

  /**
   * Decompresses a file.
   * @param {Uint8Array} file
   * @param {Report} report is called with the fraction that is done; may throw to end the work.
   * @returns {Promise<Decoded>}
   * @throws {import("./errors.js").FormatError} the file is refused.
   */
  async decompress(file, report = silent) {
    const { prior } = this;
    const { height, width, quality, payload } = unpack(file, this.identity, this.maxPixels);
    const [rows, columns] = [Math.ceil(height / 16), Math.ceil(width / 16)];
    const work = decode(prior, payload, rows, columns);
    const latents = await finished(work, part(report, 0, ENTROPY_DECODING_SHARE));
    const values = new Float32Array(latents.y.length);
    const inverse = this.gains("log_inverse", quality);
    for (let i = 0; i < values.length; i++) values[i] = latents.y[i] * prior.step;
    scale(values, inverse);
    const y = { height: rows, width: columns, channels: prior.channels, values };
    const image = await this.transforms.synthesis(y, height, width, part(report, ENTROPY_DECODING_SHARE, 1));
    return { image, quality, latents };
  }

  /**
   * Compresses an image.
   * @param {Image} image [height, width, 3] uint8.
   * @param {{quality?: number, bytes?: number}} request a quality, 1 to 100 in halves, or the most bytes of
   *   the file, for models for many rates.
   * @param {Report} report as in `decompress`.
   * @returns {Promise<Encoded>}
   * @throws {RequestError} the image is too large, or the bytes are too few.
   */
  async compress(image, request = {}, report = silent) {
    const { height, width } = image;
    if (height * width > this.maxPixels) {
      const limit = `this page encodes up to ${Math.floor(this.maxPixels / 1e6)} million pixels`;
      throw new RequestError(`The picture is too large: ${width}×${height}; ${limit}.`);
    }
    if (request.bytes !== undefined && !(request.bytes > 0)) {
      throw new RequestError(`A file cannot have ${kilobytes(request.bytes)}.`);
    }
    const y = await this.transforms.analysis(image, part(report, 0, ANALYSIS_SHARE));
    const rest = part(report, ANALYSIS_SHARE, 1);
    /** @param {number | null} quality @returns {Promise<Encoded>} */
    const attempt = async (quality) => {
      const scaled = { ...y, values: Float32Array.from(/** @type {Float32Array} */ (y.values)) };
      scale(scaled.values, this.gains("log_gain", quality));
      const z = await this.transforms.hyperAnalysis(scaled, silent);
      const work = encode(this.prior, scaled.values, Int32Array.from(z.values), y.height, y.width);
      const { payload, latents } = await finished(work, rest);
      return { bytes: pack(this.identity, height, width, quality, payload), quality, latents };
    };
    if (!this.dial) return attempt(null);
    if (request.bytes === undefined) return attempt(request.quality ?? DEFAULT_QUALITY);
    return searchBytes(request.bytes, attempt);
  }

  /** @param {"log_gain" | "log_inverse"} name @param {number | null} quality */
  gains(name, quality) {
    if (!this.dial || !this.prior.lambdas || quality === null) return null;
    return gains(this.prior.lambdas, this.dial[name], quality);
  }
}

/** Multiplies channels. @param {Float32Array} values @param {Float32Array | null} factors */
function scale(values, factors) {
  if (!factors) return;
  for (let i = 0; i < values.length;) {
    for (let c = 0; c < factors.length; c++, i++) values[i] *= factors[c];
  }
}

/**
 * Reports a part of the whole.
 * @param {Report} report @param {number} from @param {number} to @returns {Report}
 */
const part = (report, from, to) => (fraction) => report(from + (to - from) * fraction);

/**
 * Runs a generator to its end.
 * @template Result
 * @param {Generator<number, Result>} work @param {Report} report @returns {Promise<Result>}
 */
async function finished(work, report) {
  for (;;) {
    const { done, value } = work.next();
    if (done) return value;
    await report(value);
  }
}
