#!/usr/bin/env bash
# x265's `qp` for a still picture is 3 more than the QP of the picture; 0 to 3 are one and the
# same.
#
# HEIC encoders (libheif, and with it pillow-heif) hand `qp` on to x265, where it is the QP of P
# frames. The only frame of a still picture is an I frame, whose QP is lower by 6 log2(ipratio) =
# 2.9, as in a video, although no P frame will ever profit. So "QP 32" is QP 29 of the standard and
# of HM, with 36 % more bytes and 1.7 dB more; the scale ends at QP 48, and qp 0 to 3 give one
# file. With `x265:ipratio` 1.0 the QP is the one that was set.
#
# Affected: everybody who labels HEVC intra curves by QP, compares them with HM's at equal QP, or
# wants the lowest rates, which the qp scale does not reach.
#
# Expected: the picture's QP is the one that was set.
# Versions: pillow-heif 1.8.1 (libheif 1.23.6, x265 4.3+1), Pillow 12.3.0. 2026-11-28.
# Output seen (256x256 of astronaut, 4:4:4; bytes):
#   qp with ipratio 1.4, its default    0 and 3: 90,075     4: 86,350    35: 3,989     51: 935
#   qp - 3 with ipratio 1.0             0:       90,075     1: 86,350    32: 3,989     48: 935
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3.11}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  pillow==12.3.0 pillow-heif==1.8.1 scikit-image==0.26.0 numpy==2.3.5 \
  2> "$work/pip.log" || { cat "$work/pip.log"; exit 2; }

"$work/venv/bin/python" - <<'PY'
import io
import sys

import numpy as np
import PIL.Image
import pillow_heif
import skimage.data

pillow_heif.register_heif_opener()
image = skimage.data.astronaut()[:256, :256]


def compress(qp, **options):
  buffer = io.BytesIO()
  encoder = {"preset": "fast", "x265:psy-rd": 0, "x265:qp": qp, **options}
  PIL.Image.fromarray(image).save(buffer, "HEIF", chroma=444, enc_params=encoder)
  return buffer.getvalue()


def psnr(data):
  error = np.asarray(PIL.Image.open(io.BytesIO(data)).convert("RGB"), np.float64) - image
  return 10 * np.log10(255**2 / np.mean(error**2))


print("versions: pillow-heif", pillow_heif.__version__, pillow_heif.libheif_info()["HEIF"])
print("expected: qp N is QP N, with any ipratio")
print("seen:\n  qp   bytes, as it comes   bytes of qp - 3 with ipratio 1   the coded pictures")
equal = []
for qp in (3, 4, 10, 20, 35, 51):
  usual, without = compress(qp), compress(qp - 3, **{"x265:ipratio": 1.0})
  equal.append(len(usual) == len(without) and psnr(usual) == psnr(without))
  row = (qp, len(usual), len(without), "equal" if equal[-1] else "differ")
  print("  %2d   %6d               %6d                           %s" % row)
print("  qp 0 and qp 3 give", "one file" if compress(0) == compress(3) else "two files")
at_32, true_32 = compress(32), compress(32, **{"x265:ipratio": 1.0})
more, gain = 100 * (len(at_32) / len(true_32) - 1), psnr(at_32) - psnr(true_32)
print("  qp 32 against QP 32: %+.0f %% bytes, %+.2f dB" % (more, gain))

same = all(equal) and compress(0) == compress(3) and more > 20
print("unchanged" if same else "CHANGED: the behaviour is not the one described above")
sys.exit(not same)
PY
