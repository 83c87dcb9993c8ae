// node processor.mjs PACKAGES SITE IN.rgb HEIGHT WIDTH RUNS: seconds of processor time of each part of coding a
// photograph at quality 50, on one thread under Node, which other processes lengthen less than they do seconds.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [packages, site, source, height, width, runs] = process.argv.slice(2);
const at = (name) => pathToFileURL(`${site}/${name}`);
const load = (name) => import(at(`codec/${name}.js`));
const [{ Prior }, { Transforms }, { Codec }, { decode, encode }, { unpack }] = await Promise.all(
  ["model", "transforms", "codec", "latents", "container"].map(load),
);
const ort = await import(pathToFileURL(`${packages}/node_modules/onnxruntime-web/dist/ort.node.min.mjs`));
ort.env.wasm.numThreads = 1;
const read = (name) => new Uint8Array(readFileSync(at(name)));
const description = JSON.parse(readFileSync(at("site.json"), "utf8"));
const module = new WebAssembly.Module(read("codec/products.wasm"));
const prior = await Prior.read(read(description.coder.file), module);
const networks = {};
for (const [name, { file, field }] of Object.entries(description.graphs)) {
  const session = await ort.InferenceSession.create(read(file), { executionProviders: ["wasm"] });
  networks[name] = { field, session };
}
const transforms = new Transforms(ort, networks, prior.channels);
const codec = new Codec(prior, description.fingerprint, description.gains, transforms);
const values = new Uint8Array(readFileSync(source));
const image = { height: Number(height), width: Number(width), channels: 3, values };
const size = [image.height, image.width].map((side) => Math.ceil(side / 16));

const seconds = {};
async function timed(name, work) {
  const before = process.cpuUsage();
  const result = await work();
  const { user, system } = process.cpuUsage(before);
  (seconds[name] ??= []).push((user + system) / 1e6);
  return result;
}

function finished(work) {
  for (;;) {
    const { done, value } = work.next();
    if (done) return value;
  }
}

const silent = async () => {};
for (let run = 0; run <= Number(runs); run++) {
  if (run === 1) for (const name of Object.keys(seconds)) delete seconds[name]; // The first one prepares.
  const { bytes } = await timed("encode", () => codec.compress(image, { quality: 50 }));
  await timed("decode", () => codec.decompress(bytes));
  const { payload } = await timed("container", () => unpack(bytes, codec.identity));
  const latents = await timed("ẑ, ψ and ŷ, decoded", () => finished(decode(prior, payload, ...size)));
  const y = Float32Array.from(latents.y, (value) => value * prior.step);
  await timed("ẑ, ψ and ŷ, encoded", () => finished(encode(prior, y, latents.z, ...size)));
  await timed("g_a", () => transforms.analysis(image, silent));
  const latentImage = { height: size[0], width: size[1], channels: prior.channels, values: y };
  await timed("h_a", () => transforms.hyperAnalysis(latentImage, silent));
  await timed("g_s", () => transforms.synthesis(latentImage, image.height, image.width, silent));
}
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];
console.log(
  JSON.stringify(
    Object.fromEntries(
      Object.entries(seconds).map(([name, list]) => [name, [median(list), Math.min(...list)]]),
    ),
  ),
);
