/** Fetches the large files of the site once, and keeps them in the browser. */

const PREFIX = "bmshj_minnen-";

/**
 * A file of the site.
 * @typedef {object} Listed
 * @property {string} file its address, relative to the site.
 * @property {number} bytes
 * @property {string} [integrity] its hash, as in HTML.
 */

/** Files by address; their content never changes. */
export class Store {
  /**
   * @param {URL} site
   * @param {string} version of the content: another version removes the files of this one.
   */
  constructor(site, version) {
    this.site = site;
    this.name = PREFIX + version;
    /** Bytes that came over the network. */
    this.fetched = 0;
    /** @type {(bytes: number) => void} */
    this.onBytes = () => {};
  }

  /** Removes the files of other versions. */
  async clean() {
    if (!("caches" in globalThis)) return; // As without HTTPS.
    for (const name of await caches.keys()) {
      if (name.startsWith(PREFIX) && name !== this.name) await caches.delete(name);
    }
  }

  /**
   * The content of a file.
   * @param {Listed} listed
   * @returns {Promise<Uint8Array>}
   */
  async get({ file, bytes, integrity }) {
    const address = new URL(file, this.site).href;
    const kept = await this.cache();
    const found = await kept?.match(address);
    if (found) {
      const content = new Uint8Array(await found.arrayBuffer());
      this.onBytes(content.length);
      if (content.length === bytes) return content;
    }
    const response = await fetch(address, integrity ? { integrity, mode: "cors" } : {});
    if (!response.ok || !response.body) throw new Error(`${address} cannot be fetched: ${response.status}`);
    const content = new Uint8Array(bytes);
    let at = 0;
    const reader = response.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (at + value.length > bytes) throw new Error(`${address} is larger than it should be`);
      content.set(value, at);
      at += value.length;
      this.fetched += value.length;
      this.onBytes(value.length);
    }
    if (at !== bytes) throw new Error(`${address} has ${at} bytes, not ${bytes}`);
    try {
      await kept?.put(address, new Response(/** @type {BodyInit} */ (content)));
    } catch {
      // A full disk, or a private window: it is fetched again next time.
    }
    return content;
  }

  async cache() {
    try {
      return "caches" in globalThis ? await caches.open(this.name) : null;
    } catch {
      return null;
    }
  }
}
