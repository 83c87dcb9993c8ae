/** ẑ and ŷ <-> the payload of a file, sections 5 and 6 of FORMAT.md. */

import { FormatError, RequestError } from "./errors.js";
import { rounded } from "./integer_layer.js";
import { Context, Parameters, hyperSynthesis } from "./networks.js";
import { steps } from "./order.js";
import { Decoder, Encoder } from "./range_coder.js";

const MAX_VALUE = 32767;
const HYPER_SHARE = 0.3; // The share of h_s in the time.

/**
 * @typedef {import("./model.js").Prior} Prior
 *
 * @typedef {object} Latents
 * @property {Int16Array} y ŷ / y_step, [height, width, M].
 * @property {Int32Array} z ẑ, [ceil(height / 4), ceil(width / 4), N].
 * @property {Float64Array} bits of ŷ at each position, [height, width].
 */

/** @param {number} x */
const clipped = (x) => (x > 32767 ? 32767 : x < -32768 ? -32768 : x);

/**
 * Decodes a payload.
 * @param {Prior} prior
 * @param {Uint8Array} payload
 * @param {number} height rows of ŷ.
 * @param {number} width columns of ŷ.
 * @returns {Generator<number, Latents>} yields the fraction that is done.
 * @throws {FormatError} the payload does not end where it should.
 */
export function* decode(prior, payload, height, width) {
  const coder = new Decoder(payload);
  const z = new Int32Array(hyperSize(prior, height, width));
  coder.run(prior.tables, channelsOf(z, prior.hyperChannels), 0, z.length, z);
  const latents = yield* scan(prior, z, height, width, (count, parameters, add, positions, values, bits) => {
    coder.run(prior.tables, parameters.index, add, count, values, bits, prior.channels);
  });
  if (!coder.isAtEnd()) {
    throw new FormatError("payload_end", "The file is damaged: its content does not end where it should.");
  }
  return latents;
}

/**
 * Encodes latents.
 * @param {Prior} prior
 * @param {Float32Array} y [height, width, M].
 * @param {Int32Array} z ẑ, [ceil(height / 4), ceil(width / 4), N], -32767 to 32767.
 * @param {number} height rows of y.
 * @param {number} width columns of y.
 * @returns {Generator<number, {payload: Uint8Array, latents: Latents}>} yields the fraction that is done.
 * @throws {RequestError} y or ẑ has another length.
 */
export function* encode(prior, y, z, height, width) {
  checkLength("y", y, height * width * prior.channels);
  checkLength("ẑ", z, hyperSize(prior, height, width));
  const coder = new Encoder();
  const { channels, step, unit } = prior;
  coder.run(prior.tables, channelsOf(z, prior.hyperChannels), 0, z.length, z);
  const latents = yield* scan(prior, z, height, width, (count, parameters, add, positions, values, bits) => {
    for (let i = 0; i < positions.length; i++) {
      const from = positions[i] * channels;
      for (let c = 0; c < channels; c++) {
        const exact = clipped(rounded(y[from + c] / step));
        const value = rounded((exact - parameters.mean[i * channels + c]) / unit);
        values[i * channels + c] = Math.min(Math.max(value, -MAX_VALUE), MAX_VALUE);
      }
    }
    coder.run(prior.tables, parameters.index, add, count, values, bits, channels);
  });
  return { payload: coder.finish(), latents };
}

/** @param {string} name @param {Float32Array | Int32Array} values @param {number} length */
function checkLength(name, values, length) {
  if (values.length !== length) {
    throw new RequestError(`${name} must have ${length} values, not ${values.length}.`);
  }
}

/** @param {Prior} prior @param {number} height @param {number} width */
function hyperSize(prior, height, width) {
  return Math.ceil(height / 4) * Math.ceil(width / 4) * prior.hyperChannels;
}

/** The channel of each value of ẑ, which is its table. @param {Int32Array} z @param {number} channels */
const channelsOf = (z, channels) => Int32Array.from(z, (_, i) => i % channels);

/**
 * The only loop over positions, for both directions.
 * @param {Prior} prior
 * @param {Int32Array} z
 * @param {number} height
 * @param {number} width
 * @param {(count: number, parameters: Parameters, add: number, positions: Int32Array, values: Int32Array,
 *   bits: Float64Array) => void} code codes the values of a step, as differences from the means.
 * @returns {Generator<number, Latents>}
 */
function* scan(prior, z, height, width, code) {
  const { channels, hasContext, hasSideInformation, hyperChannels, unit } = prior;
  let hyper = null;
  if (hasSideInformation) {
    const image = { height: Math.ceil(height / 4), width: Math.ceil(width / 4), channels: hyperChannels };
    const work = hyperSynthesis(prior, { ...image, values: Int16Array.from(z) }, height, width);
    for (;;) {
      const { done, value } = work.next();
      if (done) {
        hyper = value;
        break;
      }
      yield HYPER_SHARE * value;
    }
  }
  const context = hasContext ? new Context(prior, hyper?.psi ?? null, height, width) : null;
  const all = [...steps(prior.support, height, width)];
  const most = all.reduce((length, step) => Math.max(length, step.length), 0);
  const parameters = new Parameters(prior, most);
  const values = new Int32Array(most * channels);
  const stepBits = new Float64Array(most);
  const y = new Int16Array(height * width * channels);
  const bits = new Float64Array(height * width);
  let done = 0;
  for (const positions of all) {
    const count = positions.length * channels;
    if (context) context.compute(positions, parameters);
    else if (hyper?.parameters) {
      const [from, to] = [done * channels, done * channels + count];
      parameters.mean.set(hyper.parameters.mean.subarray(from, to));
      parameters.index.set(hyper.parameters.index.subarray(from, to));
    }
    stepBits.fill(0);
    code(count, parameters, hyperChannels, positions, values, stepBits);
    for (let i = 0; i < positions.length; i++) {
      const to = positions[i] * channels;
      for (let c = 0; c < channels; c++) {
        y[to + c] = clipped(parameters.mean[i * channels + c] + values[i * channels + c] * unit);
      }
      bits[positions[i]] = stepBits[i];
      if (context) context.known.set(y.subarray(to, to + channels), context.at(positions[i]));
    }
    done += positions.length;
    yield HYPER_SHARE + ((1 - HYPER_SHARE) * done) / (height * width);
  }
  return { y, z, bits };
}
