// The parts of the codec in a web page, each against values that were computed in another way.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";
import { checksum } from "../../bmshj_minnen/web/codec/checksum.js";
import { Codec } from "../../bmshj_minnen/web/codec/codec.js";
import { pack, unpack } from "../../bmshj_minnen/web/codec/container.js";
import { FormatError, RequestError } from "../../bmshj_minnen/web/codec/errors.js";
import {
  IntegerLayer,
  ROWS,
  Workspace,
  rounded,
  saturated,
} from "../../bmshj_minnen/web/codec/integer_layer.js";
import { decode, encode } from "../../bmshj_minnen/web/codec/latents.js";
import { steps } from "../../bmshj_minnen/web/codec/order.js";
import {
  QUALITIES,
  byteOfQuality,
  gains,
  qualityOfByte,
  searchBytes,
} from "../../bmshj_minnen/web/codec/quality.js";
import { Decoder, Encoder, readTables } from "../../bmshj_minnen/web/codec/range_coder.js";
import { spans, tiled } from "../../bmshj_minnen/web/codec/tiles.js";
import { Transforms } from "../../bmshj_minnen/web/codec/transforms.js";
import { finished, index, model, products, vector } from "./models.mjs";

/** Numbers in [0, 1) that are the same in each run. */
function random(seed) {
  let state = seed + 1;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

test("checksums are those of FORMAT.md", () => {
  for (const [n, expected] of [
    [16, "d45641a3"],
    [40, "8c46497b"],
    [200, "b36fd626"],
  ]) {
    const bytes = Uint8Array.from({ length: n }, (_, i) => i);
    assert.equal(Buffer.from(checksum(bytes)).toString("hex"), expected);
  }
});

/** The encoder as FORMAT.md describes it, with a big integer. */
function encodedWithBigInteger(intervals) {
  let [low, size, k] = [0n, 1n << 32n, 0n];
  for (const [first, last] of intervals) {
    const begin = (size * BigInt(first)) >> 16n;
    [low, size] = [low + begin, ((size * BigInt(last)) >> 16n) - begin];
    if (size <= 1n << 16n) [low, size, k] = [low << 16n, size << 16n, k + 1n];
  }
  const [base, last] = [low % (1n << 32n), low + size - 1n];
  let chosen = low;
  if (base + size > 1n << 32n) chosen = (last >> 32n) << 32n;
  else if (base) {
    for (const shift of [24n, 16n]) {
      chosen = ((low + (1n << shift) - 1n) >> shift) << shift;
      if (chosen <= last) break;
    }
  }
  const digits = (number) => number.toString(16).padStart(2 * Number(4n + 2n * k), "0");
  const bytes = Buffer.from(digits(chosen), "hex");
  let whole = 0;
  while (
    whole < 2 * Number(k) &&
    digits(low).slice(2 * whole, 2 * whole + 4) === digits(last).slice(2 * whole, 2 * whole + 4)
  )
    whole += 2;
  let end = bytes.length;
  while (end > whole && !bytes[end - 1]) end--;
  return bytes.subarray(0, end);
}

test("the range coder writes the bytes of FORMAT.md's encoder, and reads them", () => {
  for (let seed = 0; seed < 300; seed++) {
    const next = random(seed);
    // From two likely symbols to a thousand: words of zeros and carries occur.
    const cdfs = [
      [0, 1, 65535, 65536],
      [0, 32768, 65536],
      Array.from({ length: 1001 }, (_, i) => (i === 1000 ? 65536 : 65 * i)),
    ];
    const tables = readTables(
      cdfs.flatMap((cdf) => [16, ...cdf]),
      Int32Array.of(-1, 0, -500),
      Int32Array.from(cdfs, (cdf) => cdf.length - 2),
    );
    const count = Math.floor(60 * next());
    const chosen = Int32Array.from({ length: count }, () => Math.floor(3 * next()));
    const spread = [1, 3, 1200, 65000][seed % 4];
    const values = Int32Array.from({ length: count }, () => Math.round(spread * (next() - 0.5)));
    const encoder = new Encoder();
    encoder.run(tables, chosen, 0, count, values);
    const intervals = [];
    const escaped = [];
    chosen.forEach((table, i) => {
      let symbol = values[i] - tables.offset[table];
      if (symbol < 0 || symbol >= tables.escape[table]) {
        symbol = tables.escape[table];
        escaped.push(values[i] + 32768);
      }
      intervals.push([cdfs[table][symbol], cdfs[table][symbol + 1]]);
    });
    for (const value of escaped) {
      for (const byte of [value >> 8, value & 255]) intervals.push([256 * byte, 256 * byte + 256]);
    }
    const payload = encoder.finish();
    assert.deepEqual(Buffer.from(payload), encodedWithBigInteger(intervals));
    const decoder = new Decoder(payload);
    const read = new Int32Array(count);
    decoder.run(tables, chosen, 0, count, read);
    assert.deepEqual(read, values);
    assert.ok(decoder.isAtEnd());
    if (payload.length) assert.ok(!new Decoder(Uint8Array.of(...payload, 1, 1, 1)).isAtEnd());
  }
});

test("positions come in the order of FORMAT.md, after all that they depend on", () => {
  for (const support of [3, 5, 7]) {
    for (const [height, width] of [
      [1, 1],
      [1, 9],
      [9, 1],
      [4, 7],
      [7, 4],
      [5, 2],
    ]) {
      const positions = Array.from({ length: height * width }, (_, p) => [Math.floor(p / width), p % width]);
      const stepOf = ([i, j]) => j + (Math.floor(support / 2) + 1) * i;
      const all = [...steps(support, height, width)];
      const sorted = positions
        .map((position, p) => [stepOf(position), position[0], p])
        .sort((a, b) => a[0] - b[0] || a[1] - b[1]);
      assert.deepEqual(
        all.flatMap((step) => [...step]),
        sorted.map(([, , p]) => p),
      );
      const turn = new Map(all.flatMap((step, t) => [...step].map((p) => [p, t])));
      const margin = Math.floor(support / 2);
      positions.forEach(([i, j], p) => {
        for (let a = 0; a <= margin; a++) {
          for (let b = -margin; b <= margin; b++) {
            const [row, column] = [i - a, j + b];
            const isTap = (a > 0 || b < 0) && row >= 0 && column >= 0 && column < width;
            if (isTap) assert.ok(turn.get(row * width + column) < turn.get(p));
          }
        }
      });
    }
  }
  assert.deepEqual(
    [...steps(0, 300, 300)].map((step) => step.length),
    [65536, 24464],
  );
});

test("integer layers are exact", () => {
  const next = random(7);
  for (const [inputs, outputs, largest] of [
    [1, 1, 65535],
    [7, 3, 9362],
    [64, 5, 1023],
    [2304, 4, 28],
    [3, 2, 40000],
  ]) {
    const weights = Int32Array.from({ length: inputs * outputs }, () =>
      Math.round(largest * (2 * next() - 1)),
    );
    const bias = Float64Array.from({ length: outputs }, () => Math.round(2 ** 40 * (2 * next() - 1)));
    const scale = Float64Array.from({ length: outputs }, (_, o) => 2 ** -(27 + o));
    for (const slope of [51, 256, 0, 2621 / 1024]) {
      const layer = new IntegerLayer(new Workspace(products), inputs, outputs, weights, bias, scale, slope);
      assert.equal(
        layer.wide !== null,
        weights.some((w) => Math.abs(w) > 32767),
      );
      const rows = 1 + Math.floor(next() * ROWS);
      const { input, stride } = layer;
      for (let row = 0; row < rows; row++) {
        const extreme = [() => 32767, () => -32768, () => Math.floor(65536 * next()) - 32768][row % 3];
        for (let i = 0; i < inputs; i++) input[row * stride + i] = extreme();
      }
      const found = new Int16Array(rows * outputs);
      layer.activate(rows, found, 0, outputs);
      for (let row = 0; row < rows; row++) {
        for (let o = 0; o < outputs; o++) {
          let sum = BigInt(bias[o]);
          for (let i = 0; i < inputs; i++)
            sum += BigInt(input[row * stride + i]) * BigInt(weights[i * outputs + o]);
          // The output is a whole number of 1 / unit.
          const unit = 2n ** BigInt(27 + o) * 256n * 1024n;
          const exact = sum * (sum < 0n ? BigInt(slope * 1024) : 256n * 1024n);
          let whole = exact / unit - (exact % unit < 0n ? 1n : 0n);
          const rest = 2n * (exact - whole * unit);
          if (rest > unit || (rest === unit && whole % 2n)) whole += 1n;
          const expected = whole > 32767n ? 32767n : whole < -32768n ? -32768n : whole;
          assert.equal(BigInt(found[row * outputs + o]), expected);
        }
      }
    }
  }
});

test("sums at the bounds of 32 bits are exact", () => {
  // Absolute weights of 65536 in all: of either sign, and of both.
  const columns = [Array(4).fill(16384), [-32767, -32767, -1, 1], [-32767, -32767, -1, -1]];
  for (const column of columns) {
    const layer = new IntegerLayer(new Workspace(products), 4, 1, column, [0], [1], 256);
    assert.equal(layer.wide === null, column !== columns[2]);
    for (const x of [-32768, 32767]) {
      layer.input.fill(x);
      assert.equal(layer.sums(1)[0], column.reduce((sum, weight) => sum + x * weight, 0));
    }
  }
});

test("halves are rounded to the even number", () => {
  assert.deepEqual(
    [0.5, 1.5, 2.5, -0.5, -1.5, 2.4999].map((x) => rounded(x) + 0),
    [0, 2, 2, 0, -2, 2],
  );
  assert.deepEqual(
    [32766.5, 32767.5, -32768.5, 1e300, -1e300].map(saturated),
    [32766, 32767, -32768, 32767, -32768],
  );
});

test("products.wasm is what products.wat says", async (context) => {
  const packages = new URL("../../.node/package.json", import.meta.url);
  if (!existsSync(new URL("node_modules/wabt/", packages))) return context.skip("needs the npm package wabt");
  const wabt = await createRequire(packages)("wabt")();
  const folder = new URL("../../bmshj_minnen/web/codec/", import.meta.url);
  const source = readFileSync(new URL("products.wat", folder), "utf8");
  const { buffer } = wabt.parseWat("products.wat", source, { simd: true }).toBinary({});
  assert.deepEqual(Buffer.from(buffer), readFileSync(new URL("products.wasm", folder)));
});

test("qualities, their bytes and gains", () => {
  assert.deepEqual(
    QUALITIES.map((quality) => qualityOfByte(byteOfQuality(quality))),
    QUALITIES,
  );
  assert.deepEqual([0, 200, 255].map(qualityOfByte), [null, null, null]);
  assert.deepEqual([byteOfQuality(1), byteOfQuality(37.5), byteOfQuality(100)], [1, 137, 100]);
  const [lambdas, logs] = [
    [0.01, 0.1, 1],
    [
      [0, 1],
      [2, 2],
      [3, 0],
    ],
  ];
  const at = (quality) => [...gains(lambdas, logs, quality)].map((gain) => Math.log(gain));
  const close = (found, expected) =>
    found.forEach((x, c) => assert.ok(Math.abs(x - expected[c]) < 1e-6, `${found}`));
  close(at(1), [0, 1]);
  close(at(100), [3, 0]);
  close(at(50.5), [2, 2]); // λ in the middle.
  close(at(25.75), [1, 1.5]);
});

test("the search finds the best quality within the bytes, and tries none twice", async () => {
  const sizes = QUALITIES.map((quality) => Math.round(900 * Math.exp(quality / 20) + 40 * Math.sin(quality)));
  for (const bytes of [sizes[0], sizes[0] + 1, 5000, sizes[77], sizes[77] - 1, 1e9]) {
    const tried = new Set();
    const best = await searchBytes(bytes, async (quality) => {
      assert.ok(!tried.has(quality) && QUALITIES.includes(quality));
      tried.add(quality);
      return { quality, bytes: new Uint8Array(sizes[QUALITIES.indexOf(quality)]) };
    });
    const allowed = QUALITIES.filter((_, i) => sizes[i] <= bytes);
    assert.equal(best.quality, allowed[allowed.length - 1]);
    assert.ok(tried.size <= 14);
  }
  await assert.rejects(
    searchBytes(5, async () => ({ bytes: new Uint8Array(900) })),
    RequestError,
  );
});

test("tiles give the result of the whole image", async () => {
  // Each output is the sum of the inputs that it sees, in a network of stride 2.
  const field = { inputs: 2, outputs: 1, before: 2, after: 1, memory: 1 };
  const network = async ({ height, width, values }) => {
    const [rows, columns] = [Math.ceil(height / 2), Math.ceil(width / 2)];
    const sums = new Float32Array(rows * columns);
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < columns; j++) {
        for (let a = 2 * (i - 2); a < 2 * (i + 2); a++) {
          for (let b = 2 * (j - 2); b < 2 * (j + 2); b++) {
            if (a >= 0 && b >= 0 && a < height && b < width)
              sums[i * columns + j] += (1 + a - 2 * i + 9 * (b - 2 * j)) * values[a * width + b];
          }
        }
      }
    }
    return { height: rows, width: columns, channels: 1, values: sums };
  };
  const next = random(3);
  for (const [height, width] of [
    [77, 131],
    [32, 200],
    [9, 9],
  ]) {
    const values = Uint8Array.from({ length: height * width }, () => 256 * next());
    const image = { height, width, channels: 1, values };
    const size = [Math.ceil(height / 2), Math.ceil(width / 2)];
    let reports = 0;
    const found = await tiled(field, 256, image, ...size, network, async () => void reports++);
    const whole = await network(image);
    assert.deepEqual(found.values, whole.values);
    assert.equal(reports > 1, height * width > 4 * 256);
  }
  assert.deepEqual(spans(10, 10, field), [{ begin: 0, end: 10, first: 0, last: 10 }]);
});

