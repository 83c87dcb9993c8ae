#!/usr/bin/env bash
# Pillow declares its QOI files as linear light, and FFmpeg carries that into PNG.
#
# The header of QOI ends with a byte for the colour space: 0 for sRGB, 1 for linear channels. Pillow
# writes the pixels of any picture as they are, which are sRGB as a rule, and the byte 1 unless
# save() gets colorspace="sRGB". Pillow ignores the byte when it reads. FFmpeg takes it for the
# transfer function: a PNG that it makes of such a file has the same pixels, with cICP transfer 8
# and gAMA 1.0. Programs that obey these show or convert the picture much too bright. imagecodecs
# writes 0.
#
# Affected: photographs that are kept or passed on as QOI, a fast lossless format for training
# data, and converted later by FFmpeg; measurements that read the converted files with colour
# management.
#
# Expected: byte 0, or at least a PNG without a declaration.
# Versions: Pillow 13.0.0, imageio-ffmpeg 0.8.1 (FFmpeg n9.0.2), imagecodecs 2026.3.6,
# scikit-image 0.26.0 (the photograph). 2026-12-01.
# Output seen:
#   pillow       byte 1, transfer 8, gAMA 1.0, largest difference 0
#   imagecodecs  byte 0, transfer None, gAMA None, largest difference 0
#   mean level 114.6, read as linear light 155.1
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3.11}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  pillow==13.0.0 imageio-ffmpeg==0.8.1 imagecodecs==2026.3.6 scikit-image==0.26.0 numpy==2.3.5 \
  pooch==1.8.2 2> "$work/pip.log" || { cat "$work/pip.log"; exit 2; }

cd "$work"
"$work/venv/bin/python" - <<'PY'
import pathlib
import struct
import subprocess
import sys

import imagecodecs
import imageio_ffmpeg
import numpy as np
import PIL.Image
import skimage.data

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


def chunks(png):
  at = 8
  while at < len(png):
    size, kind = struct.unpack(">I4s", png[at : at + 8])
    yield kind.decode(), png[at + 8 : at + 8 + size]
    at += size + 12


def as_png(name):
  """Returns the transfer function of cICP, the value of gAMA, and the pixels; None: no chunk."""
  subprocess.run([FFMPEG, "-y", "-v", "error", "-i", f"{name}.qoi", f"{name}.png"], check=True)
  found = dict(chunks(pathlib.Path(f"{name}.png").read_bytes()))
  transfer = found["cICP"][1] if "cICP" in found else None
  gamma = int.from_bytes(found["gAMA"], "big") / 1e5 if "gAMA" in found else None
  return transfer, gamma, np.asarray(PIL.Image.open(f"{name}.png").convert("RGB")).astype(int)


image = skimage.data.astronaut()
PIL.Image.fromarray(image).save("pillow.qoi")
pathlib.Path("imagecodecs.qoi").write_bytes(imagecodecs.qoi_encode(image))

version = subprocess.run([FFMPEG, "-version"], capture_output=True, text=True).stdout.split()[2]
print("versions: Pillow", PIL.__version__, "FFmpeg", version, "imagecodecs", imagecodecs.__version__)
print("expected: byte 0, or no declaration in the PNG")
print("seen:")
rows = {}
for name in ("pillow", "imagecodecs"):
  byte = pathlib.Path(f"{name}.qoi").read_bytes()[13]
  transfer, gamma, pixels = as_png(name)
  rows[name] = (byte, transfer, gamma, int(np.abs(pixels - image).max()))
  print("  %-12s byte %d, transfer %s, gAMA %s, largest difference %d" % (name, *rows[name]))
linear = image / 255
bright = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
print("  mean level %.1f, read as linear light %.1f" % (image.mean(), 255 * bright.mean()))

same = rows == {"pillow": (1, 8, 1.0, 0), "imagecodecs": (0, None, None, 0)}
print("unchanged" if same else "CHANGED: the behaviour is not the one described above")
sys.exit(not same)
PY
