"""The page against Python: files exchanged, seconds, memory, bytes fetched, conformance vectors.

python -m experiments.web.run --images='kodak/*.png' --output=DIR

It needs Chromium, Node, and in `.node` the npm packages onnxruntime-web and playwright-core. Pages
are served on loopback, isolated from others and not.
"""

import hashlib
import json
import os
import pathlib
import statistics
import time

import numpy as np
import PIL.Image
from absl import app, flags

from bmshj_minnen import portable
from bmshj_minnen.command_line import usage
from bmshj_minnen.command_line.startup import one_line_errors
from bmshj_minnen.evaluation import markdown
from bmshj_minnen.model_files import model_directory
from bmshj_minnen.web import site
from experiments import common
from experiments.web import server
from experiments.web.browser import PACKAGES, Browser

_ROOT = pathlib.Path(__file__).parents[2]
_VECTORS = _ROOT / "tests" / "conformance"
_RUNTIME = PACKAGES / "node_modules" / "onnxruntime-web" / "dist"
_IMAGES = flags.DEFINE_string("images", None, "A pattern of photographs.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "A new folder for sites and files.", required=True)
_PARTS = flags.DEFINE_list(
  "parts", ["exchange", "vectors", "pictures", "seconds"], "The parts that are run."
)
_RUNS = flags.DEFINE_integer("runs", 5, "Runs that medians are of.", lower_bound=1)

# Cuts of the photographs: rows and columns; None: all.
_CUTS = [(None, None)] * 3 + [(511, 767), (333, 499), (257, 768), (512, 17), (100, 100), (1, 1)]
_CUTS += [(None, None)]
_QUALITIES = (10, 50, 90)
_MODES = {"isolated": True, "not isolated": False}


def _photographs(folder):
  """Writes ten photographs, cut to different sizes, and a larger one; yields their paths."""
  paths = common.find_images(_IMAGES.value)
  if len(paths) < len(_CUTS):
    raise ValueError(
      f"{_IMAGES.value} matches {len(paths)} photographs, but {len(_CUTS)} are needed"
    )
  images = [np.asarray(PIL.Image.open(path).convert("RGB")) for path in paths]
  cuts = [image[:rows, :columns] for image, (rows, columns) in zip(images, _CUTS)]
  # As large as those of CLIC: four photographs side by side.
  wide = [image for image in images if image.shape == images[0].shape][:4]
  square = np.concatenate([np.concatenate(wide[:2], 1), np.concatenate(wide[2:], 1)])
  cuts.append(square[:1023, :1535])
  for i, cut in enumerate(cuts):
    path = folder / f"{i:02d}.{cut.shape[1]}x{cut.shape[0]}.png"
    PIL.Image.fromarray(cut).save(path)
    yield path


def _digest(y_hat, step):
  return hashlib.sha256((y_hat / step).astype("<i4").tobytes()).hexdigest()


def _pixels(path):
  return np.asarray(PIL.Image.open(path).convert("RGB")).astype(int)


def _exchange(browser, address, folder, codec, step):
  """Files of Python in the page, and files of the page in Python."""
  description = json.loads((folder / "site" / "site.json").read_text("utf-8"))
  model = {"coder": description["coder"]["file"], "fingerprint": description["fingerprint"]}
  browser.call("visit", name="isolated", address=f"{address}site/")
  equal = samples = differing = largest = 0
  for i, path in enumerate(_photographs(folder)):
    quality = _QUALITIES[i % len(_QUALITIES)]
    image = _pixels(path).astype(np.uint8)
    files = {"page": path.with_suffix(".page.tfci"), "Python": path.with_suffix(".python.tfci")}
    files["Python"].write_bytes(codec.compress(image, quality=quality))
    png = path.with_suffix(".page.png.out")
    job = {"path": str(path), "quality": quality, "tfci": str(files["page"]), "png": str(png)}
    browser.call("file", name="isolated", **job)
    for writer, file in files.items():
      if writer == "Python":
        browser.call("file", name="isolated", path=str(file), png=str(png))
      data = file.read_bytes()
      found = browser.call(
        "latents", name="isolated", site=f"{address}site/", file=str(file), **model
      )["digest"]
      same = found == _digest(codec.latents(data).y_hat, step)
      difference = abs(_pixels(png) - codec.decompress(data))
      equal += same
      samples, differing = samples + difference.size, differing + np.count_nonzero(difference)
      largest = max(largest, difference.max())
      print(
        f"{path.stem} quality {quality} written by {writer}: {len(data)} bytes, ŷ"
        f" {'equal' if same else 'DIFFERENT'}, {np.count_nonzero(difference)} of"
        f" {difference.size} samples differ, by at most {difference.max()}",
        flush=True,
      )
    print(f"  bytes equal: {files['page'].read_bytes() == files['Python'].read_bytes()}")
  print(
    f"files with equal ŷ: {equal} of {2 * (i + 1)}; {1e6 * differing / samples:.0f} of a million"
    f" samples differ, by at most {largest}"
  )


def _vectors(browser, address, folder):
  """All conformance vectors, by the modules in the page and then by pages of each model."""
  browser.call("visit", name="isolated", address=f"{address}site/")
  places = {"site": f"{address}site/", "vectors": f"{address}conformance/"}
  found = browser.call("vectors", name="isolated", pretrained=f"{address}pretrained/", **places)
  print(f"by the modules: {found}", flush=True)
  index = json.loads((_VECTORS / "index.json").read_text("utf-8"))
  counts = {"pictures": [0, 0], "decoded": [0, 0], "refused": [0, 0]}
  largest, png = 0, folder / "vector.png"
  for name, own in index["models"].items():
    source = own.get("shipped") or str(_VECTORS / own["directory"])
    site.export(source, folder / name, _RUNTIME)
    browser.call("visit", name=name, address=f"{address}{name}/")
    for entry in (e for e in index["files"] if e["model"] == name):
      answer = browser.call("file", name=name, path=str(_VECTORS / entry["file"]), png=str(png))
      counts["decoded"][1] += 1
      counts["decoded"][0] += not answer.get("error")
      if "pixels" in entry:
        difference = abs(_pixels(png) - _pixels(_VECTORS / entry["pixels"])).max()
        counts["pictures"][1] += 1
        counts["pictures"][0] += difference <= 1
        largest = max(largest, difference)
    for entry in (e for e in index["refused"] if e["model"] == name and "max_pixels" not in e):
      answer = browser.call("file", name=name, path=str(_VECTORS / entry["file"]))
      counts["refused"][1] += 1
      # The page opens other files as pictures, so it says in another way that they are none.
      expected = "" if entry["reason"] == "not_compressed" else entry["reason"]
      right = bool(answer.get("error")) and answer["reason"] in (expected, entry["reason"])
      counts["refused"][0] += right
      if not right:
        print(f"  {entry['file']}: {answer}, expected {entry['reason']}")
    browser.call("close", name=name)
    print(f"{name}: {counts}", flush=True)
  print(f"pixels differ by at most {largest}")


def _seconds(browser, addresses, folder, codec):
  """Seconds of 768x512 in turn, bytes fetched, and memory."""
  path = next(_photographs(folder))
  if not path.stem.endswith("768x512"):
    raise ValueError("the first photograph must have 768x512 pixels")
  image = _pixels(path).astype(np.uint8)
  codecs = {"ONNX Runtime": codec, "TensorFlow": model_directory.load()}
  for mode, address in addresses.items():
    for visit in ("first", "second"):
      before = server.SENT[address]
      found = browser.call("visit", name=f"{mode} timed", address=f"{address}site/")
      print(
        f"{mode}, {visit} visit: {server.SENT[address] - before} bytes sent, {found}", flush=True
      )
  times = {}
  for run in range(_RUNS.value + 1):
    rows = {}
    for name, own in codecs.items():
      begin = time.perf_counter()
      data = own.compress(image)
      middle = time.perf_counter()
      own.decompress(data)
      rows[name] = middle - begin, time.perf_counter() - middle
    for mode in addresses:
      found = browser.call("file", name=f"{mode} timed", path=str(path), quality=50)
      rows[f"page, {mode}"] = found["encode"], found["decode"]
    if run:  # The first one prepares.
      for name, row in rows.items():
        times.setdefault(name, []).append(row)
    load = os.getloadavg()[0]
    print(f"run {run}, load {load:.1f}: {rows}", flush=True)
  head = ["768x512, s", "encode: median", "min", "decode: median", "min"]
  cells = {
    name: [f"{f(column):.2f}" for column in zip(*rows) for f in (statistics.median, min)]
    for name, rows in times.items()
  }
  print(markdown.table(head, ([name, *own] for name, own in cells.items())))
  print(f"peak of a renderer: {browser.call('memory')['peak'] / 2**20:.0f} MiB")


def _pictures(browser, address, folder):
  """Pictures of the page for the eye."""
  browser.call("visit", name="isolated", address=f"{address}site/")
  path = common.find_images(_IMAGES.value)[-2]
  browser.call("file", name="isolated", path=path, quality=40)
  for width, show in ((1440, "picture"), (390, "picture"), (1440, "bits"), (390, "bits")):
    name = str(folder / f"page_{width}_{show}.png")
    browser.call("picture", name="isolated", path=name, width=width, show=show)


def main(argv) -> None:
  """Runs the parts."""
  usage.refuse_arguments(argv, has_patterns=True)
  with one_line_errors():
    folder = pathlib.Path(_OUTPUT.value)
    folder.mkdir(parents=True)
    site.export("default", folder / "site", _RUNTIME)
    (folder / "conformance").symlink_to(_VECTORS)
    (folder / "pretrained").symlink_to(_ROOT / "bmshj_minnen" / "pretrained")
    codec = portable.load()
    step = site.read_prior(site.catalogue.find("default")).y_step
    with server.serving(str(folder)) as isolated, server.serving(str(folder), False) as plain:
      with Browser() as browser:
        if "exchange" in _PARTS.value:
          _exchange(browser, isolated, folder, codec, step)
        if "vectors" in _PARTS.value:
          _vectors(browser, isolated, folder)
        if "pictures" in _PARTS.value:
          _pictures(browser, isolated, folder)
      if "seconds" in _PARTS.value:
        with Browser() as browser:
          _seconds(browser, dict(zip(_MODES, (isolated, plain))), folder, codec)


if __name__ == "__main__":
  app.run(main)