test("an encoder's latents come back, saturated and beyond the tables, too", async () => {
  for (const name of ["joint", "converted", "autoregressive_gains", "mean_scale_hyperprior", "factorized"]) {
    const { prior, identity } = await model(name);
    const next = random(11);
    const [height, width] = [5, 6];
    const y = Float32Array.from(
      { length: height * width * prior.channels },
      (_, i) => (i % 17 ? 40 : 1e6) * (next() - 0.5),
    );
    const z = Int32Array.from({ length: 2 * 2 * prior.hyperChannels }, (_, i) =>
      Math.round((i % 7 ? 9 : 65534) * (next() - 0.5)),
    );
    const { payload, latents } = finished(encode(prior, y, z, height, width));
    const file = pack(identity, 16 * height, 16 * width, prior.lambdas ? 12.5 : null, payload);
    const picture = unpack(file, identity);
    assert.deepEqual([picture.height, picture.width, picture.quality], [80, 96, prior.lambdas ? 12.5 : null]);
    const back = finished(decode(prior, picture.payload, height, width));
    assert.deepEqual(back.y, latents.y);
    assert.deepEqual(back.z, z);
    back.y.forEach((value, i) => {
      const wanted = Math.max(-32768, Math.min(32767, y[i] / prior.step));
      // Values are at most 32767 steps from the mean.
      if (Math.abs(wanted) < 2000) assert.ok(Math.abs(value - wanted) <= prior.unit / 2 + 1);
    });
    assert.ok(
      Math.abs(back.bits.reduce((a, b) => a + b) / 8 - payload.length) <
        40 + 0.01 * payload.length + 4 * z.length,
    );
  }
});

