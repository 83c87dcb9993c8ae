#!/usr/bin/env bash
# The Python package ssimulacra2 scores a pair of pictures otherwise when both are turned by 90 degrees.
#
# Its blur adds black rows above and below a picture, but reflects the picture at its left and right
# border. So errors in the top and bottom rows cost more than the same errors in the left and right
# columns: 6 to 44 points in the cases below. Mirrored pairs keep their score; turned pairs do not.
#
# Affected: scores of portrait against landscape photographs, of small crops, and of codecs whose
# errors lie at borders (padding); scores beside those of libjxl's own program.
#
# Expected: the metric has no direction, so turned pairs have the same score up to rounding.
# Versions: ssimulacra2 0.3.0, NumPy 2.2.6, SciPy 1.15.3, Pillow 11.3.0. 2026-11-29.
# Output seen:
#   size       noise in            as it is   mirrored   turned
#    64x64     all pixels           -64.227    -64.227    -64.227
#    64x64     upper 4 rows          27.317     27.317     71.283
#   128x128    all pixels            10.700     10.700     10.444
#   128x128    upper 4 rows          49.578     49.578     70.709
#   256x256    all pixels            63.926     63.926     64.271
#   256x256    upper 4 rows          83.515     83.515     90.571
#   512x512    all pixels            63.421     63.421     63.397
#   512x512    upper 4 rows          84.780     84.780     91.303
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3.11}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  ssimulacra2==0.3.0 numpy==2.2.6 scipy==1.15.3 pillow==11.3.0 \
  2> "$work/pip.log" || { cat "$work/pip.log"; exit 2; }

cd "$work"
"$work/venv/bin/python" - <<'PY'
import io
import sys

import numpy as np
import scipy
import ssimulacra2
from importlib import metadata
from PIL import Image


def score(first, second):
  files = []
  for image in (first, second):
    files.append(io.BytesIO())
    Image.fromarray(np.ascontiguousarray(image)).save(files[-1], "PNG")
  return ssimulacra2.compute_ssimulacra2(*files)


print("versions: ssimulacra2", metadata.version("ssimulacra2"), "numpy", np.__version__,
      "scipy", scipy.__version__)
print("expected: three equal scores in each line")
print("seen:\n  size       noise in            as it is   mirrored   turned")
random = np.random.default_rng(0)
differences, mirrored = {}, []
for side in (64, 128, 256, 512):
  row, column = np.mgrid[:side, :side]
  waves = 128 + 50 * np.sin(column / 7) + 50 * np.cos(row / 5)
  x = np.repeat(np.round(waves).astype(np.uint8)[..., None], 3, axis=2)
  noise = random.normal(0, 12, x.shape)
  for name, mask in (("all pixels", np.ones((side, side))), ("upper 4 rows", row < 4)):
    y = np.clip(np.round(x + noise * mask[..., None]), 0, 255).astype(np.uint8)
    scores = score(x, y), score(x[::-1, ::-1], y[::-1, ::-1]), score(np.rot90(x), np.rot90(y))
    differences[side, name] = scores[2] - scores[0]
    mirrored.append(abs(scores[1] - scores[0]))
    print("  %3dx%-6d %-18s  %8.3f   %8.3f   %8.3f" % (side, side, name, *scores))
same = (
  max(mirrored) < 1e-6
  and all(d > 5 for (_, name), d in differences.items() if name != "all pixels")
)
print("unchanged" if same else "CHANGED: the behaviour is not the one described above")
sys.exit(not same)
PY
