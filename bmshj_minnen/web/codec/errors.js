/** Errors with a line for the person who uses the codec. */

/** A file that is refused; `reason` is a name from section 1 of FORMAT.md. */
export class FormatError extends Error {
  /** @param {string} reason @param {string} message */
  constructor(reason, message) {
    super(message);
    this.name = "FormatError";
    this.reason = reason;
  }
}

/** A request or a picture that cannot be served; the message says why. */
export class RequestError extends Error {
  /** @param {string} message */
  constructor(message) {
    super(message);
    this.name = "RequestError";
  }
}

/** A value in a message. @param {any} value */
export function shown(value) {
  if (typeof value === "string") return `"${value.slice(0, 40)}"`;
  if (typeof value === "number" || value === null || value === undefined) return String(value);
  return `a value of type ${value.constructor?.name ?? typeof value}`;
}

/**
 * Checks a whole number.
 * @param {string} name @param {any} value @param {number} most
 * @throws {RequestError} it is not a whole number from 1 to `most`.
 */
export function checkWhole(name, value, most = Number.MAX_SAFE_INTEGER) {
  if (Number.isInteger(value) && value >= 1 && value <= most) return;
  const range = most === Number.MAX_SAFE_INTEGER ? "of at least 1" : `from 1 to ${most}`;
  throw new RequestError(`The ${name} must be a whole number ${range}, not ${shown(value)}.`);
}

/**
 * Checks that values are bytes.
 * @param {string} name @param {any} value @param {number | null} length null: any.
 * @throws {RequestError} they are not a Uint8Array of this length.
 */
export function checkBytes(name, value, length = null) {
  if (!(value instanceof Uint8Array)) {
    throw new RequestError(`The ${name} must be a Uint8Array, not ${shown(value)}.`);
  }
  if (length !== null && value.length !== length) {
    throw new RequestError(`The ${name} must have ${length} bytes, not ${value.length}.`);
  }
}
