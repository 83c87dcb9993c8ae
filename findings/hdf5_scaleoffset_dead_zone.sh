#!/usr/bin/env bash
# HDF5's scale-offset filter sets every float near the fill value to it: a dead zone around zero.
#
# `scaleoffset=D` in h5py keeps D decimal digits of floats. The usual reading, and h5py's manual,
# is a rounding to 10^-D, so an error of at most half of that. But the filter knows the fill value,
# 0 unless the writer names another, and takes any number within 10^-D of it for the fill value:
# all of (-10^-D, 10^-D) becomes 0, twice as wide as rounding and with twice the error. Latents,
# wavelet coefficients, residuals and weights have most of their numbers there. With fillvalue=nan,
# or any number outside the data, the same file of the same size has the error of rounding.
#
# Affected: everybody who stores zero-centred float arrays with the filter, from any language (the
# filter is HDF5's own). Half of the squared error below is needless.
#
# Expected: an error of at most 0.005 for two digits, whatever the fill value.
# Versions: h5py 3.16.0 (its HDF5 2.0.0), numpy 2.3.5, x86-64. 2026-11-28.
# Output seen, 65,536 numbers of a normal distribution of scale 0.02, two digits:
#   fill value     bytes   largest error   RMS error   zeros
#   as it comes    40,982  0.00999         0.00417     38.1 %  (rounding: 19.6 %)
#   nan            40,982  0.00500         0.00288      0.0 %  (the grid starts at the minimum)
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3.11}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.3.5 h5py==3.16.0 \
  2> "$work/pip.log" || { cat "$work/pip.log"; exit 2; }

cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys

import h5py
import numpy as np

DIGITS = 2
weights = (np.random.default_rng(0).normal(size=(256, 256)) * 0.02).astype(np.float32)


def stored(**options):
  """Returns the bytes on disk, and the numbers that come back."""
  with h5py.File("w.h5", "w") as file:
    written = file.create_dataset(
      "w", data=weights, chunks=weights.shape, scaleoffset=DIGITS, **options
    )
    size = written.id.get_storage_size()
  with h5py.File("w.h5") as file:
    return size, file["w"][:].astype(np.float64)


print("versions: h5py", h5py.__version__, "HDF5", h5py.version.hdf5_version)
print("expected: an error of at most %g with any fill value" % (0.5 * 10**-DIGITS))
print("seen:\n  fill value     bytes  largest error  RMS error  zeros")
errors = {}
for name, options in (("as it comes", {}), ("nan", {"fillvalue": np.nan})):
  size, numbers = stored(**options)
  error = np.abs(numbers - weights)
  errors[name] = error.max()
  row = (name, size, error.max(), np.sqrt(np.mean(error**2)), 100 * np.mean(numbers == 0))
  print("  %-12s  %6d  %.5f        %.5f    %4.1f %%" % row)
print("  zeros after rounding: %.1f %%" % (100 * np.mean(np.round(weights, DIGITS) == 0)))

unit = 10.0**-DIGITS
same = errors["as it comes"] > 0.99 * unit and errors["nan"] < 0.501 * unit
print("unchanged" if same else "CHANGED: the behaviour is not the one described above")
sys.exit(not same)
PY
