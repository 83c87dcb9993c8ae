#!/usr/bin/env bash
# tensorflow-compression looks for the tails of a learned density in steps of 0.1: tables of wide
# densities take minutes.
#
# A table of a range coder ends where the tails begin. Where a distribution has no quantile function,
# as the learned `DeepFactorized`, the package descends by Adam from 0, by at most 0.1 per step, and
# then 100 steps more. So the number of evaluations grows in proportion to the width of the density,
# and with several channels the widest decides. Bisection finds the same table in some 80 evaluations.
#
# Affected: the first compression, or the saving, of models with wide latents, such as factorized
# models at high rates; entropy models of one's own without quantiles.
#
# Expected: some hundred evaluations whatever the width, since the cumulative is monotone.
# Versions: tensorflow-compression 2.14.1, TensorFlow 2.14.1, NumPy 1.26.4. 2026-11-30.
# Output seen (evaluations; seconds on one core of an AMD EPYC beside another program):
#   initial scale    symbols   evaluations   seconds   by bisection   same ends
#              10       127          1462       4.8             80   True
#              30       376          3946      12.9             80   True
#             100      1250         12700      50.6             80   True
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3.11}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  tensorflow==2.14.1 tensorflow-compression==2.14.1 numpy==1.26.4 'setuptools<81' \
  2> "$work/pip.log" || { cat "$work/pip.log"; exit 2; }

cd "$work"
TF_CPP_MIN_LOG_LEVEL=3 "$work/venv/bin/python" - 2> /dev/null <<'PY'
import math
import sys
import time
from importlib import metadata

import tensorflow as tf
import tensorflow_compression as tfc

for package in ("tensorflow-compression", "tensorflow", "numpy"):
  print(package, metadata.version(package), end="  ")
print()
TAIL_MASS = 2.0**-8


class Counted(tfc.DeepFactorized):
  """Counts how often its cumulative is evaluated."""

  evaluations = 0

  def _logits_cumulative(self, inputs):
    Counted.evaluations += 1
    return super()._logits_cumulative(inputs)


def tail(log_mass):
  """Bisection: x where an increasing function has the logarithm of half of the mass."""
  low, high = -(2.0**15), 2.0**15
  for _ in range(40):
    middle = (low + high) / 2
    below = float(log_mass(tf.constant([middle]))[0]) < math.log(TAIL_MASS / 2)
    low, high = (middle, high) if below else (low, middle)
  return low


print("initial scale   symbols   evaluations   seconds   by bisection   same ends")
counts, same = [], True
for scale in (10, 30, 100):
  base = Counted(batch_shape=(1,), init_scale=float(scale))
  Counted.evaluations, start = 0, time.perf_counter()
  entropy_model = tfc.ContinuousBatchedEntropyModel(
    tfc.UniformNoiseAdapter(base), coding_rank=1, compression=True, tail_mass=TAIL_MASS,
    offset_heuristic=False,
  )
  seconds, evaluations = time.perf_counter() - start, Counted.evaluations
  # A table: its precision, 0, the cumulative of each symbol and of the escape.
  symbols, first = entropy_model.cdf.shape[0] - 3, int(entropy_model.cdf_offset[0])
  Counted.evaluations = 0
  lower = math.floor(tail(base.log_cdf))
  upper = math.ceil(-tail(lambda x: base.log_survival_function(-x)))
  ends = (first, first + symbols - 1) == (lower, upper)
  same, counts = same and ends, [*counts, evaluations]
  print(
    f"{scale:13d}   {symbols:7d}   {evaluations:11d}   {seconds:7.1f}   {Counted.evaluations:12d}   {ends}"
  )
if not same or counts[-1] < 5 * counts[0] or counts[0] < 500:
  sys.exit("the behaviour has changed: other tables, or evaluations no longer grow with the width")
PY
