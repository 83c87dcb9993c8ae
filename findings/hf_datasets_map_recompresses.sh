#!/usr/bin/env bash
# Hugging Face datasets compress a photograph again, at JPEG quality 75, when a map only looks at it.
#
# A column of type Image holds files. `Dataset.map` hands the function decoded Pillow images. If
# the function reads the pixels and returns something else (a size, an entropy, a caption), the
# image counts as changed, is written again by Pillow in the format that it was read from, and with
# Pillow's defaults: JPEG 4:2:0 at quality 75, lossy WebP at quality 80 even if the source was
# lossless, lossy AVIF. No warning, and the column looks the same. Images of PNG, or that are new
# objects (crop, copy, convert), are stored as PNG, without loss. The second half: images that the
# column names by path are stored as that path, so a function that paints on the image and returns
# it has no effect.
#
# Affected: everybody who prepares photographs for training or testing a codec with `map`: the
# codec then learns to code JPEG's blocks, and test figures are those of 34 dB originals. A map
# whose `input_columns` leave the image out keeps the bytes, and so does a map between
# `cast_column("image", Image(decode=False))` and its reverse.
#
# Expected: the bytes of the source, as long as nothing was changed; or a lossless format.
# Versions: datasets 5.2.0, Pillow 12.3.0, scikit-image 0.26.0 (for the photograph). 2026-11-28.
# Output seen (astronaut, 512x512):
#   source           map                            bytes before   after   PSNR to the source
#   JPEG 98 4:4:4    returns another column, only   216,276        216,276 equal
#   JPEG 98 4:4:4    the same, after image.load()   216,276         40,454 33.77
#   JPEG 98 4:4:4    returns the image              216,276         40,454 33.77
#   WebP lossless    returns the image              340,954         31,724 35.59
#   PNG              returns the image              424,520        424,520 equal
#   path of a file   paints, returns the image      the pixels are those of the file
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3.11}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  datasets==5.2.0 pillow==12.3.0 scikit-image==0.26.0 numpy==2.3.5 \
  2> "$work/pip.log" || { cat "$work/pip.log"; exit 2; }

cd "$work"
HF_HOME="$work/cache" HF_HUB_OFFLINE=1 "$work/venv/bin/python" - <<'PY'
import io
import sys

import datasets
import numpy as np
import PIL.Image
import PIL.ImageDraw
import skimage.data

datasets.disable_progress_bars()
FEATURES = datasets.Features({"image": datasets.Image()})


def psnr(first, second):
  error = np.mean((np.asarray(first, np.float64) - np.asarray(second, np.float64)) ** 2)
  return np.inf if error == 0 else 10 * np.log10(255**2 / error)


def encoded(form, **options):
  buffer = io.BytesIO()
  PIL.Image.fromarray(skimage.data.astronaut()).save(buffer, form, **options)
  return buffer.getvalue()


def another_column(example):
  return {"label": 1}


def look(example):
  example["image"].load()
  return {"label": 1}


def give_back(example):
  return {"image": example["image"]}


def paint(example):
  PIL.ImageDraw.Draw(example["image"]).rectangle((0, 0, 511, 511), fill=(255, 0, 0))
  return {"image": example["image"]}


def mapped(data, function):
  """Returns the bytes that are stored after `map`, and their PSNR to the source."""
  source = {"image": [{"bytes": data, "path": None}]}
  dataset = datasets.Dataset.from_dict(source, features=FEATURES).map(function)
  stored = dataset.cast_column("image", datasets.Image(decode=False))[0]["image"]["bytes"]
  return len(stored), psnr(dataset[0]["image"], PIL.Image.open(io.BytesIO(data)))


print("versions: datasets", datasets.__version__, "Pillow", PIL.__version__)
print("expected: the bytes of the source, or no loss")
print("seen:\n  source         map             before   after   PSNR to the source")
jpeg = encoded("JPEG", quality=98, subsampling=0)
webp = encoded("WEBP", lossless=True)
png = encoded("PNG")
seen = []
for name, data, function in (
  ("JPEG 98", jpeg, another_column),
  ("JPEG 98", jpeg, look),
  ("JPEG 98", jpeg, give_back),
  ("WebP lossless", webp, give_back),
  ("PNG", png, give_back),
):
  size, quality = mapped(data, function)
  seen.append(quality)
  print("  %-14s %-14s %7d %7d   %.2f" % (name, function.__name__, len(data), size, quality))

with open("photograph.jpg", "wb") as file:
  file.write(jpeg)
by_path = datasets.Dataset.from_dict({"image": ["photograph.jpg"]}, features=FEATURES).map(paint)
lost = psnr(by_path[0]["image"], PIL.Image.open(io.BytesIO(jpeg))) == np.inf
print("  named by path, painted red: the pixels are", "those of the file" if lost else "red")

same = np.isinf(seen[0]) and max(seen[1:4]) < 40 and np.isinf(seen[4]) and lost
print("unchanged" if same else "CHANGED: the behaviour is not the one described above")
sys.exit(not same)
PY
