#!/usr/bin/env bash
# tf.repeat takes memory for n rows of the largest count, not for its result.
#
# It repeats every row as often as the one with the largest count, in a tensor [n, largest, row], and
# then takes a boolean mask of that. So the memory is n times the largest count times a row, where
# numpy.repeat takes that of the result; in a graph it is some fifty operations. The description of
# tf.repeat mentions neither; https://github.com/tensorflow/tensorflow/issues/46648 has a case.
#
# Affected: rows repeated by counts of which some are large: run lengths, segments of different
# sizes, steps of a wavefront with their positions, rows of a batch by the number of their objects.
# Remedy: tf.gather(rows, tf.searchsorted(tf.cumsum(counts), tf.range(total), side="right")), whose
# memory is that of the result.
#
# Expected: memory in proportion to the result, as in NumPy.
# Versions: tensorflow-cpu 2.14.1, NumPy 1.26.4, CPython 3.11.7. 2026-11-30.
# Output seen (4,000 rows of 64 numbers, 1 MiB; one is repeated 2,000 times, the others once):
#   numpy.repeat             result 1.5 MiB, peak of the process +    2 MiB
#   searchsorted and gather  result 1.5 MiB, peak of the process +    3 MiB
#   tf.repeat                result 1.5 MiB, peak of the process + 2026 MiB
#   operations of tf.repeat in a graph: 55
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3.11}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check tensorflow-cpu==2.14.1 numpy==1.26.4 \
  2> "$work/pip.log" || { cat "$work/pip.log"; exit 2; }

cd "$work"
TF_CPP_MIN_LOG_LEVEL=3 "$work/venv/bin/python" - 2> /dev/null <<'PY'
import platform
import resource
import sys
from importlib import metadata

import numpy as np
import tensorflow as tf

versions = [f"{name} {metadata.version(name)}" for name in ("tensorflow-cpu", "numpy")]
print(*versions, "CPython", platform.python_version(), sep="  ")
rows = np.arange(4000 * 64, dtype=np.float32).reshape(4000, 64)
counts = np.ones(4000, np.int32)
counts[7] = 2000


def by_gather(rows, counts):
  ends = tf.cumsum(counts)
  return tf.gather(rows, tf.searchsorted(ends, tf.range(ends[-1]), side="right"))


def peak():
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MiB; it never falls.


def growth(function, rows, counts):
  """MiB by which the peak of the process grows, and the result."""
  before = peak()
  result = np.asarray(function(rows, counts))
  return peak() - before, result


for function in (lambda *x: np.repeat(*x, axis=0), by_gather, lambda *x: tf.repeat(*x, axis=0)):
  function(rows[:9], counts[:9] * 0 + 2)  # Libraries allocate at first use.
measured = {}
for name, function in (
  ("numpy.repeat", lambda *x: np.repeat(*x, axis=0)),
  ("searchsorted and gather", by_gather),
  ("tf.repeat", lambda *x: tf.repeat(*x, axis=0)),
):
  measured[name] = growth(function, rows, counts)
size = measured["numpy.repeat"][1].nbytes / 2**20
for name, (grown, result) in measured.items():
  assert np.array_equal(result, measured["numpy.repeat"][1]), name
  print(f"{name:24} result {size:.1f} MiB, peak of the process +{grown:5.0f} MiB")
graph = tf.function(lambda rows, counts: tf.repeat(rows, counts, axis=0)).get_concrete_function(
  tf.TensorSpec([None, 64]), tf.TensorSpec([None], tf.int32)
)
operations = len(graph.graph.get_operations())
print(f"operations of tf.repeat in a graph: {operations}")
whole = 4000 * 2000 * 64 * 4 / 2**20
same = measured["tf.repeat"][0] > 0.9 * whole
same &= measured["searchsorted and gather"][0] < 0.05 * whole
sys.exit(not same)
PY
