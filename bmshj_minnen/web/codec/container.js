/** The bytes of a file: metadata, header and payload, section 1 of FORMAT.md. */

import { checksum } from "./checksum.js";
import { FormatError, RequestError, checkBytes, checkWhole } from "./errors.js";
import { ONE_RATE, byteOfQuality, qualityOfByte } from "./quality.js";

const MAGIC = [0x42, 0x4d, 0x4d];
const METADATA_VERSION = 4;
const METADATA_HEADER = 16;
/** @type {Record<number, number>} */
const HEADERS = { 1: 20, 2: 21 };
export const MAX_SIDE = 65536;
export const DEFAULT_MAX_PIXELS = 2 ** 28;

/**
 * @typedef {object} Picture
 * @property {number} height rows of the image.
 * @property {number} width columns of the image.
 * @property {number | null} quality null for models for one rate.
 * @property {Uint8Array} payload
 * @property {Uint8Array} exif
 * @property {Uint8Array} xmp
 *
 * @typedef {object} Identity
 * @property {number} version the format version of the model's files.
 * @property {string} fingerprint hexadecimal.
 */

/** @param {Uint8Array} bytes */
const viewOf = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

/** @param {Uint8Array} a @param {Uint8Array} b */
const equal = (a, b) => a.length === b.length && a.every((byte, i) => byte === b[i]);

/** @param {Uint8Array} bytes */
const hexadecimal = (bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** Bytes of a hexadecimal text. @param {string} text */
const bytesOf = (text) => Uint8Array.from(text.match(/../g) ?? [], (digits) => parseInt(digits, 16));

/** All parts, one behind the other. @param {Uint8Array[]} parts */
function joined(...parts) {
  const result = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}

/**
 * Reads and checks a file.
 * @param {Uint8Array} file
 * @param {Identity} model
 * @param {number} maxPixels the largest image, in pixels.
 * @returns {Picture}
 * @throws {FormatError} the first condition of FORMAT.md that holds.
 * @throws {RequestError} the file is not a Uint8Array, or the limit not a whole number.
 */
export function unpack(file, model, maxPixels = DEFAULT_MAX_PIXELS) {
  checkBytes("file", file);
  checkWhole("limit of pixels", maxPixels);
  const { exif, xmp, rest } = splitMetadata(file);
  if (!rest.length) {
    if (file.length) throw new FormatError("no_picture", "The file has metadata, but no picture.");
    throw new FormatError("empty", "The file is empty.");
  }
  if (MAGIC.slice(0, rest.length).some((byte, i) => byte !== rest[i])) {
    throw new FormatError("not_compressed", "This is no .tfci file of this codec.");
  }
  if (rest.length > 3 && rest[3] !== model.version) {
    const versions = `version ${rest[3]}, and the model of this page reads version ${model.version}`;
    throw new FormatError("version", `The file has another format: ${versions}.`);
  }
  const header = HEADERS[model.version];
  const cut = `The file ends too early, after ${file.length} bytes: it was not copied or sent completely.`;
  if (rest.length < header) throw new FormatError("truncated_header", cut);
  const view = viewOf(rest);
  const fingerprint = hexadecimal(rest.subarray(4, 8));
  const [height, width] = [view.getUint16(8) + 1, view.getUint16(10) + 1];
  const end = header + view.getUint32(12);
  if (rest.length < end) throw new FormatError("truncated", cut);
  if (rest.length > end) {
    throw new FormatError("trailing_bytes", `${rest.length - end} bytes follow the end of the file.`);
  }
  const quality = model.version === 2 ? qualityOfByte(rest[16]) : null;
  if (model.version === 2 && quality === null) {
    throw new FormatError("quality", `The file is damaged: ${rest[16]} is no quality.`);
  }
  const payload = rest.subarray(header);
  const found = checksum(joined(rest.subarray(0, header - 4), payload));
  if (!equal(found, rest.subarray(header - 4, header))) {
    throw new FormatError("checksum", "The file is damaged: its checksum is wrong.");
  }
  if (fingerprint !== model.fingerprint) {
    const models = `${fingerprint}; this page has model ${model.fingerprint}`;
    throw new FormatError("model", `Another model wrote this file: model ${models}.`);
  }
  if (height * width > maxPixels) {
    const limit = `this page decodes up to ${Math.floor(maxPixels / 1e6)} million pixels`;
    throw new FormatError("too_large", `The picture is too large: ${width}×${height}; ${limit}.`);
  }
  return { height, width, quality, payload, exif, xmp };
}

/** @param {Uint8Array} file */
function splitMetadata(file) {
  const none = file.subarray(0, 0);
  if (![...MAGIC, METADATA_VERSION].every((byte, i) => file[i] === byte)) {
    return { exif: none, xmp: none, rest: file };
  }
  const cut = "The file ends within its metadata: it was not copied or sent completely.";
  if (file.length < METADATA_HEADER) throw new FormatError("truncated_metadata", cut);
  const view = viewOf(file);
  const middle = METADATA_HEADER + view.getUint32(8);
  const end = middle + view.getUint32(12);
  if (file.length < end) throw new FormatError("truncated_metadata", cut);
  const found = checksum(joined(file.subarray(0, 4), new Uint8Array(4), file.subarray(8, end)));
  if (!equal(found, file.subarray(4, 8))) {
    throw new FormatError("damaged_metadata", "The file is damaged: the checksum of its metadata is wrong.");
  }
  return {
    exif: file.subarray(METADATA_HEADER, middle),
    xmp: file.subarray(middle, end),
    rest: file.subarray(end),
  };
}

/**
 * Checks the size of a picture.
 * @param {any} height @param {any} width
 * @throws {RequestError} a side is not a whole number from 1 to 65536.
 */
export function checkSize(height, width) {
  if (Number.isInteger(height) && Number.isInteger(width) && Math.max(height, width) > MAX_SIDE) {
    throw new RequestError(`Sides of a picture may have ${MAX_SIDE} pixels; this one is ${width}×${height}.`);
  }
  checkWhole("height of a picture", height, MAX_SIDE);
  checkWhole("width of a picture", width, MAX_SIDE);
}

/**
 * Writes a file, without metadata.
 * @param {Identity} model
 * @param {number} height 1 to 65536.
 * @param {number} width 1 to 65536.
 * @param {number | null} quality null for models for one rate.
 * @param {Uint8Array} payload
 * @returns {Uint8Array}
 * @throws {RequestError} the size or the quality does not exist, or the payload is not a Uint8Array.
 */
export function pack(model, height, width, quality, payload) {
  checkSize(height, width);
  checkBytes("payload", payload);
  if (model.version === 1 && quality !== null) throw new RequestError(ONE_RATE);
  const header = HEADERS[model.version];
  const file = new Uint8Array(header + payload.length);
  const view = viewOf(file);
  file.set([...MAGIC, model.version, ...bytesOf(model.fingerprint)]);
  view.setUint16(8, height - 1);
  view.setUint16(10, width - 1);
  view.setUint32(12, payload.length);
  if (model.version === 2) file[16] = byteOfQuality(/** @type {number} */ (quality));
  file.set(payload, header);
  file.set(checksum(joined(file.subarray(0, header - 4), payload)), header - 4);
  return file;
}
