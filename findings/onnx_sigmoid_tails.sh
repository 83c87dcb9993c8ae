#!/usr/bin/env bash
# ONNX Runtime's float32 Sigmoid is not accurate in its lower tail, and is 0 from -18 downwards.
#
# The factorized prior of learned compression takes the probability of a symbol as the difference
# of two sigmoids. Both are moved to the lower tail first (by the sign of their sum), as float32
# has digits to spare there: TensorFlow, PyTorch, JAX and OpenVINO keep a relative error near 1e-7
# (it is 1e-6 at worst) down to sigmoid(-80) = 1.8e-35. ONNX Runtime's results are multiples of
# 2^-25, as if 1/2 were added last: 17 % too high at -15, and 0 from -18. Float64 is 0 by -50, and
# ONNX Runtime for the web does as the CPU's. The same graph with 1 / (1 + Exp(-x)) is accurate.
#
# Affected: everybody who estimates bits, or makes tables, from an exported factorized prior. A
# symbol of 20 bits is off by 0.2; one of 27 bits has probability 0, and infinitely many bits or
# those of a lower bound.
#
# Expected: the relative error of a float32 function, and the bits of the training framework.
# Versions: onnxruntime 1.32.0 (also onnxruntime-web 1.30.0), onnx 1.23.2, x86-64. 2026-11-28.
# Output seen:
#   sigmoid(x)     true           Sigmoid        1 / (1 + Exp(-x))
#     -10        4.540e-05      4.539e-05      4.540e-05
#     -15        3.059e-07      3.576e-07      3.059e-07
#     -18        1.523e-08      0.000e+00      1.523e-08
#     -50        1.929e-22      0.000e+00      1.929e-22
#   bits of a symbol, slope 1:  true    ONNX Runtime
#     at  10                   14.367      14.366
#     at  14                   20.138      19.956
#     at  19                   27.352         inf
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3.11}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  numpy==2.3.5 onnx==1.23.2 onnxruntime==1.32.0 \
  2> "$work/pip.log" || { cat "$work/pip.log"; exit 2; }

"$work/venv/bin/python" - <<'PY'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper


def session(nodes):
  float_vector = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [None])
  graph = helper.make_graph(
    nodes, "g", [float_vector("x")], [float_vector("y")],
    [helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])],
  )
  model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
  onnx.checker.check_model(model)
  run = onnxruntime.InferenceSession(
    model.SerializeToString(), providers=["CPUExecutionProvider"]
  ).run
  return lambda x: run(None, {"x": np.asarray(x, np.float32)})[0].astype(np.float64)


sigmoid = session([helper.make_node("Sigmoid", ["x"], ["y"])])
by_exp = session([
  helper.make_node("Neg", ["x"], ["n"]),
  helper.make_node("Exp", ["n"], ["e"]),
  helper.make_node("Add", ["e", "one"], ["s"]),
  helper.make_node("Reciprocal", ["s"], ["y"]),
])
true = lambda x: 1 / (1 + np.exp(-np.asarray(x, np.float64)))

print("versions:", "onnxruntime", onnxruntime.__version__, "onnx", onnx.__version__)
print("expected: relative error near 1e-7 in the whole tail")
print("seen:\n  x        true         Sigmoid      1 / (1 + Exp(-x))")
tail = np.array([-10.0, -15.0, -18.0, -50.0])
for row in zip(tail, true(tail), sigmoid(tail), by_exp(tail)):
  print("  %-6g %.3e    %.3e    %.3e" % row)

# P(symbol) = |sigmoid(-(k - 1/2)) - sigmoid(-(k + 1/2))|, both arguments in the lower tail.
symbols = np.array([10.0, 14.0, 19.0])
with np.errstate(divide="ignore"):
  bits = lambda f: -np.log2(np.abs(f(0.5 - symbols) - f(-0.5 - symbols)))
  exact, seen = bits(true), bits(sigmoid)
print("  bits of a symbol: true, ONNX Runtime")
for row in zip(symbols, exact, seen):
  print("  at %-4g %8.3f %8.3f" % row)

error = lambda f: np.abs(f(tail) / true(tail) - 1)
same = (
  error(sigmoid)[1] > 0.05
  and sigmoid(tail)[2] == sigmoid(tail)[3] == 0
  and np.isinf(seen[2])
  and np.isfinite(exact[2])
  and error(by_exp).max() < 1e-5
)
print("unchanged" if same else "CHANGED: the behaviour is not the one described above")
sys.exit(not same)
PY
