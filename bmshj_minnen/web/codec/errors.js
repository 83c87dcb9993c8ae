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
