// Headless Chromium by lines of JSON on standard input and output; `browser.py` sends them.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [packages, executablePath] = process.argv.slice(2);
const { chromium } = createRequire(`${packages}/package.json`)("playwright-core");
const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"];
args.push("--disable-background-networking", "--disable-component-update");
const browser = await chromium.launch({ executablePath, headless: true, args });
const pages = new Map();

const idle = (page) =>
  page.waitForFunction(() => document.body.dataset.state === "idle", null, { timeout: 600000 });

async function bytesAt(page, selector) {
  const text = await page.evaluate(
    (name) =>
      fetch(document.querySelector(name).href)
        .then((response) => response.blob())
        .then(
          (blob) =>
            new Promise((done) => {
              const reader = new FileReader();
              reader.onload = () => done(reader.result);
              reader.readAsDataURL(blob);
            }),
        ),
    selector,
  );
  return Buffer.from(text.split(",")[1], "base64");
}

const operations = {
  /** Opens a page in a profile of its own, or again in the same one. */
  async visit({ name, address }) {
    let page = pages.get(name);
    if (!page) {
      const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
      page = await context.newPage();
      pages.set(name, page);
    }
    const begin = performance.now();
    await page.goto("about:blank");
    await page.goto(address);
    await idle(page);
    const seconds = (performance.now() - begin) / 1000;
    const { fetched, threads } = await page.evaluate(() => ({ ...document.body.dataset }));
    return {
      seconds,
      fetched: Number(fetched),
      threads: Number(threads),
      text: await page.textContent("#machine"),
    };
  },

  /** Opens a file; saves the .tfci, if the page made one, and the PNG. */
  async file({ name, path, quality, tfci, png }) {
    const page = pages.get(name);
    if (quality) {
      await page.evaluate((value) => (document.getElementById("quality").value = value), String(quality));
    }
    await page.evaluate(() => (document.body.dataset.state = "waiting"));
    await page.setInputFiles("#file", path);
    await idle(page);
    const error = await page.textContent("#error");
    const reason = await page.evaluate(() => document.body.dataset.reason);
    if (error) return { error, reason };
    if (tfci) writeFileSync(tfci, await bytesAt(page, "#save_file"));
    if (png) writeFileSync(png, await bytesAt(page, "#save_png"));
    const rows = await page.evaluate(() =>
      [...document.querySelectorAll("#figures tr")].map((row) =>
        [...row.cells].map((cell) => cell.textContent),
      ),
    );
    const [, , , , encode, decode] = rows[1];
    return { encode: parseFloat(encode), decode: parseFloat(decode), rows };
  },

  /** ŷ, ẑ and refusals of all conformance vectors, by the modules of the site in the page. */
  async vectors({ name, site, vectors, pretrained }) {
    return pages.get(name).evaluate(
      async ([base, folder, shipped]) => {
        const load = (module) => import(new URL(`codec/${module}.js`, base));
        const [{ Prior }, { unpack }, { decode }] = await Promise.all(
          ["model", "container", "latents"].map(load),
        );
        const bytes = async (address) => new Uint8Array(await (await fetch(address)).arrayBuffer());
        const products = await WebAssembly.compile(await bytes(new URL("codec/products.wasm", base)));
        const index = await (await fetch(new URL("index.json", folder))).json();
        const digest = async (values) => {
          const hash = await crypto.subtle.digest("SHA-256", Int32Array.from(values));
          return [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
        };
        const models = {};
        for (const [key, own] of Object.entries(index.models)) {
          const at = own.directory
            ? new URL(`${own.directory}/`, folder)
            : new URL(`${own.shipped}/`, shipped);
          const prior = await Prior.read(await bytes(new URL("coder.npz", at)), products);
          models[key] = { prior, identity: { version: prior.version, fingerprint: own.fingerprint } };
        }
        const decoded = async (entry) => {
          const { prior, identity } = models[entry.model];
          const picture = unpack(await bytes(new URL(entry.file, folder)), identity, entry.max_pixels);
          const work = decode(
            prior,
            picture.payload,
            Math.ceil(picture.height / 16),
            Math.ceil(picture.width / 16),
          );
          for (;;) {
            const { done, value } = work.next();
            if (done) return value;
          }
        };
        const result = { equal: 0, files: index.files.length, refused: 0, refusals: index.refused.length };
        for (const entry of index.files) {
          const { y, z } = await decoded(entry);
          const isEqual = (await digest(y)) === entry.y_hat.sha256;
          if (isEqual && (!entry.z_hat || (await digest(z)) === entry.z_hat.sha256)) result.equal++;
        }
        for (const entry of index.refused) {
          const reason = await decoded(entry).then(
            () => "",
            (error) => error.reason,
          );
          if (reason === entry.reason) result.refused++;
        }
        return result;
      },
      [site, vectors, pretrained],
    );
  },

  /** The SHA-256 of ŷ / y_step of a file, as int32, decoded by the modules of the site in the page. */
  async latents({ name, site, coder, fingerprint, file }) {
    return pages.get(name).evaluate(
      async ([base, coderFile, model, text]) => {
        const load = (module) => import(new URL(`codec/${module}.js`, base));
        const [{ Prior }, { unpack }, { decode }] = await Promise.all(
          ["model", "container", "latents"].map(load),
        );
        const bytes = async (address) =>
          new Uint8Array(await (await fetch(new URL(address, base))).arrayBuffer());
        const products = await WebAssembly.compile(await bytes("codec/products.wasm"));
        const prior = await Prior.read(await bytes(coderFile), products);
        const content = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
        const picture = unpack(content, { version: prior.version, fingerprint: model });
        const work = decode(
          prior,
          picture.payload,
          Math.ceil(picture.height / 16),
          Math.ceil(picture.width / 16),
        );
        for (;;) {
          const { done, value } = work.next();
          if (!done) continue;
          const hash = await crypto.subtle.digest("SHA-256", Int32Array.from(value.y));
          return {
            digest: [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0")).join(""),
          };
        }
      },
      [site, coder, fingerprint, readFileSync(file).toString("base64")],
    );
  },

  /** The largest resident memory of a process of the browser that runs pages, bytes. */
  async memory() {
    const session = await browser.newBrowserCDPSession();
    const { processInfo } = await session.send("SystemInfo.getProcessInfo");
    const peaks = processInfo
      .filter(({ type }) => type === "renderer")
      .map(({ id }) => {
        const status = readFileSync(`/proc/${id}/status`, "utf8");
        return 1024 * Number(/VmHWM:\s+(\d+)/.exec(status)[1]);
      });
    return { peak: Math.max(...peaks) };
  },

  /** A picture of the page at a width. */
  async picture({ name, path, width, show }) {
    const page = pages.get(name);
    await page.evaluate(
      (value) => document.querySelector(`input[value=${value}]`).click(),
      show ?? "picture",
    );
    await page.setViewportSize({ width, height: 900 });
    await page.waitForTimeout(2000);
    await page.screenshot({ path, fullPage: true });
    await page.setViewportSize({ width: 1440, height: 900 });
    return {};
  },

  async close({ name }) {
    await pages.get(name).context().close();
    pages.delete(name);
    return {};
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { operation, ...fields } = JSON.parse(line);
  let answer;
  try {
    answer = await operations[operation](fields);
  } catch (error) {
    answer = { failed: String(error.stack ?? error) };
  }
  console.log(JSON.stringify(answer));
}
await browser.close();
