/** g_a, h_a and g_s in onnxruntime-web, on images of any size. */

import { checkWhole } from "./errors.js";
import { tiled } from "./tiles.js";

export const DEFAULT_MEMORY = 2 ** 30;

/**
 * @typedef {import("./tiles.js").Field} Field
 * @typedef {import("./tiles.js").Image} Image
 * @typedef {(fraction: number) => Promise<void>} Report
 *
 * The parts of onnxruntime-web that are used.
 * @typedef {object} Session
 * @property {string[]} inputNames
 * @property {string[]} outputNames
 * @property {(feeds: Record<string, any>) => Promise<Record<string, any>>} run
 *
 * @typedef {object} Runtime
 * @property {new (type: any, data: any, dims: number[]) => any} Tensor
 */

/** The networks of a model. */
export class Transforms {
  /**
   * @param {Runtime} runtime onnxruntime-web.
   * @param {Record<string, {session: Session, field: Field}>} networks by name; no "h_a" without side
   *   information.
   * @param {number} filters the larger of N and M.
   * @param {number} memory bytes that a network may take in one call, roughly.
   * @throws {import("./errors.js").RequestError} the memory is not a whole number above 0.
   */
  constructor(runtime, networks, filters, memory = DEFAULT_MEMORY) {
    checkWhole("memory", memory);
    this.runtime = runtime;
    this.networks = networks;
    this.filters = filters;
    this.memory = memory;
  }

  /** Pixels [H, W, 3] uint8 -> y [h, w, M], without gains. @param {Image} image @param {Report} report */
  analysis(image, report) {
    return this.apply("g_a", image, Math.ceil(image.height / 16), Math.ceil(image.width / 16), report);
  }

  /**
   * Maps y [h, w, M] to ẑ [h', w', N].
   * @param {Image} y @param {Report} report @returns {Promise<Image>}
   */
  async hyperAnalysis(y, report) {
    const [height, width] = [Math.ceil(y.height / 4), Math.ceil(y.width / 4)];
    if (!this.networks.h_a) return { height, width, channels: 0, values: new Float32Array(0) };
    return this.apply("h_a", y, height, width, report);
  }

  /**
   * Maps ŷ [h, w, M], with inverse gains, to pixels [height, width, 3] uint8.
   * @param {Image} y @param {number} height @param {number} width @param {Report} report
   */
  synthesis(y, height, width, report) {
    return this.apply("g_s", y, height, width, report);
  }

  /**
   * @param {string} name @param {Image} source @param {number} height @param {number} width
   * @param {Report} report
   */
  apply(name, source, height, width, report) {
    const { session, field } = this.networks[name];
    const units = Math.floor(this.memory / (field.memory * this.filters));
    return tiled(field, units, source, height, width, (tile) => this.run(session, tile), report);
  }

  /** @param {Session} session @param {Image} x @returns {Promise<Image>} */
  async run(session, x) {
    const type = x.values instanceof Uint8Array ? "uint8" : "float32";
    const input = new this.runtime.Tensor(type, x.values, [x.height, x.width, x.channels]);
    const results = await session.run({ [session.inputNames[0]]: input });
    const output = results[session.outputNames[0]];
    const [height, width, channels] = output.dims;
    return { height, width, channels, values: output.data };
  }
}