test("pictures that are too large are refused before they are decoded", async () => {
  const entry = index.files.find(({ model: name }) => name === "joint");
  const { identity } = await model("joint");
  const refused = (error) => error instanceof FormatError && error.reason === "too_large";
  assert.throws(() => unpack(vector(entry.file), identity, entry.height * entry.width - 1), refused);
  assert.equal(unpack(vector(entry.file), identity, entry.height * entry.width).height, entry.height);
  assert.throws(() => pack(identity, 65537, 1, null, new Uint8Array(0)), RequestError);
});

/** Whether a refusal is one line that holds some words. */
const refusal = (words) => (error) =>
  error instanceof RequestError && error.message.includes(words) && !error.message.includes("\n");

test("qualities that do not exist are refused", async () => {
  // Those that Python's quality.check_quality refuses.
  const wrong = [101, 50.25, 0, -7, 0.5, 100.5, NaN, Infinity, "abc", "50", [50], true, {}];
  const { identity } = await model("autoregressive_gains");
  for (const quality of wrong) {
    const words = "The quality must be 1 to 100, whole or with a half, not ";
    assert.throws(() => byteOfQuality(quality), refusal(words));
    assert.throws(() => pack(identity, 16, 16, quality, new Uint8Array(1)), refusal(words));
  }
  assert.throws(() => pack(identity, 16, 16, null, new Uint8Array(1)), refusal("quality"));
  const { identity: ofOneRate } = await model("joint");
  assert.throws(() => pack(ofOneRate, 16, 16, 50, new Uint8Array(1)), refusal("one rate"));
});

