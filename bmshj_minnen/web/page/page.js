/** The page: requests to the worker, and the results in the viewer. */

/**
 * A picture that a side of the viewer shows.
 * @typedef {object} Shown
 * @property {string} title
 * @property {string} picture address.
 * @property {string} original address; empty without a photograph.
 * @property {string} bits address; empty without bits per position.
 * @property {number | null} bytes
 * @property {number | null} psnr
 * @property {string} [note]
 * @property {number} [encodeSeconds]
 * @property {number} [decodeSeconds]
 */

/** @param {string} id @returns {any} */
const byId = (id) => document.getElementById(id);
/** @param {string} name @returns {string} */
const chosen = (name) => /** @type {any} */ (document.querySelector(`input[name=${name}]:checked`)).value;
const SIDES = ["left", "right"];
const TITLES = { jpeg: "JPEG", webp: "WebP" };

const viewer = new Viewer();
/** @type {Worker} */
const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
/** @type {Map<number, {resolve: (result: any) => void, reject: (answer: any) => void}>} */
const waiting = new Map();
let lastId = 0;
/** Requests of the file that was opened last; older ones are cancelled. @type {Set<number>} */
const current = new Set();
/** Rises with each file and each setting, so that late results are dropped. */
let turn = 0;
/** @type {{name: string, rates: boolean, example: string} | null} */
let model = null;
let fileName = "picture";
let size = [1, 1];
/** @type {Record<string, Shown>} */
let shown = {};
let isPhotograph = false;
/** @type {string[]} */
let addresses = [];

/** @param {string} kind @param {object} fields @returns {Promise<any>} */
function ask(kind, fields = {}) {
  const id = ++lastId;
  worker.postMessage({ id, kind, ...fields });
  current.add(id);
  return new Promise((resolve, reject) => waiting.set(id, { resolve, reject })).finally(() => {
    waiting.delete(id);
    current.delete(id);
  });
}

worker.onmessage = (/** @type {MessageEvent} */ { data }) => {
  const own = waiting.get(data.id);
  if (!own) return;
  if (data.kind === "progress") showProgress(data);
  else if (data.kind === "done") own.resolve(data.result);
  else own.reject(data);
};
worker.onerror = (/** @type {ErrorEvent} */ event) =>
  fail({ message: `The page failed: ${event.message ?? "its worker cannot be loaded"}.` });

/** @param {{stage: string, fraction: number, done?: number, total?: number}} progress */
function showProgress({ stage, fraction, done = 0, total = 0 }) {
  byId("work").hidden = false;
  byId("progress").value = fraction;
  const megabytes = (/** @type {number} */ bytes) => (bytes / 1e6).toFixed(1);
  const texts = {
    load: `Loading the model: ${megabytes(done)} of ${megabytes(total)} MB`,
    encode: "Encoding",
    decode: "Decoding",
  };
  byId("status").textContent = texts[/** @type {keyof typeof texts} */ (stage)];
}

function idle() {
  byId("work").hidden = true;
  byId("progress").value = 0;
  byId("status").textContent = "";
}

/** @param {{message: string, cancelled?: boolean, reason?: string | null}} answer */
function fail({ message, cancelled = false, reason = null }) {
  idle();
  document.body.dataset.reason = reason ?? "";
  byId("error").textContent = cancelled ? "" : message;
  if (cancelled) byId("status").textContent = "Cancelled.";
  document.body.dataset.state = "idle";
}

function cancel() {
  turn++;
  for (const id of current) if (id !== startId) worker.postMessage({ id, kind: "cancel" });
}

/** Runs the work of a file or a setting, of which only the last counts. @param {() => Promise<void>} work */
async function run(work) {
  cancel();
  const own = turn;
  byId("error").textContent = "";
  byId("status").textContent = "";
  document.body.dataset.reason = "";
  byId("work").hidden = false;
  document.body.dataset.state = "busy";
  try {
    await started;
    if (own !== turn) return; // Cancelled before it began.
    await work();
    if (own === turn) {
      idle();
      document.body.dataset.state = "idle";
    }
  } catch (answer) {
    const { cancelled, message, reason } = /** @type {any} */ (answer);
    if (own === turn || (cancelled && !current.size)) fail({ message, cancelled, reason });
  }
}

/** @param {Blob} blob */
function addressOf(blob) {
  const address = URL.createObjectURL(blob);
  addresses.push(address);
  return address;
}

