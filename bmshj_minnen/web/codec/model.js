/** The model: its configuration, integer networks and tables, section 3 of FORMAT.md. */

import { IntegerLayer, Workspace } from "./integer_layer.js";
import { readNpz } from "./npz.js";
import { readTables } from "./range_coder.js";

const WITH_SIDE_INFORMATION = ["scale_hyperprior", "mean_scale_hyperprior", "joint"];
const WITH_CONTEXT = ["autoregressive", "joint"];
const WITH_MEANS = ["mean_scale_hyperprior", "autoregressive", "joint"];
const PRIORS = ["factorized", ...WITH_SIDE_INFORMATION, "autoregressive"];
const HYPER_LAYERS = [5, 2, 5, 2, 3, 1]; // Side of the kernel and stride of each.

/** @typedef {import("./npz.js").NamedArray} NamedArray */

/** The part of a model that decodes ẑ and ŷ. */
export class Prior {
  /**
   * @param {Map<string, NamedArray>} arrays of `coder.npz`.
   * @param {WebAssembly.Module} products of products.wasm.
   */
  constructor(arrays, products) {
    const config = JSON.parse(array(arrays, "config").text);
    if (!PRIORS.includes(config.prior) || (config.networks ?? "paper") !== "paper") {
      throw new Error(`no prior ${config.prior} with networks ${config.networks ?? "paper"} is known`);
    }
    /** @type {string} */
    this.kind = config.prior;
    this.hasSideInformation = WITH_SIDE_INFORMATION.includes(config.prior);
    this.hasContext = WITH_CONTEXT.includes(config.prior);
    this.hasMeans = WITH_MEANS.includes(config.prior);
    /** N; 0 without side information. @type {number} */
    this.hyperChannels = this.hasSideInformation ? config.num_filters : 0;
    /** M. @type {number} */
    this.channels = config.latent_channels;
    /** Side of the causal kernel; 0 without context. @type {number} */
    this.support = this.hasContext ? (config.context_support ?? 5) : 0;
    this.hasMedians = Boolean(config.medians);
    /** @type {number[] | null} */
    this.lambdas = config.gain_lambdas ?? null;
    /** The format version of the model's files. */
    this.version = this.lambdas ? 2 : 1;
    /** ŷ and means are multiples of it. */
    this.step = array(arrays, "y_step").values[0];
    this.unit = Math.round(1 / this.step);
    this.thresholds = config.scale_output === "scale" ? array(arrays, "thresholds").values : null;

    const workspace = new Workspace(products);
    const sides = [...(arrays.get("hyper_layers")?.values ?? HYPER_LAYERS)];
    /** @type {{layer: IntegerLayer, side: number, stride: number}[]} */
    this.hyperLayers = this.hasSideInformation
      ? layers(arrays, "h_s", workspace).map((layer, i) => ({
          layer,
          side: sides[2 * i],
          stride: sides[2 * i + 1],
        }))
      : [];
    this.contextLayer = this.hasContext ? readLayer(arrays, "g_cm", workspace) : null;
    this.parameterLayers = this.hasContext ? layers(arrays, "g_ep", workspace) : [];
    this.tables = readTables(
      array(arrays, "tables.cdf").values,
      Int32Array.from(array(arrays, "tables.offset").values),
      Int32Array.from(array(arrays, "tables.escape").values),
    );
  }

  /**
   * @param {Uint8Array} coder the bytes of `coder.npz`.
   * @param {WebAssembly.Module} products of products.wasm.
   */
  static async read(coder, products) {
    return new Prior(await readNpz(coder), products);
  }
}

/** @param {Map<string, NamedArray>} arrays @param {string} name */
function array(arrays, name) {
  const result = arrays.get(name);
  if (!result) throw new Error(`the model lacks ${name}`);
  return result;
}

/** @param {Map<string, NamedArray>} arrays @param {string} name @param {Workspace} workspace */
function readLayer(arrays, name, workspace) {
  const weights = array(arrays, `${name}.weights`);
  const [inputs, outputs] = weights.shape;
  const [bias, scale, slope] = ["bias", "scale", "slope"].map(
    (part) => array(arrays, `${name}.${part}`).values,
  );
  return new IntegerLayer(workspace, inputs, outputs, weights.values, bias, scale, slope[0]);
}

/** @param {Map<string, NamedArray>} arrays @param {string} network @param {Workspace} workspace */
function layers(arrays, network, workspace) {
  const result = [];
  while (arrays.has(`${network}/${result.length}.weights`)) {
    result.push(readLayer(arrays, `${network}/${result.length}`, workspace));
  }
  return result;
}
