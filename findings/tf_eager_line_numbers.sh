#!/usr/bin/env bash
# An eager operation of TensorFlow costs three times as much when its callers call from far down in
# long functions.
#
# Each eager operation records the line numbers of some thirty Python frames around it. CPython finds
# a line by a walk through the function's table from its first instruction, so an operation pays for
# all the code that stands before each call. The depth of the stack alone costs next to nothing, and
# beyond those frames neither matters. It makes no difference whether the code before was run.
#
# Affected: eager training and evaluation from long scripts, notebooks' generated cells, test runners
# and frameworks with long dispatch functions; small networks, whose operations take microseconds.
# Remedy: `tf.function`, or short functions around eager loops.
#
# Expected: the time of an eager operation does not depend on where in a function a caller stands.
# Versions: tensorflow-cpu 2.14.1, NumPy 1.26.4, CPython 3.11.2. 2026-11-30.
# Output seen (microseconds per tf.add of two scalars, least of five):
#   frames   call in line 1   call in line 101   ratio
#        0             13.8               14.9     1.1
#       60             14.3               40.8     2.8
#      300             14.4               40.9     2.8
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3.11}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check tensorflow-cpu==2.14.1 numpy==1.26.4 \
  2> "$work/pip.log" || { cat "$work/pip.log"; exit 2; }

cd "$work"
TF_CPP_MIN_LOG_LEVEL=3 "$work/venv/bin/python" - 2> /dev/null <<'PY'
import platform
import sys
import time
from importlib import metadata

import tensorflow as tf

versions = [f"{name} {metadata.version(name)}" for name in ("tensorflow-cpu", "numpy")]
print(*versions, "CPython", platform.python_version(), sep="  ")
X = tf.constant(1.0)


def measure(count=1000):
  begin = time.perf_counter()
  for _ in range(count):
    tf.add(X, X)
  return (time.perf_counter() - begin) / count * 1e6


def nested(lines):
  """A function that calls itself `depth` times, behind this number of lines that do nothing."""
  before = "".join(f"  if depth == -{i + 1}: return {i}\n" for i in range(lines))
  names = {"measure": measure}
  exec(f"def call(depth):\n{before}  return call(depth - 1) if depth else measure()\n", names)
  return names["call"]


print("frames   call in line 1   call in line 101   ratio")
early, late = nested(0), nested(100)
ratios = []
for depth in (0, 60, 300):
  one, other = (min(call(depth) for _ in range(5)) for call in (early, late))
  ratios.append(other / one)
  print(f"{depth:6}{one:17.1f}{other:19.1f}{ratios[-1]:8.1f}")
if not (ratios[0] < 1.4 and min(ratios[1:]) > 1.7):
  sys.exit("the behaviour has changed")
PY
