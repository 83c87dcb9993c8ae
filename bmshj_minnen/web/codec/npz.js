/** Arrays of a NumPy archive: a zip, stored or deflated, of .npy files. */

/**
 * @typedef {Int8Array | Uint8Array | Int16Array | Int32Array | Float32Array | Float64Array} Numbers
 *
 * @typedef {object} NamedArray
 * @property {number[]} shape
 * @property {Numbers} values in C order; 64-bit integers as float64 numbers.
 * @property {string} text of an array of characters.
 */

const CENTRAL = 0x02014b50;
const END = 0x06054b50;
const END_SIZE = 22;

/**
 * Reads all arrays of an archive by name.
 * @param {Uint8Array} bytes
 * @returns {Promise<Map<string, NamedArray>>}
 */
export async function readNpz(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let end = bytes.length - END_SIZE;
  while (end >= 0 && view.getUint32(end, true) !== END) end--;
  if (end < 0) throw new Error("the model's arrays are damaged: they are no archive");
  let at = view.getUint32(end + 16, true);
  /** @type {Map<string, NamedArray>} */
  const arrays = new Map();
  for (let count = view.getUint16(end + 10, true); count; count--) {
    if (view.getUint32(at, true) !== CENTRAL) throw new Error("the model's arrays are damaged");
    const method = view.getUint16(at + 10, true);
    const packed = view.getUint32(at + 20, true);
    const nameSize = view.getUint16(at + 28, true);
    const local = view.getUint32(at + 42, true);
    const name = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + nameSize));
    const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    const content = bytes.subarray(start, start + packed);
    arrays.set(name.replace(/\.npy$/, ""), readNpy(method ? await inflated(content) : content));
    at += 46 + nameSize + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
  }
  return arrays;
}

/** @param {Uint8Array} bytes */
async function inflated(bytes) {
  const stream = new Blob([/** @type {BlobPart} */ (bytes)]).stream();
  const result = stream.pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(result).arrayBuffer());
}

/** @param {Uint8Array} file @returns {NamedArray} */
function readNpy(file) {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const start = file[6] === 1 ? 10 : 12;
  const size = file[6] === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  const header = new TextDecoder().decode(file.subarray(start, start + size));
  const [, kind = "", shapeText = ""] = /'descr': *'(.*?)'.*'shape': *\((.*?)\)/.exec(header) ?? [];
  if (!/'fortran_order': *False/.test(header)) throw new Error("the model's arrays are not in C order");
  const shape = shapeText
    .split(",")
    .filter((part) => part.trim())
    .map(Number);
  const data = file.slice(start + size); // A copy, which is aligned.
  if (kind.startsWith("<U")) {
    const points = new Uint32Array(data.buffer, 0, data.length >> 2);
    let text = "";
    for (const point of points) if (point) text += String.fromCodePoint(point);
    return { shape, values: new Uint8Array(0), text };
  }
  return { shape, values: numbers(kind, data.buffer), text: "" };
}

/** @param {string} kind @param {ArrayBuffer} data @returns {Numbers} */
function numbers(kind, data) {
  switch (kind) {
    case "|u1":
      return new Uint8Array(data);
    case "<i4":
      return new Int32Array(data);
    case "<i8":
      return Float64Array.from(new BigInt64Array(data), Number);
    case "<f4":
      return new Float32Array(data);
    case "<f8":
      return new Float64Array(data);
    default:
      throw new Error(`the model's arrays have an unknown type, ${kind}`);
  }
}
