"""Previews and parts of a large photograph: seconds and memory beside the whole picture.

`python -m experiments.reliability.previews --photograph=../shared/data/unsplash_ds3/NAME.jpg`

The photograph is enlarged to 12 megapixels and compressed. The latents are decoded once, which
takes the same time in all cases. Each case then runs in a process of its own, in turn, with these
latents. Some photographs show how many bytes an embedded preview would take.
"""

import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import PIL.Image
from absl import app, flags

from bmshj_minnen import portable
from bmshj_minnen.command_line import facts as file_facts
from bmshj_minnen.command_line import startup, usage
from bmshj_minnen.data import finding
from bmshj_minnen.images import image_files
from experiments import common

_PHOTOGRAPH = flags.DEFINE_string(
  "photograph", "", "A photograph to enlarge; empty: a bundled one."
)
_SMALL = flags.DEFINE_string("small", None, "Photographs for embedded previews, a pattern.")
_MEMORY = flags.DEFINE_list("memory", ["1024", "256"], "MiB for the networks.")
_SELECTED = flags.DEFINE_list("cases", None, "Parts of the names of cases; all by default.")
_PIXELS = flags.DEFINE_integer("pixels", 12_000_000, "Size of the large picture.")
_ROUNDS = flags.DEFINE_integer("rounds", 2, "Times that each case runs.", 1)
_OUTPUT = flags.DEFINE_string("output", None, "File for the results, JSON.")
_FILE = flags.DEFINE_string("file", None, "The large picture, compressed already.")
_CASES = {
  "whole": "codec.decompress(data, seconds)",
  "scale=1/2": "codec.decompress(data, seconds, scale=1 / 2)",
  "scale=1/4": "codec.decompress(data, seconds, scale=1 / 4)",
  "scale=1/8": "codec.decompress(data, seconds, scale=1 / 8)",
  "region of 512x512": "codec.decompress(data, seconds, region=(1700, 1100, 512, 512))",
  "Pillow, thumbnail of 512": "opened.thumbnail((512, 512))",
  "Pillow, crop of 512x512": "opened.crop((1700, 1100, 2212, 1612))",
}
# A process that prints the seconds of a case, and the growth of its largest memory, MiB. The
# latents come from a file, and their memory counts.
_PROGRAM = """
import json, sys, time
import numpy as np
import PIL.Image
import bmshj_minnen.pillow
from bmshj_minnen import portable
path, memory, stored = sys.argv[1], int(float(sys.argv[2]) * 2**20), sys.argv[3]
data = open(path, "rb").read()
codec = portable.load_for(data, memory=memory)
bmshj_minnen.pillow.use(codec)
codec.decompress(codec.compress(np.zeros((64, 64, 3), np.uint8)))
opened, seconds = PIL.Image.open(path), {}
if stored:
  def decode(payload, *size):
    with np.load(stored) as arrays:
      return arrays["y_hat"], arrays["z_hat"], True
  codec._coder.decode = decode
def peak():  # MiB; getrusage would count the parent's, too.
  return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1024
before, begin, processor = peak(), time.perf_counter(), time.process_time()
%s
print(json.dumps({"seconds": time.perf_counter() - begin,
  "processor": time.process_time() - processor, "MiB": peak() - before, **seconds}))
"""


def _run(case, path, memory):
  stored = f"{path}.npz"
  command = [sys.executable, "-c", _PROGRAM % _CASES[case], path, str(memory), stored]
  done = subprocess.run(command, capture_output=True, text=True, check=True)
  return json.loads(done.stdout)


def _large(path):
  image = PIL.Image.fromarray(image_files.read_image(path))
  factor = (_PIXELS.value / (image.width * image.height)) ** 0.5
  size = round(image.width * factor), round(image.height * factor)
  return np.asarray(image.resize(size, PIL.Image.Resampling.BICUBIC))


def _figures(path):
  """Medians of each case, for each memory."""
  chosen = [c for c in _CASES if not _SELECTED.value or any(s in c for s in _SELECTED.value)]
  runs = {(case, int(memory)): [] for memory in _MEMORY.value for case in chosen}
  for _ in range(_ROUNDS.value):
    for case, memory in runs:
      runs[case, memory].append(_run(case, path, memory))
      print(case, memory, runs[case, memory][-1], flush=True)
  return {
    f"{case}, {memory} MiB": {
      name: round(float(np.median([run[name] for run in found])), 2) for name in found[0]
    }
    for (case, memory), found in runs.items()
  }


def _embedded(codec):
  """Mean bytes of files at two qualities, and of previews of 32 pixels in WebP and JPEG."""
  sums: dict[str, list[int]] = {}
  for path in common.find_images(_SMALL.value)[:12]:
    image = image_files.read_image(path)
    for quality in (20, 50):
      data = codec.compress(image, quality=quality)
      sums.setdefault(f"file, quality {quality}", []).append(len(data))
    preview = PIL.Image.fromarray(image)
    preview.thumbnail((32, 32))
    for name, options in (("WEBP", {"method": 6}), ("JPEG", {"optimize": True})):
      file = io.BytesIO()
      preview.save(file, name, quality=30, **options)
      sums.setdefault(f"preview, {name}", []).append(file.tell())
  return {name: round(float(np.mean(values))) for name, values in sums.items()}


def main(argv):
  """Compresses the large picture and runs the cases."""
  usage.refuse_arguments(argv, has_patterns=True)
  with startup.one_line_errors(), tempfile.TemporaryDirectory() as scratch:
    codec, path = portable.load(), _FILE.value
    source = _PHOTOGRAPH.value or finding.bundled_photographs()[0]
    if path is None:
      path = os.path.join(scratch, "large.tfci")
      pathlib.Path(path).write_bytes(codec.compress(_large(source)))
    facts = file_facts.facts_of(pathlib.Path(path).read_bytes())
    result = {name: facts[name] for name in ("width", "height", "bytes")}
    if not os.path.exists(f"{path}.npz"):
      begin, processor = time.perf_counter(), time.process_time()
      latents = codec.latents(pathlib.Path(path).read_bytes())
      result["entropy decoding"] = {
        "seconds": round(time.perf_counter() - begin, 2),
        "processor": round(time.process_time() - processor, 2),
      }
      np.savez(f"{path}.npz", **latents._asdict())
      print(json.dumps(result), flush=True)
    if _SMALL.value:
      result["embedded"] = _embedded(codec)
      print(json.dumps(result), flush=True)
    result["cases"] = _figures(path)
    print(json.dumps(result["cases"], indent=2))
    if _OUTPUT.value:
      common.write_json(_OUTPUT.value, result)


if __name__ == "__main__":
  app.run(main)
