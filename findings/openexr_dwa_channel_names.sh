#!/usr/bin/env bash
# OpenEXR's lossy DWA compression goes by the channel's name: "Y" is lossy, "y" is exact.
#
# DWAA looks up the last part of the name in a short list of colours. "R" and "Y", also as
# "latent.R", are coded by lossy DCTs; "y", "r0", "Z", "A" and "latent.0" without loss. So feature
# maps or latents under other names are exact, and one that happens to be called "Y" is not:
# rounded latents come back as fractions, up to 0.66 away. (B44 is lossy for half floats and exact
# for 32-bit floats, whatever the name; PXR24 is the reverse.)
#
# Affected: everybody who stores depth, flow, features or latents in EXR beside or instead of
# colours.
#
# Expected: lossy by compression and level, the same for all float channels of one file.
# Versions: OpenEXR 3.5.3 (Python), numpy 2.3.5, x86-64. 2026-11-28.
# Output seen, 256x256 rounded Laplacian latents of scale 8, float32, DWAA at its usual level:
#   channel     bytes    largest error
#   Y           132,662  0.656
#   latent.R    132,669  0.656
#   y            72,901  0
#   y0           72,902  0
#   latent.0     72,908  0
# The lossy ones are the larger ones: the lossless path knows integers, the DCT does not.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3.11}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.3.5 OpenEXR==3.5.3 \
  2> "$work/pip.log" || { cat "$work/pip.log"; exit 2; }

cd "$work"
"$work/venv/bin/python" - <<'PY'
import os
import sys

import numpy as np
import OpenEXR

latents = np.round(np.random.default_rng(0).laplace(size=(256, 256)) * 8).astype(np.float32)


def largest_error(name):
  header = {"compression": OpenEXR.DWAA_COMPRESSION, "type": OpenEXR.scanlineimage}
  with OpenEXR.File(header, {name: latents.copy()}) as file:
    file.write("latents.exr")
  with OpenEXR.File("latents.exr", separate_channels=True) as file:
    error = np.abs(file.channels()[name].pixels - latents).max()
  print("  %-10s  %7d  %.3f" % (name, os.path.getsize("latents.exr"), error))
  return error


print("versions: OpenEXR", OpenEXR.__version__, "numpy", np.__version__)
print("expected: the same loss in every channel")
print("seen:\n  channel       bytes  largest error")
lossy = [largest_error(name) for name in ("Y", "latent.R")]
exact = [largest_error(name) for name in ("y", "y0", "latent.0")]

same = min(lossy) > 0.1 and max(exact) == 0
print("unchanged" if same else "CHANGED: the behaviour is not the one described above")
sys.exit(not same)
PY