/** @param {Blob} blob @param {string} name */
function open(blob, name) {
  return run(async () => {
    const own = turn;
    const result = await ask("open", { blob });
    if (own !== turn) return;
    addresses.forEach((address) => URL.revokeObjectURL(address));
    addresses = [];
    shown = {};
    fileName = name.replace(/\.[^.]*$/, "") || "picture";
    isPhotograph = result.kind === "photograph";
    size = [result.width, result.height];
    byId("encode").disabled = !isPhotograph;
    byId("drop").hidden = true;
    byId("result").hidden = false;
    if (isPhotograph) {
      const address = addressOf(result.original);
      shown.original = {
        title: "Original",
        picture: address,
        original: address,
        bits: address, // The original beside the map of bits.
        bytes: null,
        psnr: null,
      };
      fillSides("original", "original");
      viewer.fit(size[0], size[1]);
      saves(null);
      await encode(own);
    } else {
      takeResult(result);
      fillSides("model", "model");
      viewer.fit(size[0], size[1]);
    }
  });
}

/** @param {number} own the turn that this belongs to. */
async function encode(own) {
  const bySize = chosen("by") === "size";
  const target = bySize
    ? { bytes: 1000 * Number(byId("size").value) }
    : { quality: Number(byId("quality").value) };
  const before = SIDES.map((side) => byId(side).value);
  const first = !shown.model;
  const result = await ask("encode", { target: model?.rates ? target : {} });
  if (own !== turn) return;
  delete shown.jpeg;
  delete shown.webp;
  takeResult(result);
  if (first) fillSides("original", "model");
  else fillSides(before[0], before[1]);
  byId("status").textContent = "JPEG and WebP at as many bytes";
  const others = await ask("others", { bytes: result.bytes });
  if (own !== turn) return;
  for (const [name, other] of Object.entries(others)) {
    if (!other) continue;
    shown[name] = {
      title: TITLES[/** @type {keyof typeof TITLES} */ (name)],
      picture: addressOf(other.blob),
      original: shown.original.picture,
      bits: "",
      bytes: other.bytes,
      psnr: other.psnr,
      note: other.bytes > result.bytes ? "its smallest file" : `quality ${Math.round(100 * other.setting)}`,
    };
  }
  if (first) fillSides("original", "model");
  else fillSides(before[0], before[1]);
}

/** @param {any} result of decoding. */
function takeResult(result) {
  const address = addressOf(result.picture);
  const original = shown.original?.picture ?? "";
  const note = result.quality === null ? "" : `quality ${result.quality}`;
  const { bytes, psnr, encodeSeconds, decodeSeconds } = result;
  const bits = addressOf(result.bits);
  shown.model = {
    title: `Model ${model?.name}`,
    picture: address,
    original,
    bits,
    bytes,
    psnr,
    note,
    encodeSeconds,
    decodeSeconds,
  };
  if (result.quality !== null && isPhotograph) {
    byId("quality").value = result.quality;
    byId("quality_shown").textContent = result.quality;
  }
  saves({ file: new Blob([result.file]), picture: address });
}

/** @param {{file: Blob, picture: string} | null} files */
function saves(files) {
  const [file, picture] = [byId("save_file"), byId("save_png")];
  file.hidden = !files || !isPhotograph;
  picture.hidden = !files;
  if (!files) return;
  file.href = addressOf(files.file);
  file.download = `${fileName}.tfci`;
  picture.href = files.picture;
  picture.download = `${fileName}.png`;
}

/** Fills the choices of both sides. @param {string} left @param {string} right */
function fillSides(left, right) {
  for (const [side, wanted] of [
    ["left", left],
    ["right", right],
  ]) {
    const options = Object.entries(shown).map(([value, { title }]) => {
      const option = document.createElement("option");
      [option.value, option.textContent] = [value, title];
      return option;
    });
    byId(side).replaceChildren(...options);
    byId(side).value = wanted in shown ? wanted : options[options.length - 1].value;
  }
  for (const input of document.querySelectorAll('input[value="difference"]')) {
    /** @type {any} */ (input).disabled = !isPhotograph;
  }
  if (!isPhotograph && chosen("show") === "difference") byId("show").querySelector("input").checked = true;
  showSides();
}

