/** Pixels <-> the bytes of a file. */

import { DEFAULT_MAX_PIXELS, checkSize, pack, unpack } from "./container.js";
import { RequestError, checkBytes, checkWhole, shown } from "./errors.js";
import { decode, encode } from "./latents.js";
import { DEFAULT_QUALITY, ONE_RATE, checkQuality, checkTarget, gains, searchBytes } from "./quality.js";

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
   * @throws {RequestError} the limit is not a whole number, or gains are missing or superfluous.
   */
  constructor(prior, fingerprint, dial, transforms, maxPixels = DEFAULT_MAX_PIXELS) {
    checkWhole("limit of pixels", maxPixels);
    if (Boolean(dial) !== Boolean(prior.lambdas)) {
      throw new RequestError(dial ? "This model has no gains." : "This model needs its gains.");
    }
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
   * @throws {RequestError} the file is not a Uint8Array.
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
   * @throws {RequestError} the image or the request is not valid, the image is too large, or the bytes are
   *   too few.
   */
  async compress(image, request = {}, report = silent) {
    checkImage(image);
    const quality = this.checked(request);
    const { height, width } = image;
    if (height * width > this.maxPixels) {
      const limit = `this page encodes up to ${Math.floor(this.maxPixels / 1e6)} million pixels`;
      throw new RequestError(`The picture is too large: ${width}×${height}; ${limit}.`);
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
    return request.bytes == null ? attempt(quality) : searchBytes(request.bytes, attempt);
  }

  /**
   * Checks a request, and returns the quality without a target; null for models for one rate.
   * @param {{quality?: number, bytes?: number}} request @returns {number | null}
   */
  checked(request) {
    if (typeof request !== "object" || request === null) {
      throw new RequestError(`A request is an object such as {quality: 50}, not ${shown(request)}.`);
    }
    const unknown = Object.keys(request).find((name) => !["quality", "bytes"].includes(name));
    if (unknown !== undefined) {
      throw new RequestError(`There is no request ${shown(unknown)}: give quality or bytes.`);
    }
    const { quality = null, bytes = null } = request;
    if (!this.dial) {
      if (quality !== null || bytes !== null) throw new RequestError(ONE_RATE);
      return null;
    }
    if (quality !== null && bytes !== null) throw new RequestError("Give either quality or bytes.");
    if (bytes !== null) checkTarget(bytes);
    if (quality !== null) checkQuality(quality);
    return quality ?? DEFAULT_QUALITY;
  }

  /** @param {"log_gain" | "log_inverse"} name @param {number | null} quality */
  gains(name, quality) {
    if (!this.dial || !this.prior.lambdas || quality === null) return null;
    return gains(this.prior.lambdas, this.dial[name], quality);
  }
}

/**
 * Checks an image of a caller.
 * @param {any} image
 * @throws {RequestError} its sizes do not exist, or its values are not as many bytes.
 */
function checkImage(image) {
  if (typeof image !== "object" || image === null) {
    throw new RequestError(`An image has height, width, channels and values; this is ${shown(image)}.`);
  }
  const { height, width, channels, values } = image;
  checkSize(height, width);
  if (channels !== 3) throw new RequestError(`An image must have 3 channels, not ${shown(channels)}.`);
  checkBytes(`values of an image of ${width}×${height} pixels`, values, 3 * height * width);
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
