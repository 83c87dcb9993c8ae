// Models of the conformance vectors, for the tests of the codec in a web page.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { Prior } from "../../bmshj_minnen/web/codec/model.js";

const ROOT = new URL("../../", import.meta.url);
const VECTORS = new URL("tests/conformance/", ROOT);

export const read = (url) => new Uint8Array(readFileSync(url));
export const vector = (name) => read(new URL(name, VECTORS));
export const index = JSON.parse(readFileSync(new URL("index.json", VECTORS), "utf8"));
export const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
export const products = new WebAssembly.Module(read(new URL("bmshj_minnen/web/codec/products.wasm", ROOT)));

const priors = new Map();

/** The prior of a model of the vectors, and what identifies it in files. */
export async function model(name) {
  if (!priors.has(name)) {
    const { directory, shipped, fingerprint } = index.models[name];
    const folder = directory
      ? new URL(`${directory}/`, VECTORS)
      : new URL(`bmshj_minnen/pretrained/${shipped}/`, ROOT);
    const prior = await Prior.read(read(new URL("coder.npz", folder)), products);
    priors.set(name, { prior, identity: { version: prior.version, fingerprint } });
  }
  return priors.get(name);
}

/** The result of a generator, whatever it yields. */
export function finished(work) {
  for (;;) {
    const { done, value } = work.next();
    if (done) return value;
  }
}
