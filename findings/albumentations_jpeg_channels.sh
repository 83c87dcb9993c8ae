#!/usr/bin/env bash
# Albumentations' JPEG augmentation compresses the picture with red and blue exchanged.
#
# Pictures are RGB there, but `ImageCompression` acts as if they were handed as they are to
# OpenCV's encoder, which takes BGR. JPEG's luma then weighs blue as if it were red (0.299 for
# 0.114), and the artefacts are not those of a JPEG file of the picture: 37 to 42 dB away from the
# true ones at qualities 50 to 95. The PSNR of all three channels does not show it (32.03 and 32.06
# dB at 50), but red is 1.3 to 1.8 dB worse and blue 1.1 to 1.6 dB better than in a true file.
#
# Affected: training of codecs, denoisers and detectors that are to stand JPEG's artefacts.
#
# Expected: the pixels of libjpeg-turbo 4:2:0 at that quality, at least 50 dB from Pillow's.
# Versions: albumentations 2.0.8 (the successor albumentationsx 2.5.1 gave the same figures),
# opencv-python-headless 4.12.0.88, Pillow 12.3.0, scikit-image 0.26.0 (the photograph).
# 2026-11-28.
# Output seen (astronaut): PSNR between the augmented picture and JPEG 4:2:0 of
#   quality   the picture   the picture with red and blue exchanged
#   50        36.99         inf
#   80        39.39         inf
#   95        42.35         inf
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3.11}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  albumentations==2.0.8 opencv-python-headless==4.12.0.88 pillow==12.3.0 scikit-image==0.26.0 \
  numpy==2.2.6 2> "$work/pip.log" || { cat "$work/pip.log"; exit 2; }

NO_ALBUMENTATIONS_UPDATE=1 "$work/venv/bin/python" - <<'PY'
import io
import sys

import albumentations
import cv2
import numpy as np
import PIL.Image
import skimage.data

image = np.ascontiguousarray(skimage.data.astronaut())


def psnr(first, second):
  error = np.mean((first.astype(np.float64) - second) ** 2)
  return np.inf if error == 0 else 10 * np.log10(255**2 / error)


def by_pillow(pixels, quality):
  buffer = io.BytesIO()
  PIL.Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
  return np.asarray(PIL.Image.open(buffer))


print("versions: albumentations", albumentations.__version__, "opencv", cv2.__version__)
print("expected: at least 50 dB to JPEG of the picture")
print("seen:\n  quality   JPEG of the picture   JPEG with red and blue exchanged")
to_true, to_swapped, channels = [], [], []
for quality in (50, 80, 95):
  augment = albumentations.ImageCompression(
    compression_type="jpeg", quality_range=(quality, quality), p=1.0
  )
  seen = augment(image=image)["image"]
  to_true.append(psnr(seen, by_pillow(image, quality)))
  swapped = by_pillow(np.ascontiguousarray(image[..., ::-1]), quality)[..., ::-1]
  to_swapped.append(psnr(seen, swapped))
  print("  %-7d   %.2f                 %.2f" % (quality, to_true[-1], to_swapped[-1]))
  true = by_pillow(image, quality)
  channels.append(
    [psnr(seen[..., c], image[..., c]) - psnr(true[..., c], image[..., c]) for c in (0, 2)]
  )
print("  PSNR of red and blue against the source, above the true file's: "
      + ", ".join("%+.1f %+.1f dB" % tuple(pair) for pair in channels))

same = max(to_true) < 45 and min(to_swapped) > 60
print("unchanged" if same else "CHANGED: the behaviour is not the one described above")
sys.exit(not same)
PY
