/** Loads onnxruntime-web and the model of the site. */

import { Codec } from "../codec/codec.js";
import { Prior } from "../codec/model.js";
import { Transforms } from "../codec/transforms.js";
import { Store } from "./store.js";

const MAX_THREADS = 8;

/**
 * @typedef {import("./store.js").Listed} Listed
 *
 * The content of site.json.
 * @typedef {object} Site
 * @property {string} name of the model.
 * @property {string} fingerprint of the model.
 * @property {Listed} coder
 * @property {Record<string, Listed & {field: import("../codec/tiles.js").Field}>} graphs
 * @property {{log_gain: number[][], log_inverse: number[][]} | null} gains
 * @property {Record<string, {module: Listed, binary: Listed}>} runtime ways to run.
 * @property {{colours: string[], most: number}} bits
 * @property {string} example
 */

/** @param {URL} address @returns {Promise<Site>} */
export async function readSite(address) {
  const response = await fetch(address, { cache: "no-cache" });
  if (!response.ok) throw new Error(`${address} cannot be fetched: ${response.status}`);
  return response.json();
}

/** Whether there is a GPU that is worth its larger runtime. */
async function hasGpu() {
  const { gpu } = /** @type {any} */ (navigator);
  const adapter = await gpu?.requestAdapter().catch(() => null);
  return Boolean(adapter && !(adapter.info ?? adapter).isFallbackAdapter);
}

/**
 * @typedef {object} Loaded
 * @property {Codec} codec
 * @property {number} threads
 * @property {boolean} gpu
 * @property {number} fetched bytes that came over the network.
 */

/**
 * Loads everything.
 * @param {Site} site
 * @param {URL} base where the site is.
 * @param {number} maxPixels
 * @param {boolean | null} gpu whether g_a and g_s run on the GPU; null: if there is one.
 * @param {(done: number, total: number) => void} onBytes
 * @returns {Promise<Loaded>}
 */
export async function load(site, base, maxPixels, gpu, onBytes) {
  const isolated = /** @type {any} */ (globalThis).crossOriginIsolated;
  const threads = isolated ? Math.min(navigator.hardwareConcurrency || 1, MAX_THREADS) : 1;
  const ways = ["wasm"];
  if (gpu ?? (await hasGpu())) ways.unshift("Suspending" in WebAssembly ? "suspending" : "webgpu");
  for (const way of ways) {
    try {
      return await loadWay(site, base, maxPixels, way, threads, onBytes);
    } catch (error) {
      if (way === "wasm") throw error;
    }
  }
  throw new Error("no way to run");
}

/**
 * @param {Site} site @param {URL} base @param {number} maxPixels @param {string} way
 * @param {number} threads @param {(done: number, total: number) => void} onBytes
 */
async function loadWay(site, base, maxPixels, way, threads, onBytes) {
  const { module, binary } = site.runtime[way];
  const listed = [module, binary, site.coder, ...Object.values(site.graphs)];
  const total = listed.reduce((sum, { bytes }) => sum + bytes, 0);
  const version = [site.fingerprint, module.integrity?.slice(-8), site.coder.file.slice(-16)].join("-");
  const store = new Store(base, version.replace(/[^\w-]/g, "_"));
  await store.clean();
  let done = 0;
  store.onBytes = (bytes) => onBytes((done += bytes), total);
  const products = await (await fetch(new URL("codec/products.wasm", base))).arrayBuffer();
  const [source, runtimeBytes, coder, ...graphs] = await Promise.all(listed.map((entry) => store.get(entry)));
  const type = "text/javascript";
  const address = URL.createObjectURL(new Blob([/** @type {BlobPart} */ (source)], { type }));
  const ort = await import(address);
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmBinary = runtimeBytes;
  const prior = await Prior.read(coder, await WebAssembly.compile(products));
  /** @type {Record<string, {session: any, field: import("../codec/tiles.js").Field}>} */
  const networks = {};
  for (const [i, [name, { field }]] of Object.entries(site.graphs).entries()) {
    // ẑ comes from h_a, on the processor; nothing that a decoder must repeat runs on a GPU.
    const onGpu = way !== "wasm" && name !== "h_a";
    const session = await ort.InferenceSession.create(graphs[i], {
      executionProviders: onGpu ? ["webgpu", "wasm"] : ["wasm"],
      logSeverityLevel: 3, // Errors.
    });
    networks[name] = { session, field };
  }
  const filters = Math.max(prior.hyperChannels, prior.channels);
  const transforms = new Transforms(ort, networks, filters);
  const codec = new Codec(prior, site.fingerprint, site.gains, transforms, maxPixels);
  return { codec, threads, gpu: way !== "wasm", fetched: store.fetched };
}
