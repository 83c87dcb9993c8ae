/** The codec beside the page: takes requests and answers with progress and results. */

import { FormatError, RequestError } from "../codec/errors.js";
import { load, readSite } from "./loading.js";
import { atBytes, mapOfBits, png, psnr, read } from "./pictures.js";

const BASE = new URL("../", import.meta.url);
const MAX_PIXELS = 2 ** 25;
const PATIENCE = 40; // Milliseconds between reports, in which other messages are taken.
const FORMATS = { jpeg: "image/jpeg", webp: "image/webp" };

/**
 * @typedef {import("../codec/tiles.js").Image} Image
 *
 * A request. It ends with an answer "done" or "error"; answers "progress" may precede it.
 * @typedef {object} Request
 * @property {number} id of the request; "cancel" has that of the request that it ends.
 * @property {"start" | "open" | "encode" | "others" | "cancel"} kind
 * @property {boolean | null} [gpu] of "start": see `load`.
 * @property {Blob} [blob] of "open": a photograph or a .tfci file.
 * @property {{quality?: number, bytes?: number}} [target] of "encode".
 * @property {number} [bytes] of "others": the size of JPEG and WebP.
 */

/** @type {Promise<import("./loading.js").Loaded> | null} */
let loading = null;
/** @type {import("./loading.js").Site} */
let site;
/** The photograph that was opened last. @type {Image | null} */
let photograph = null;
/** @type {Set<number>} */
const cancelled = new Set();

class Cancelled extends Error {}

/** Lets other messages in. */
function pause() {
  return new Promise((resume) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resume(undefined);
    };
    port2.postMessage(null);
  });
}

/** @param {number} id @param {string} stage @returns {import("../codec/transforms.js").Report} */
function reporter(id, stage) {
  let last = performance.now();
  return async (fraction) => {
    if (performance.now() - last < PATIENCE) return;
    postMessage({ id, kind: "progress", stage, fraction });
    await pause();
    last = performance.now();
    if (cancelled.has(id)) throw new Cancelled();
  };
}

/** @param {number} id @param {boolean | null} gpu */
async function start(id, gpu) {
  site ??= await readSite(new URL("site.json", BASE));
  loading ??= load(site, BASE, MAX_PIXELS, gpu, (done, total) => {
    postMessage({ id, kind: "progress", stage: "load", fraction: done / total, done, total });
  });
  const { codec, threads, gpu: onGpu, fetched } = await loading;
  const { name, fingerprint, example } = site;
  return { name, fingerprint, example, threads, gpu: onGpu, fetched, rates: Boolean(codec.dial) };
}

async function codecOf() {
  if (!loading) throw new Error("the worker was not started");
  return (await loading).codec;
}

/** @param {number} id @param {Blob} blob */
async function open(id, blob) {
  const head = new Uint8Array(await blob.slice(0, 3).arrayBuffer());
  if ("BMM".startsWith(new TextDecoder().decode(head))) {
    photograph = null;
    return { kind: "file", ...(await decoded(id, new Uint8Array(await blob.arrayBuffer()))) };
  }
  photograph = null;
  photograph = await read(blob, MAX_PIXELS);
  const { height, width } = photograph;
  return { kind: "photograph", height, width, original: await png(photograph) };
}

/**
 * Decodes a file, and compares it with the photograph if there is one.
 * @param {number} id @param {Uint8Array} file
 */
async function decoded(id, file) {
  const codec = await codecOf();
  const begin = performance.now();
  const { image, quality, latents } = await codec.decompress(file, reporter(id, "decode"));
  const seconds = (performance.now() - begin) / 1000;
  const { height, width } = image;
  return {
    file,
    height,
    width,
    quality,
    bytes: file.length,
    decodeSeconds: seconds,
    psnr: photograph ? psnr(photograph, image) : null,
    picture: await png(image),
    bits: await mapOfBits(latents.bits, height, width, site.bits),
  };
}

/** @param {number} id @param {{quality?: number, bytes?: number}} target */
async function encode(id, target) {
  if (!photograph) throw new RequestError("Choose a photograph first.");
  const codec = await codecOf();
  const begin = performance.now();
  const { bytes } = await codec.compress(photograph, target, reporter(id, "encode"));
  const encodeSeconds = (performance.now() - begin) / 1000;
  return { encodeSeconds, ...(await decoded(id, bytes)) };
}

/** JPEG and WebP of the photograph at as many bytes. @param {number} id @param {number} bytes */
async function others(id, bytes) {
  /** @type {Record<string, import("./pictures.js").Compressed | null>} */
  const result = {};
  if (!photograph) return result;
  const check = async () => {
    await pause();
    if (cancelled.has(id)) throw new Cancelled();
  };
  for (const [name, type] of Object.entries(FORMATS))
    result[name] = await atBytes(photograph, type, bytes, check);
  return result;
}

/** @param {Request} request */
function answer({ id, kind, gpu = null, blob, target, bytes }) {
  if (kind === "start") return start(id, gpu);
  if (kind === "open" && blob) return open(id, blob);
  if (kind === "encode") return encode(id, target ?? {});
  if (kind === "others" && bytes) return others(id, bytes);
  throw new Error(`no request ${kind}`);
}

/** The line about an error. @param {any} error */
function lineOf(error) {
  if (error instanceof FormatError || error instanceof RequestError) return error.message;
  if (error instanceof RangeError || /memory/i.test(error.message)) {
    return "There is not enough memory for this picture: close other tabs, or take a smaller one.";
  }
  return `The page failed: ${String(error?.message ?? error).split("\n")[0]}`;
}

/** Requests are answered one after another. */
let queue = Promise.resolve();

onmessage = ({ data }) => {
  /** @type {Request} */
  const request = data;
  if (request.kind === "cancel") {
    cancelled.add(request.id);
    return;
  }
  queue = queue.then(async () => {
    const { id } = request;
    try {
      if (cancelled.has(id)) throw new Cancelled();
      postMessage({ id, kind: "done", result: await answer(request) });
    } catch (error) {
      if (request.kind === "start") loading = null;
      const wasCancelled = error instanceof Cancelled;
      const reason = error instanceof FormatError ? error.reason : null;
      postMessage({
        id,
        kind: "error",
        cancelled: wasCancelled,
        reason,
        message: wasCancelled ? "" : lineOf(error),
      });
    }
    cancelled.delete(id);
  });
};
