// Every file of tests/conformance: the same ŷ and ẑ, and refusals for the same reason.
import assert from "node:assert/strict";
import { test } from "node:test";
import { unpack } from "../../bmshj_minnen/web/codec/container.js";
import { FormatError } from "../../bmshj_minnen/web/codec/errors.js";
import { decode } from "../../bmshj_minnen/web/codec/latents.js";
import { finished, index, model, sha256, vector } from "./models.mjs";

function decoded({ prior, identity }, file, maxPixels) {
  const picture = unpack(file, identity, maxPixels);
  const [height, width] = [picture.height, picture.width].map((side) => Math.ceil(side / 16));
  return { picture, latents: finished(decode(prior, picture.payload, height, width)), size: [height, width] };
}

const digest = (values) => sha256(new Uint8Array(Int32Array.from(values).buffer));

for (const entry of index.files) {
  test(entry.file, async () => {
    const own = await model(entry.model);
    const { picture, latents, size } = decoded(own, vector(entry.file));
    for (const field of ["height", "width", "quality"]) assert.equal(picture[field], entry[field]);
    for (const field of ["exif", "xmp"]) {
      assert.equal(Buffer.from(picture[field]).toString("hex"), entry[field]);
    }
    assert.deepEqual([...size, own.prior.channels], entry.y_hat.shape);
    assert.equal(digest(latents.y), entry.y_hat.sha256);
    if (entry.z_hat) assert.equal(digest(latents.z), entry.z_hat.sha256);
  });
}

for (const entry of index.refused) {
  test(entry.file, async () => {
    const own = await model(entry.model);
    assert.throws(
      () => decoded(own, vector(entry.file), entry.max_pixels),
      (error) =>
        error instanceof FormatError && error.reason === entry.reason && !error.message.includes("\n"),
    );
  });
}
