
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const column = Object.fromEntries(data.figures.map((name, i) => [name, i]));
const figure = (row, name) => row[column[name]];
const chosen = (name) => document.querySelector(`input[name=${name}]:checked`)?.value;
const ORIGINAL = "original";
const NARROW_PLOT = 300;  // Pixels.
const METRIC_TITLES = { psnr_db: "PSNR (dB)", ms_ssim_db: "MS-SSIM (dB)" };
const HEADS = {
  codec: "codec", setting: "quality", bytes: "bytes", bpp: "bits per pixel", psnr_db: "PSNR, dB",
  ms_ssim: "MS-SSIM", ms_ssim_db: "its dB", encode_s: "encode, s", decode_s: "decode, s",
  ssimulacra2: "SSIMULACRA 2", flip: "FLIP",
};
const DIGITS = { bpp: 4, psnr_db: 2, ms_ssim: 5, ms_ssim_db: 2, encode_s: 3, decode_s: 3, ssimulacra2: 2, flip: 4 };

function text(row, name) {
  const value = figure(row, name);
  if (name === "codec") return data.codecs[value].title;
  if (name === "setting") return value;
  if (value === null) return "–";
  if (name === "bytes") return Math.round(value).toLocaleString("en");
  return value.toFixed(DIGITS[name]);
}

function escaped(value) {
  const element = document.createElement("span");
  element.textContent = value;
  return element.innerHTML;
}

function hover(row) {
  return `<b>${escaped(text(row, "codec"))}</b><br>quality ${escaped(text(row, "setting"))}<br>` +
    `${text(row, "bytes")} bytes, ${text(row, "bpp")} bpp<br>` +
    `PSNR ${text(row, "psnr_db")} dB<br>MS-SSIM ${text(row, "ms_ssim")}`;
}

/** Draws one curve per codec through rows, with rings around the rows that are shown. */
function plot(element, rows, rings) {
  const metric = chosen("metric");
  const narrow = window.innerWidth < 600;
  const traces = Object.entries(data.codecs).map(([codec, look]) => {
    const own = rows.filter((row) => figure(row, "codec") === codec && figure(row, metric) !== null)
      .sort((a, b) => figure(a, "bpp") - figure(b, "bpp"));
    return {
      name: escaped(look.title), mode: "lines+markers",
      x: own.map((row) => figure(row, "bpp")), y: own.map((row) => figure(row, metric)),
      text: own.map(hover), hoverinfo: "text",
      line: { color: look.colour, dash: look.dash, width: 2 },
      marker: {
        color: look.colour, symbol: look.symbol, size: own.map((row) => (rings.includes(row) ? 13 : 7)),
      },
    };
  }).filter((trace) => trace.x.length);
  const shown = traces.flatMap((trace) => trace.y.filter((_, i) => trace.x[i] <= 2));
  const axis = { gridcolor: "#e3e6ea", zeroline: false, fixedrange: narrow };
  // A narrow plot has its legend below, a line per curve.
  const below = narrow ? 24 * traces.length : 0;
  element.style.height = narrow ? `${NARROW_PLOT + 56 + below}px` : "";
  const layout = {
    margin: { l: 52, r: 12, t: 12, b: 44 + below }, font: { family: "system-ui, DejaVu Sans, sans-serif" },
    hovermode: "closest", dragmode: narrow ? false : "zoom", showlegend: true,
    xaxis: {
      ...axis, title: { text: "bits per pixel" },
      range: [0, Math.min(2, 1.05 * Math.max(...traces.flatMap((trace) => trace.x)))],
    },
    yaxis: {
      ...axis, title: { text: METRIC_TITLES[metric] },
      range: shown.length ? [Math.min(...shown) - 1, Math.max(...shown) + 1] : undefined,
    },
    legend: narrow ? { x: 0, y: -52 / NARROW_PLOT, yanchor: "top" } : { x: 1, xanchor: "right", y: 0.02, yanchor: "bottom" },
  };
  Plotly.react(element, traces, layout, { responsive: true, displaylogo: false, displayModeBar: false });
}

