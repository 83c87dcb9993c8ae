/** Pictures of the browser <-> pixels. */

import { RequestError } from "../codec/errors.js";

/**
 * @typedef {import("../codec/tiles.js").Image} Image
 *
 * @typedef {object} Compressed
 * @property {Blob} blob
 * @property {number} bytes
 * @property {number} psnr dB.
 * @property {number} setting the browser's quality, 0 to 1.
 */

/** @param {number} width @param {number} height */
function canvasOf(width, height) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new RequestError(`This browser has no canvas of ${width}×${height} pixels.`);
  return { canvas, context };
}

/**
 * Reads a picture that the browser opens; transparent parts are shown on white.
 * @param {Blob} blob
 * @param {number} maxPixels
 * @returns {Promise<Image>} [height, width, 3] uint8.
 */
export async function read(blob, maxPixels) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob);
  } catch {
    throw new RequestError("This browser cannot open the file as a picture, and it is no .tfci file.");
  }
  const { width, height } = bitmap;
  if (width * height > maxPixels) {
    const limit = `this page encodes up to ${Math.floor(maxPixels / 1e6)} million pixels`;
    throw new RequestError(`The picture is too large: ${width}×${height}; ${limit}.`);
  }
  const { context } = canvasOf(width, height);
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  const values = new Uint8Array(3 * width * height);
  for (let i = 0, from = 0; i < values.length; from += 4) {
    values[i++] = data[from];
    values[i++] = data[from + 1];
    values[i++] = data[from + 2];
  }
  return { height, width, channels: 3, values };
}

/** A canvas with an image. @param {Image} image */
function drawn({ height, width, values }) {
  const { canvas, context } = canvasOf(width, height);
  const pixels = context.createImageData(width, height);
  const { data } = pixels;
  for (let i = 0, to = 0; i < values.length; to += 4) {
    data[to] = values[i++];
    data[to + 1] = values[i++];
    data[to + 2] = values[i++];
    data[to + 3] = 255;
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

/** A PNG file of an image. @param {Image} image */
export const png = (image) => drawn(image).convertToBlob({ type: "image/png" });

/**
 * A PNG file of the map of bits, 16x16 pixels a position.
 * @param {Float64Array} bits of each position, row by row.
 * @param {number} height pixels of the picture.
 * @param {number} width
 * @param {{colours: string[], most: number}} scale colours in equal steps of the square root, up to the
 *   most bits.
 */
export async function mapOfBits(bits, height, width, scale) {
  const columns = Math.ceil(width / 16);
  const stops = scale.colours.map((colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16)));
  const small = canvasOf(columns, Math.ceil(height / 16));
  const pixels = small.context.createImageData(small.canvas.width, small.canvas.height);
  bits.forEach((value, i) => {
    const at = Math.sqrt(Math.min(value / scale.most, 1)) * (stops.length - 1);
    const below = Math.min(Math.floor(at), stops.length - 2);
    for (let c = 0; c < 3; c++) {
      pixels.data[4 * i + c] = stops[below][c] + (at - below) * (stops[below + 1][c] - stops[below][c]);
    }
    pixels.data[4 * i + 3] = 255;
  });
  small.context.putImageData(pixels, 0, 0);
  const { canvas, context } = canvasOf(width, height);
  context.imageSmoothingEnabled = false;
  context.drawImage(small.canvas, 0, 0, 16 * small.canvas.width, 16 * small.canvas.height);
  return canvas.convertToBlob({ type: "image/png" });
}

/** PSNR of two images of the same size, dB. @param {Image} x @param {Image} y */
export function psnr(x, y) {
  let sum = 0;
  for (let i = 0; i < x.values.length; i++) sum += (x.values[i] - y.values[i]) ** 2;
  return 10 * Math.log10((255 ** 2 * x.values.length) / sum);
}

/**
 * The best file of the browser's encoder of at most some bytes; if none is small enough, its smallest.
 * @param {Image} image
 * @param {string} type such as "image/jpeg".
 * @param {number} bytes
 * @param {() => Promise<void>} pause is called before each trial; may throw to end the work.
 * @returns {Promise<Compressed | null>} null if the browser does not write this type.
 */
export async function atBytes(image, type, bytes, pause) {
  const canvas = drawn(image);
  /** @param {number} setting */
  const attempt = async (setting) => {
    await pause();
    return { setting, blob: await canvas.convertToBlob({ type, quality: setting / 100 }) };
  };
  let [low, high] = [0, 100];
  let best = await attempt(low);
  if (best.blob.type !== type) return null;
  while (high - low > 1 && best.blob.size <= bytes) {
    const trial = await attempt((low + high) >> 1);
    if (trial.blob.size <= bytes) [low, best] = [trial.setting, trial];
    else high = trial.setting;
  }
  const decoded = await read(best.blob, Infinity);
  return { blob: best.blob, bytes: best.blob.size, psnr: psnr(image, decoded), setting: best.setting / 100 };
}
