/** h_s, g_cm and g_ep in integers, section 6 of FORMAT.md. */

import { ROWS, rounded, saturated } from "./integer_layer.js";

const SCALES = 64;

/**
 * An image of integers.
 * @typedef {object} Image16
 * @property {number} height
 * @property {number} width
 * @property {number} channels
 * @property {Int16Array} values
 *
 * @typedef {import("./model.js").Prior} Prior
 */

/** Means and table indices of positions, [positions, M]. */
export class Parameters {
  /** @param {Prior} prior @param {number} positions at most. */
  constructor(prior, positions) {
    this.prior = prior;
    this.mean = new Int16Array(positions * prior.channels);
    this.index = new Uint16Array(positions * prior.channels);
    if (prior.kind === "factorized") this.index.forEach((_, i, all) => (all[i] = i % prior.channels));
  }

  /**
   * Takes the outputs of the last layer at one position.
   * @param {import("./integer_layer.js").IntegerLayer} layer
   * @param {Int32Array | Float64Array} sums
   * @param {number} from where the sums of the position begin.
   * @param {number} o the first of its outputs.
   * @param {number} position
   */
  take(layer, sums, from, o, position) {
    const { channels, hasMeans, thresholds } = this.prior;
    const to = position * channels;
    if (hasMeans) {
      for (let c = 0; c < channels; c++)
        this.mean[to + c] = saturated(layer.output(sums[from + o + c], o + c));
      o += channels;
    }
    for (let c = 0; c < channels; c++) {
      const scale = layer.output(sums[from + o + c], o + c);
      if (thresholds) {
        const value = rounded(scale);
        let index = 0;
        while (index < thresholds.length && thresholds[index] < value) index++;
        this.index[to + c] = index;
      } else {
        this.index[to + c] = Math.min(Math.max(saturated(scale), 0), SCALES - 1);
      }
    }
  }
}

/**
 * Runs h_s.
 * @param {Prior} prior with side information.
 * @param {Image16} z ẑ.
 * @param {number} height rows of ŷ.
 * @param {number} width columns of ŷ.
 * @returns {Generator<number, {psi: Image16 | null, parameters: Parameters | null}>} yields the fraction
 *   that is done; with context there is psi, of at least height x width positions, else the parameters
 *   of all positions in raster order.
 */
export function* hyperSynthesis(prior, z, height, width) {
  let x = prior.hasMedians ? withOnes(z) : z;
  const last = prior.hyperLayers.length - 1;
  /** @type {Parameters | null} */
  let parameters = null;
  for (const [at, { layer, side, stride }] of prior.hyperLayers.entries()) {
    const reach = Math.ceil((side >> 1) / stride);
    const channels = layer.outputs / stride ** 2;
    const makesParameters = at === last && !prior.hasContext;
    if (makesParameters) parameters = new Parameters(prior, height * width);
    const next = { height: x.height * stride, width: x.width * stride, channels };
    const values = new Int16Array(makesParameters ? 0 : next.height * next.width * channels);
    const activations = new Int16Array(ROWS * layer.outputs);
    const positions = x.height * x.width;
    for (let start = 0; start < positions; start += ROWS) {
      const rows = Math.min(ROWS, positions - start);
      for (let row = 0; row < rows; row++) copyPatch(x, start + row, reach, layer.input, row * layer.stride);
      const sums = makesParameters ? layer.sums(rows) : null;
      if (!sums) layer.activate(rows, activations, 0, layer.outputs);
      for (let row = 0; row < rows; row++) {
        const i = Math.floor((start + row) / x.width);
        const j = (start + row) % x.width;
        for (let phase = 0; phase < stride ** 2; phase++) {
          const to = [stride * i + Math.floor(phase / stride), stride * j + (phase % stride)];
          if (sums && parameters) {
            if (to[0] < height && to[1] < width) {
              parameters.take(layer, sums, row * layer.width, phase * channels, to[0] * width + to[1]);
            }
          } else {
            const from = row * layer.outputs + phase * channels;
            values.set(activations.subarray(from, from + channels), (to[0] * next.width + to[1]) * channels);
          }
        }
      }
      if (start % (16 * ROWS) === 0) yield (at + start / positions) / (last + 1);
    }
    x = { ...next, values };
  }
  return { psi: parameters ? null : x, parameters };
}