function showSides() {
  SIDES.forEach((name, index) => {
    const own = shown[byId(name).value];
    if (!own) return;
    viewer.size = size;
    viewer.setSide(index, own, chosen("show"));
    byId(`${name}_caption`).replaceChildren(...caption(own));
  });
  const names = SIDES.map((name) => byId(`${name}_caption`).textContent);
  byId("stage").setAttribute("aria-label", `Left: ${names[0]}. Right: ${names[1]}.`);
  byId("scale").hidden = chosen("show") !== "bits";
  viewer.place();
  showFigures();
}

/** @param {string} text @param {string} tag */
function element(text, tag) {
  const result = document.createElement(tag);
  result.textContent = text;
  return result;
}

/** @param {Shown} own */
function caption({ title, bytes, psnr, note }) {
  const parts = [note || "", bytes === null ? "" : `${bytes.toLocaleString("en")} bytes`, psnrText(psnr)];
  if (bytes === null) parts.push(`${size[0]}×${size[1]} pixels`);
  const text = parts.filter(Boolean).flatMap((part, i) => [i ? ", " : "", element(part, "span")]);
  return [element(title, "b"), ...text];
}

/** @param {number | null} psnr */
const psnrText = (psnr) =>
  psnr === null ? "" : psnr === Infinity ? "equal to the original" : `${psnr.toFixed(2)} dB`;

function showFigures() {
  const heads = ["", "bytes", "bpp", "PSNR", "encode", "decode"];
  const head = document.createElement("tr");
  head.append(...heads.map((text) => element(text, "th")));
  const rows = Object.values(shown)
    .filter(({ bytes }) => bytes !== null)
    .map((own) => {
      const bytes = own.bytes ?? 0;
      const seconds = (/** @type {number | undefined} */ value) =>
        value === undefined ? "–" : `${value.toFixed(2)} s`;
      const cells = [
        bytes.toLocaleString("en"),
        ((8 * bytes) / (size[0] * size[1])).toFixed(4),
        psnrText(own.psnr) || "–",
        seconds(own.encodeSeconds),
        seconds(own.decodeSeconds),
      ];
      const row = document.createElement("tr");
      row.append(element(own.title, "th"), ...cells.map((text) => element(text, "td")));
      return row;
    });
  byId("figures").replaceChildren(head, ...rows);
}

function showSetting() {
  const bySize = chosen("by") === "size";
  byId("by_quality").hidden = bySize;
  byId("by_size").hidden = !bySize;
  byId("quality_shown").textContent = byId("quality").value;
}

/** Encodes the photograph again. */
function again() {
  if (isPhotograph) run(() => encode(turn));
}

byId("file").addEventListener("change", () => {
  const [file] = byId("file").files;
  if (file) open(file, file.name);
  byId("file").value = ""; // So that the same file can be chosen again.
});
byId("example").addEventListener("click", async () => {
  await started;
  const response = await fetch(model?.example ?? "");
  if (response.ok) open(await response.blob(), "example");
  else fail({ message: `The example cannot be fetched: ${response.status}.` });
});
byId("setting").addEventListener("submit", (/** @type {Event} */ event) => {
  event.preventDefault();
  again();
});
byId("by").addEventListener("change", showSetting);
byId("quality").addEventListener("input", showSetting);
for (const id of ["quality", "size"]) byId(id).addEventListener("change", again);
byId("cancel").addEventListener("click", () => {
  cancel();
  fail({ message: "", cancelled: true });
});
for (const id of ["left", "right", "show"]) byId(id).addEventListener("change", showSides);
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  const file = event.dataTransfer?.files[0];
  if (file) open(file, file.name);
});

const forced = new URLSearchParams(location.search).get("gpu"); // "0" or "1", for comparisons.
const startId = lastId + 1;
const started = ask("start", { gpu: forced === null ? null : forced === "1" });
started.then((result) => {
  model = result;
  const { name, fingerprint, threads, gpu, fetched, rates } = result;
  byId("setting").hidden = !rates;
  const isolated = crossOriginIsolated
    ? `${threads} thread${threads > 1 ? "s" : ""}`
    : "one thread: the server does not isolate the page (COOP and COEP headers)";
  const loaded = fetched ? `${(fetched / 1e6).toFixed(1)} MB were fetched` : "nothing was fetched anew";
  byId("machine").textContent =
    `Model ${name} (${fingerprint}); ${gpu ? "GPU and " : ""}${isolated}; ${loaded}.`;
  Object.assign(document.body.dataset, { fetched, threads, gpu });
  if (document.body.dataset.state !== "busy") {
    idle();
    document.body.dataset.state = "idle";
  }
}, fail);
showSetting();