function fillTable(table, rows) {
  const cell = (tag, name, content) => {
    const kind = name === "codec" || name === "setting" ? ' class="text"' : "";
    return `<${tag}${kind}>${escaped(content)}</${tag}>`;
  };
  const head = data.figures.map((name) => cell("th", name, HEADS[name])).join("");
  const line = (row) => data.figures.map((name, i) => cell(i ? "td" : "th", name, text(row, name))).join("");
  const body = rows.map((row) => `<tr>${line(row)}</tr>`).join("");
  table.innerHTML = `<thead><tr>${head}</tr></thead><tbody>${body}</tbody>`;
}

function option(value, label) {
  const element = document.createElement("option");
  [element.value, element.textContent] = [value, label];
  return element;
}

const viewer = new Viewer();

const image = () => data.images[byId("image").selectedIndex];
const level = () => image().levels[Number(chosen("level") ?? 0)] ?? {};

function showSides() {
  const { original, rows, width, height } = image();
  ["left", "right"].forEach((name, index) => {
    const codec = byId(name).value;
    const entry = level()[codec];
    const source = entry ? { ...entry, original } : { picture: original, original, bits: "" };
    viewer.setSide(index, source, chosen("show"));
    byId(`${name}_caption`).innerHTML = entry
      ? caption(rows[entry.row])
      : `<b>Original</b>${width}×${height} pixels`;
  });
  const names = ["left", "right"].map((name) => byId(`${name}_caption`).textContent);
  byId("stage").setAttribute("aria-label", `Left: ${names[0]}. Right: ${names[1]}.`);
  byId("scale").hidden = chosen("show") !== "bits";
  viewer.place();
  drawImagePlot();
}

function caption(row) {
  const parts = [
    `quality ${text(row, "setting")}`, `${text(row, "bytes")} bytes`, `${text(row, "psnr_db")} dB`,
    `MS-SSIM ${text(row, "ms_ssim")}`, `encode ${text(row, "encode_s")} s`,
    `decode ${text(row, "decode_s")} s`,
  ];
  return `<b>${escaped(text(row, "codec"))}</b>` +
    parts.map((part) => `<span>${escaped(part)}</span>`).join(", ");
}

function drawImagePlot() {
  const { rows } = image();
  const rings = ["left", "right"].map((name) => rows[level()[byId(name).value]?.row]);
  plot(byId("image_plot"), rows, rings);
}

function showImage() {
  const { levels, width, height, rows } = image();
  const before = Math.min(Number(chosen("level") ?? Math.min(1, levels.length - 1)), levels.length - 1);
  byId("level").querySelectorAll("label").forEach((label) => label.remove());
  levels.forEach((own, i) => {
    const label = document.createElement("label");
    const bytes = figure(rows[Object.values(own)[0].row], "bytes");
    const size = bytes < 10000 ? bytes.toLocaleString("en") : `${Math.round(bytes / 1000)} kB`;
    label.innerHTML = `<input type="radio" name="level" value="${i}"> ${size}`;
    label.firstChild.checked = i === before;
    byId("level").append(label);
  });
  const codecs = levels.length ? Object.keys(levels[0]) : [];
  ["left", "right"].forEach((name, index) => {
    const select = byId(name);
    const wanted = select.value || (index ? codecs[0] : codecs[codecs.indexOf("jpeg420")] ?? ORIGINAL);
    const titles = codecs.map((codec) => option(codec, data.codecs[codec].title));
    select.replaceChildren(option(ORIGINAL, "Original"), ...titles);
    select.value = codecs.includes(wanted) ? wanted : ORIGINAL;
  });
  viewer.fit(width, height);
  fillTable(byId("image_table"), rows);
  showSides();
}

function showMetric() {
  for (const element of document.querySelectorAll("[data-metric]")) {
    element.hidden = element.dataset.metric !== chosen("metric");
  }
  const averages = data.averages[chosen("metric")];
  plot(byId("averages_plot"), averages, []);
  fillTable(byId("averages_table"), averages);
  drawImagePlot();
}

function step(by) {
  const count = data.images.length;
  byId("image").selectedIndex = (byId("image").selectedIndex + by + count) % count;
  showImage();
}

byId("image").replaceChildren(...data.images.map(({ name }) => option(name, name)));
byId("image").addEventListener("change", showImage);
byId("previous").addEventListener("click", () => step(-1));
byId("next").addEventListener("click", () => step(1));
byId("metric").addEventListener("change", showMetric);
for (const id of ["left", "right", "show", "level"]) byId(id).addEventListener("change", showSides);
showImage();
showMetric();