/** ẑ with one more channel, which is 1 everywhere. @param {Image16} z @returns {Image16} */
function withOnes({ height, width, channels, values }) {
  const result = new Int16Array(height * width * (channels + 1)).fill(1);
  for (let i = 0; i < height * width; i++) {
    result.set(values.subarray(i * channels, (i + 1) * channels), i * (channels + 1));
  }
  return { height, width, channels: channels + 1, values: result };
}

/** Copies a position's neighbourhood, with zeros outside the image. */
function copyPatch(
  /** @type {Image16} */ { height, width, channels, values },
  /** @type {number} */ position,
  /** @type {number} */ reach,
  /** @type {Int16Array} */ target,
  /** @type {number} */ start,
) {
  const i = Math.floor(position / width);
  const j = position % width;
  const length = (2 * reach + 1) * channels;
  const [first, end] = [Math.max(0, j - reach), Math.min(width, j + reach + 1)];
  for (let row = i - reach; row <= i + reach; row++, start += length) {
    const inside = row >= 0 && row < height;
    if (!inside || end - first <= 2 * reach) target.fill(0, start, start + length);
    if (inside) {
      const from = row * width;
      target.set(
        values.subarray((from + first) * channels, (from + end) * channels),
        start + (first - j + reach) * channels,
      );
    }
  }
}

/** g_cm and g_ep on the latents that are known. */
export class Context {
  /**
   * @param {Prior} prior with context.
   * @param {Image16 | null} psi null without side information.
   * @param {number} height rows of ŷ.
   * @param {number} width columns of ŷ.
   */
  constructor(prior, psi, height, width) {
    const { channels, support } = prior;
    this.prior = prior;
    this.psi = psi;
    this.width = width;
    this.margin = support >> 1;
    this.line = (width + 2 * this.margin) * channels;
    /** ŷ / y_step with margins of zeros above and at both sides. */
    this.known = new Int16Array((height + this.margin) * this.line);
  }

  /** Where a position of ŷ begins in `known`. @param {number} position */
  at(position) {
    const row = Math.floor(position / this.width) + this.margin;
    return row * this.line + ((position % this.width) + this.margin) * this.prior.channels;
  }

  /**
   * Computes the parameters of the positions of a step.
   * @param {Int32Array} positions raster indices.
   * @param {Parameters} parameters receives them.
   */
  compute(positions, parameters) {
    const { contextLayer, parameterLayers, channels, support } = this.prior;
    if (!contextLayer) throw new Error("a prior without context has no g_cm");
    const { known, line, margin, psi } = this;
    const last = parameterLayers[parameterLayers.length - 1];
    const input = contextLayer.input;
    const first = parameterLayers[0].input;
    const psiChannels = psi ? psi.channels : 0;
    for (let start = 0; start < positions.length; start += ROWS) {
      const rows = Math.min(ROWS, positions.length - start);
      for (let row = 0; row < rows; row++) {
        const position = positions[start + row];
        const here = this.at(position);
        let to = row * contextLayer.stride;
        for (let up = margin; up >= 0; up--) {
          const from = here - up * line - margin * channels;
          const length = (up ? support : margin) * channels;
          input.set(known.subarray(from, from + length), to);
          to += length;
        }
        if (psi) {
          const i = Math.floor(position / this.width);
          const from = (i * psi.width + (position % this.width)) * psiChannels;
          first.set(psi.values.subarray(from, from + psiChannels), row * parameterLayers[0].stride);
        }
      }
      contextLayer.activate(rows, first, psiChannels, parameterLayers[0].stride);
      parameterLayers.slice(0, -1).forEach((layer, i) => {
        const next = parameterLayers[i + 1];
        layer.activate(rows, next.input, 0, next.stride);
      });
      const sums = last.sums(rows);
      for (let row = 0; row < rows; row++) parameters.take(last, sums, row * last.width, 0, start + row);
    }
  }
}