test("wrong arguments are refused before the networks run", async () => {
  const transforms = new Proxy({}, { get: () => assert.fail("a network was taken") });
  const { prior } = await model("autoregressive_gains");
  const { prior: ofOneRate } = await model("joint");
  const dial = { log_gain: [], log_inverse: [] };
  const codec = new Codec(prior, "00000000", dial, transforms);
  const image = { height: 2, width: 3, channels: 3, values: new Uint8Array(18) };
  for (const [request, words] of [
    [{ quality: 101 }, "quality must be"],
    [{ quality: "abc" }, 'not "abc"'],
    [{ quality: NaN }, "not NaN"],
    [{ bytes: 0 }, "cannot have"],
    [{ bytes: -5 }, "cannot have"],
    [{ bytes: NaN }, "number above 0"],
    [{ bytes: Infinity }, "number above 0"],
    [{ bytes: "900" }, "number above 0"],
    [{ quality: 30, bytes: 900 }, "either quality or bytes"],
    [{ psnr: 30 }, '"psnr"'],
    [30, "an object"],
    [null, "an object"],
  ]) {
    await assert.rejects(codec.compress(image, request), refusal(words));
  }
  for (const [change, words] of [
    [{ height: 0 }, "height"],
    [{ width: 1.5 }, "width"],
    [{ width: "3" }, "width"],
    [{ height: NaN }, "height"],
    [{ height: 65537 }, "65536"],
    [{ channels: 4 }, "3 channels"],
    [{ values: new Uint8Array(17) }, "18 bytes, not 17"],
    [{ values: new Float32Array(18) }, "Uint8Array"],
    [{ values: undefined }, "Uint8Array"],
  ]) {
    await assert.rejects(codec.compress({ ...image, ...change }), refusal(words));
  }
  await assert.rejects(codec.compress(undefined), refusal("An image has"));
  await assert.rejects(codec.compress(null), refusal("An image has"));
  for (const file of [undefined, "BMM", new ArrayBuffer(9)]) {
    await assert.rejects(codec.decompress(file), refusal("Uint8Array"));
  }
  const single = new Codec(ofOneRate, "00000000", null, transforms);
  for (const request of [{ quality: 50 }, { bytes: 900 }]) {
    await assert.rejects(single.compress(image, request), refusal("one rate"));
  }
  for (const limit of [0, -1, 1.5, NaN, "9", null]) {
    assert.throws(() => new Codec(prior, "00000000", dial, transforms, limit), refusal("limit of pixels"));
    assert.throws(() => new Transforms(null, {}, 8, limit), refusal("memory"));
  }
  assert.throws(() => new Codec(prior, "00000000", null, transforms), refusal("gains"));
  assert.throws(() => new Codec(ofOneRate, "00000000", dial, transforms), refusal("gains"));
  const y = new Float32Array(ofOneRate.channels);
  const z = new Int32Array(ofOneRate.hyperChannels);
  assert.throws(() => finished(encode(ofOneRate, y.subarray(1), z, 1, 1)), refusal("y must have"));
  assert.throws(() => finished(encode(ofOneRate, y, z.subarray(1), 1, 1)), refusal("ẑ must have"));
});
