#!/usr/bin/env bash
# TensorFlow's loops in graphs have no kernels for quantized types: an integer network that works
# eagerly, and in a graph without a loop, raises in the loop of an autoregressive model.
#
# Operators on bytes, such as `QuantizedMatMulWithBias`, take and return tensors of the types quint8,
# qint8 and qint32. If a `tf.while_loop` in a `tf.function` captures such a tensor, or has one in its
# state, the graph is traced without a word, and its first run raises InternalError: there is no
# kernel `Enter` of the processor for the type. `tf.cond` has kernels for the types of 8 and 32
# bits, and none for those of 16, for which it raises InvalidArgumentError. Eager loops and
# `tf.map_fn`, which keeps its elements in a TensorArray, take all five.
#
# Affected: learned codecs whose context model has integer weights and runs in a graph or SavedModel.
# Remedy: capture uint8, int8 or int32, and `tf.bitcast` to the quantized type within the body.
#
# Expected: the types of TensorFlow's own integer products can be used in its loops, or tracing refuses.
# Versions: tensorflow-cpu 2.14.1, NumPy 1.26.4. 2026-11-30.
# Output seen:
#               captured        in the state    tf.cond                 eager loop   tf.map_fn   bitcast within
#   quint8      InternalError   InternalError   ok                      ok           ok          ok
#   qint8       InternalError   InternalError   ok                      ok           ok          ok
#   qint32      InternalError   InternalError   ok                      ok           ok          ok
#   quint16     InternalError   InternalError   InvalidArgumentError    ok           ok          ok
#   qint16      InternalError   InternalError   InvalidArgumentError    ok           ok          ok
#   all errors name the kernel: True
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3.11}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check tensorflow-cpu==2.14.1 numpy==1.26.4 \
  2> "$work/pip.log" || { cat "$work/pip.log"; exit 2; }

cd "$work"
TF_CPP_MIN_LOG_LEVEL=3 "$work/venv/bin/python" - 2> /dev/null <<'PY'
import sys
from importlib import metadata

import numpy as np
import tensorflow as tf

print("tensorflow-cpu", metadata.version("tensorflow-cpu"), " numpy", metadata.version("numpy"))
BYTES = np.random.default_rng(0).integers(0, 100, (4, 16))
TYPES = {"quint8": "uint8", "qint8": "int8", "qint32": "int32", "quint16": "uint16", "qint16": "int16"}
SUM = int(BYTES.sum())
messages = []


def total(x, plain):
  return tf.reduce_sum(tf.cast(tf.bitcast(x, plain), tf.int32))


def graph(function):
  return tf.function(function, autograph=False)


def thrice(x, plain):
  """Three times the sum, by a loop that captures x."""
  loop = tf.while_loop(lambda i, _: i < 3, lambda i, s: (i + 1, s + total(x, plain)), (0, 0))
  return loop[1] // 3


def state(x, plain):
  """The sum of x, which a loop hands on as its state."""
  quantized = x.dtype
  body = lambda i, s: (i + 1, tf.bitcast(tf.bitcast(s, plain), quantized))
  return total(tf.while_loop(lambda i, _: i < 3, body, (0, x))[1], plain)


def within(plain_x, quantized, plain):
  """The same as `thrice`, but x becomes quantized in the body."""
  body = lambda i, s: (i + 1, s + total(tf.bitcast(plain_x, quantized), plain))
  return tf.while_loop(lambda i, _: i < 3, body, (0, 0))[1] // 3


def outcome(compute):
  try:
    found = int(compute())
  except (tf.errors.InternalError, tf.errors.InvalidArgumentError) as error:
    messages.append(str(error))
    return type(error).__name__
  return "ok" if found == SUM else f"wrong: {found}"


print(f"{'':12}captured        in the state    tf.cond                 eager loop   tf.map_fn   bitcast within")
seen = {}
for name, plain_name in TYPES.items():
  quantized, plain = getattr(tf, name), getattr(tf, plain_name)
  plain_x = tf.constant(BYTES.astype(plain_name))
  x = tf.bitcast(plain_x, quantized)
  rows = lambda: tf.map_fn(lambda row: total(row, plain), x, fn_output_signature=tf.int32)
  seen[name] = [
    outcome(graph(lambda: thrice(x, plain))),
    outcome(graph(lambda: state(x, plain))),
    outcome(lambda: graph(lambda p: tf.cond(p, lambda: total(x, plain), lambda: 0))(tf.constant(True))),
    outcome(lambda: thrice(x, plain)),
    outcome(graph(lambda: tf.reduce_sum(rows()))),
    outcome(graph(lambda: within(plain_x, quantized, plain))),
  ]
  print("{:12}{:16}{:16}{:24}{:13}{:12}{}".format(name, *seen[name]))
named = all("Enter" in text or "Switch" in text for text in messages)
print("all errors name the kernel:", named)
short = ["InternalError", "InternalError", "ok", "ok", "ok", "ok"]
long = [*short[:2], "InvalidArgumentError", *short[3:]]
expected = {name: long if name.endswith("16") else short for name in TYPES}
if seen != expected or not named:
  sys.exit("the behaviour has changed")
PY
