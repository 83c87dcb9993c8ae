#!/usr/bin/env bash
# A picture opened from a JPEG file is saved as JPEG XL by pillow-jxl with the file's own pixels.
#
# For an image that Pillow opened from the path of a JPEG file, the plugin repacks it without loss
# (`lossless_jpeg`, on by default). `quality` then has no effect: each of them gives one file, of
# about three quarters of the JPEG's bytes. The file is read again from the disk, so changes made in
# place since it was opened are not saved either: after `thumbnail((64, 64))` the JPEG XL file holds
# all 256x256 pixels, and pasted or drawn pixels are missing. A warning names the repacking, Python
# shows it once a process, and it says nothing of the pixels. `convert("RGB")` of a picture in RGB,
# or `lossless_jpeg=False`, gives the file that was asked for.
#
# Affected: curves of JPEG XL over photographs kept as JPEG (all points are one), and thumbnails or
# pastes in place that are stored as JPEG XL. Pictures opened from memory are saved as expected.
#
# Expected: `quality` decides the size, and the pixels are those of the image in memory.
# Versions: pillow-jxl-plugin 1.3.8, Pillow 13.0.0. 2026-11-28.
# Output seen:
#   the JPEG file has 27964 bytes
#   quality    as opened    lossless_jpeg=False    convert("RGB")
#     30         21628             1207                1207
#     90         21628            10758               10758
#   after thumbnail((64, 64)): in memory (64, 64), in the file (256, 256)
#   after paste of red: in memory (255, 0, 0), in the file (89, 140, 167)
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3.11}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  numpy==2.2.6 pillow==13.0.0 pillow-jxl-plugin==1.3.8 \
  2> "$work/pip.log" || { cat "$work/pip.log"; exit 2; }

cd "$work"
"$work/venv/bin/python" - <<'PY'
import importlib.metadata
import os
import sys
import warnings

import numpy as np
import PIL
import pillow_jxl  # noqa: F401  registers the format
from PIL import Image

warnings.simplefilter("ignore")
random = np.random.default_rng(0)
row, column = np.mgrid[:256, :256]
waves = [128 + 60 * np.sin(column / 17 + c) + 50 * np.cos(row / 23) for c in range(3)]
pixels = np.stack(waves, -1) + random.normal(0, 6, (256, 256, 3))
Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save("a.jpg", quality=95)


def size(image, **arguments):
  image.save("a.jxl", **arguments)
  return os.path.getsize("a.jxl")


print("versions: pillow-jxl-plugin", importlib.metadata.version("pillow-jxl-plugin"),
      "Pillow", PIL.__version__)
print("expected: the size follows quality, and the pixels are those in memory")
print("seen:\n  the JPEG file has", os.path.getsize("a.jpg"), "bytes")
print('  quality    as opened    lossless_jpeg=False    convert("RGB")')
rows = []
for quality in (30, 90):
  rows.append((
    size(Image.open("a.jpg"), quality=quality),
    size(Image.open("a.jpg"), quality=quality, lossless_jpeg=False),
    size(Image.open("a.jpg").convert("RGB"), quality=quality),
  ))
  print("  %4d       %7d          %7d             %7d" % (quality, *rows[-1]))

small = Image.open("a.jpg")
small.thumbnail((64, 64))
small.save("small.jxl", quality=90)
stored = Image.open("small.jxl").size
print("  after thumbnail((64, 64)): in memory", small.size, "in the file", stored)

pasted = Image.open("a.jpg")
pasted.paste((255, 0, 0), (50, 50, 150, 150))
pasted.save("pasted.jxl", quality=90)
pixel = Image.open("pasted.jxl").getpixel((100, 100))
print("  after paste of red: in memory", pasted.getpixel((100, 100)), "in the file", pixel)

same = (
  rows[0][0] == rows[1][0]
  and rows[0][1] < rows[1][1] / 4
  and all(row[1] == row[2] for row in rows)
  and (small.size, stored) == ((64, 64), (256, 256))
  and max(abs(a - b) for a, b in zip(pixel, (255, 0, 0))) > 100
)
print("unchanged" if same else "CHANGED: the behaviour is not the one described above")
sys.exit(not same)
PY
