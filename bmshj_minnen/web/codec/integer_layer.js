/**
 * Integer layers, section 6 of FORMAT.md. Sums of products are computed in WebAssembly, where weights
 * and activations have 16 bits, as far as they fit 32 bits; else in numbers, which hold 53 bits.
 */

const ROW_BLOCK = 4; // The blocks of products.wat.
const OUTPUT_BLOCK = 2;
const INPUT_BLOCK = 8;
const PAGE = 2 ** 16;
const ROUND = 1.5 * 2 ** 52; // Adding and subtracting it rounds to the nearest integer, ties to even.
const LIMIT = 2 ** 50; // Beyond it all outputs saturate.

/** Positions that a layer takes at once, at most. */
export const ROWS = 64;

/** @param {number} n @param {number} unit */
const roundedUp = (n, unit) => Math.ceil(n / unit) * unit;

/**
 * The nearest integer, ties to the even one.
 * @param {number} x
 */
export const rounded = (x) => (x > LIMIT ? LIMIT : x < -LIMIT ? -LIMIT : x + ROUND - ROUND);

/**
 * Rounds, then saturates to 16 bits.
 * @param {number} x
 */
export const saturated = (x) => (x >= 32767 ? 32767 : x <= -32768 ? -32768 : x + ROUND - ROUND);

/** Memory of the layers of one model, and the function of products.wat in it. */
export class Workspace {
  /** @param {WebAssembly.Module} module of products.wasm. */
  constructor(module) {
    this.memory = new WebAssembly.Memory({ initial: 1 });
    const instance = new WebAssembly.Instance(module, { codec: { memory: this.memory } });
    /** @type {(x: number, w: number, y: number, rows: number, outputs: number, bytes: number) => void} */
    this.products = /** @type {any} */ (instance.exports.products);
    this.used = 0;
  }

  /** Reserves bytes and returns where they begin. @param {number} bytes */
  reserve(bytes) {
    const start = this.used;
    this.used = roundedUp(start + bytes, 16);
    const missing = this.used - this.memory.buffer.byteLength;
    if (missing > 0) this.memory.grow(Math.ceil(missing / PAGE));
    return start;
  }
}

/** One layer: rows of 16-bit integers -> rows of outputs. */
export class IntegerLayer {
  /**
   * @param {Workspace} workspace
   * @param {number} inputs
   * @param {number} outputs
   * @param {ArrayLike<number>} weights [inputs, outputs] integers.
   * @param {ArrayLike<number>} bias [outputs] integers.
   * @param {ArrayLike<number>} scale [outputs] powers of two.
   * @param {number} slope of negative sums, in 1/256.
   */
  constructor(workspace, inputs, outputs, weights, bias, scale, slope) {
    this.inputs = inputs;
    this.outputs = outputs;
    this.bias = Float64Array.from(bias);
    this.scale = Float64Array.from(scale);
    this.slope = slope / 256;
    /** Numbers from one row of inputs to the next. */
    this.stride = roundedUp(inputs, INPUT_BLOCK);
    this.width = roundedUp(outputs, OUTPUT_BLOCK);
    this.workspace = workspace;
    this.x = workspace.reserve(2 * ROWS * this.stride);
    this.y = workspace.reserve(4 * ROWS * this.width);
    /** @type {Float64Array | null} */
    this.wide = isNarrow(weights, inputs, outputs) ? null : Float64Array.from(weights);
    this.w = 0;
    if (!this.wide) {
      this.w = workspace.reserve(2 * this.width * this.stride);
      const transposed = new Int16Array(workspace.memory.buffer, this.w, this.width * this.stride);
      for (let i = 0; i < inputs; i++) {
        for (let o = 0; o < outputs; o++) transposed[o * this.stride + i] = weights[i * outputs + o];
      }
    }
  }

  /** The rows of inputs, [ROWS, stride]; get it anew when another layer has been made. */
  get input() {
    return new Int16Array(this.workspace.memory.buffer, this.x, ROWS * this.stride);
  }

  /**
   * Sums of products of the first rows of `input`, without biases: [rows, width].
   * @param {number} rows 1 to ROWS.
   * @returns {Int32Array | Float64Array}
   */
  sums(rows) {
    if (this.wide) return this.wideSums(rows, this.wide);
    const { products, memory } = this.workspace;
    products(this.x, this.w, this.y, roundedUp(rows, ROW_BLOCK), this.width, 2 * this.stride);
    return new Int32Array(memory.buffer, this.y, rows * this.width);
  }

  /** @param {number} rows @param {Float64Array} weights */
  wideSums(rows, weights) {
    const { input, inputs, outputs, stride, width } = this;
    const result = new Float64Array(rows * width);
    for (let row = 0; row < rows; row++) {
      for (let i = 0; i < inputs; i++) {
        const x = input[row * stride + i];
        if (!x) continue;
        for (let o = 0; o < outputs; o++) result[row * width + o] += x * weights[i * outputs + o];
      }
    }
    return result;
  }

  /** The output of a sum, not yet rounded. @param {number} products @param {number} o */
  output(products, o) {
    const sum = products + this.bias[o];
    const out = sum * this.scale[o];
    return sum < 0 ? out * this.slope : out;
  }

  /**
   * Computes activations: rounded and saturated outputs.
   * @param {number} rows 1 to ROWS.
   * @param {Int16Array} target
   * @param {number} start where the activations of the first row begin.
   * @param {number} stride from one row to the next.
   */
  activate(rows, target, start, stride) {
    const { outputs, width, bias, scale, slope } = this;
    const sums = this.sums(rows);
    for (let row = 0; row < rows; row++) {
      const from = row * width;
      const to = start + row * stride;
      for (let o = 0; o < outputs; o++) {
        const sum = sums[from + o] + bias[o];
        const out = sum * scale[o];
        target[to + o] = saturated(sum < 0 ? out * slope : out);
      }
    }
  }
}

/**
 * Whether weights have 16 bits, and no sum of products leaves 32 bits, whatever the inputs are. The sum of
 * -32768 times weights of -65536 in all would: it is 2^31.
 * @param {ArrayLike<number>} weights @param {number} inputs @param {number} outputs
 */
function isNarrow(weights, inputs, outputs) {
  const totals = new Float64Array(outputs);
  const negative = new Float64Array(outputs);
  for (let i = 0; i < inputs * outputs; i++) {
    const weight = weights[i];
    if (Math.abs(weight) > 32767) return false;
    totals[i % outputs] += Math.abs(weight);
    if (weight < 0) negative[i % outputs] -= weight;
  }
  return totals.every((total, o) => total <= 65536 && negative[o] < 65536);
}
