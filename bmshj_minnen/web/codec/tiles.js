/** Networks on large images, tile by tile, with the result of the whole image. */

const MIN_SIDE = 16; // Units; smaller tiles would be mostly halo.

/**
 * The inputs that a part of a network's result needs, in units: samples of its coarser end.
 * @typedef {object} Field
 * @property {number} inputs rows and columns of the source in a unit.
 * @property {number} outputs rows and columns of the result in a unit.
 * @property {number} before units above and left of a unit on which it depends.
 * @property {number} after units below and right of a unit on which it depends.
 * @property {number} memory bytes of a unit and filter; 0: the network is not divided.
 *
 * @typedef {Uint8Array | Float32Array} Samples
 *
 * @typedef {object} Image
 * @property {number} height
 * @property {number} width
 * @property {number} channels
 * @property {Samples} values [height, width, channels].
 */

/**
 * Divides an axis among tiles that see `length` units each.
 * @param {number} size units of the axis.
 * @param {number} length
 * @param {Field} field
 * @returns {{begin: number, end: number, first: number, last: number}[]} a tile sees `begin` to `end`, and
 *   `first` to `last` are kept.
 */
export function spans(size, length, field) {
  if (length >= size) return [{ begin: 0, end: size, first: 0, last: size }];
  const overlap = field.before + field.after;
  const result = [];
  let first = 0;
  for (let k = 0; k < Math.ceil((size - overlap) / (length - overlap)); k++) {
    const begin = Math.min(k * (length - overlap), size - length);
    const end = begin + length;
    const last = end === size ? size : end - field.after;
    result.push({ begin, end, first, last });
    first = last;
  }
  return result;
}

/** Units of tiles of about equal size. @param {number} size @param {number} length @param {Field} field */
function even(size, length, field) {
  if (length >= size) return size;
  const overlap = field.before + field.after;
  const count = Math.ceil((size - overlap) / (length - overlap));
  return Math.ceil((size - overlap) / count) + overlap;
}

/**
 * @param {Image} image @param {number} top @param {number} left @param {number} bottom
 * @param {number} right
 */
function crop(image, top, left, bottom, right) {
  [bottom, right] = [Math.min(bottom, image.height), Math.min(right, image.width)];
  const { width, channels, values } = image;
  if (!top && !left && bottom === image.height && right === width) return image;
  const line = (right - left) * channels;
  const part = empty(bottom - top, right - left, image);
  for (let row = top; row < bottom; row++) {
    const from = (row * width + left) * channels;
    part.values.set(values.subarray(from, from + line), (row - top) * line);
  }
  return part;
}

/**
 * An image with the channels and the type of another.
 * @param {number} height @param {number} width @param {Image} like
 */
function empty(height, width, { channels, values }) {
  const samples = height * width * channels;
  return {
    height,
    width,
    channels,
    values: values instanceof Uint8Array ? new Uint8Array(samples) : new Float32Array(samples),
  };
}

/**
 * Applies a network to an image.
 * @param {Field} field
 * @param {number} units the largest tile, in units.
 * @param {Image} source
 * @param {number} height rows of the result; further ones are cut off.
 * @param {number} width columns of the result.
 * @param {(tile: Image) => Promise<Image>} network pads its input to whole units.
 * @param {(fraction: number) => Promise<void>} report is called after each tile.
 * @returns {Promise<Image>}
 */
export async function tiled(field, units, source, height, width, network, report) {
  const [rows, columns] = [source.height, source.width].map((size) => Math.ceil(size / field.inputs));
  let length = [rows, columns];
  if (field.memory) {
    const side = Math.max(MIN_SIDE, Math.floor(Math.sqrt(units)));
    const across = Math.min(columns, side);
    const down = Math.min(rows, Math.max(side, Math.floor(units / across)));
    length = [even(rows, down, field), even(columns, Math.max(across, Math.floor(units / down)), field)];
  }
  const tiles = spans(rows, length[0], field).flatMap((i) =>
    spans(columns, length[1], field).map((j) => [i, j]),
  );
  const { inputs, outputs } = field;
  /** @type {Image | null} */
  let result = null;
  for (const [done, [i, j]] of tiles.entries()) {
    const part = await network(
      crop(source, i.begin * inputs, j.begin * inputs, i.end * inputs, j.end * inputs),
    );
    if (tiles.length === 1) return crop(part, 0, 0, height, width);
    result ??= empty(height, width, part);
    const [top, left] = [i.first * outputs, j.first * outputs];
    const end = [Math.min(i.last * outputs, height), Math.min(j.last * outputs, width)];
    const [down, across] = [top - i.begin * outputs, left - j.begin * outputs];
    const kept = crop(part, down, across, down + end[0] - top, across + end[1] - left);
    for (let row = 0; row < kept.height; row++) {
      const from = row * kept.width * kept.channels;
      const to = ((top + row) * width + left) * kept.channels;
      result.values.set(kept.values.subarray(from, from + kept.width * kept.channels), to);
    }
    await report((done + 1) / tiles.length);
  }
  if (!result) throw new Error("an image has at least one tile");
  return result;
}
