// node codec.mjs ONNXRUNTIME SITE JOB…, where a job is decode IN.tfci OUT.rgb, or
// encode IN.rgb HEIGHT WIDTH QUALITY|BYTESb OUT.tfci. The files of the site alone are read.
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [runtime, site, ...jobs] = process.argv.slice(2);
const at = (name) => pathToFileURL(`${site}/${name}`);
const [{ Codec }, { Prior }, { Transforms }] = await Promise.all(
  ["codec", "model", "transforms"].map((name) => import(at(`codec/${name}.js`))),
);
const ort = await import(pathToFileURL(`${runtime}/ort.node.min.mjs`));
const read = (name) => new Uint8Array(readFileSync(at(name)));
const description = JSON.parse(readFileSync(at("site.json"), "utf8"));
const prior = await Prior.read(
  read(description.coder.file),
  new WebAssembly.Module(read("codec/products.wasm")),
);
const networks = {};
for (const [name, { file, field }] of Object.entries(description.graphs)) {
  networks[name] = {
    field,
    session: await ort.InferenceSession.create(read(file), { executionProviders: ["wasm"] }),
  };
}
const memory = process.env.WEB_MEMORY ? Number(process.env.WEB_MEMORY) : undefined;
const transforms = new Transforms(ort, networks, Math.max(prior.hyperChannels, prior.channels), memory);
const codec = new Codec(prior, description.fingerprint, description.gains, transforms);
while (jobs.length) {
  if (jobs.shift() === "decode") {
    const [source, target] = jobs.splice(0, 2);
    const { image } = await codec.decompress(new Uint8Array(readFileSync(source)));
    writeFileSync(target, image.values);
  } else {
    const [source, height, width, setting, target] = jobs.splice(0, 5);
    const image = {
      height: Number(height),
      width: Number(width),
      channels: 3,
      values: new Uint8Array(readFileSync(source)),
    };
    const request = setting.endsWith("b") ? { bytes: parseInt(setting) } : { quality: Number(setting) };
    const { bytes } = await codec.compress(image, prior.lambdas ? request : {});
    writeFileSync(target, bytes);
  }
}
