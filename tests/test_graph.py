"""Functions of tensors: AutoGraph runs only for those that need it."""

import numpy as np
import tensorflow as tf
from tensorflow.python.autograph.impl import api

from bmshj_minnen.runtime.graph import Graph, without_autograph
from tests import execution


def _twice(x):
  return x + x


def _magnitude(x):
  if x < 0:
    return -x
  return x


def _values(function):
  return [float(function(tf.constant(value))) for value in (-2.0, 3.0)]


def _conversions(monkeypatch):
  """Names of functions that AutoGraph converts from now on."""
  names, convert = [], api._convert_actual

  def recorded(function, *args, **kwargs):
    names.append(function.__name__)
    return convert(function, *args, **kwargs)

  monkeypatch.setattr(api, "_convert_actual", recorded)
  return names


def test_functions_without_conditions_are_not_converted(monkeypatch):
  names = _conversions(monkeypatch)
  assert _values(tf.function(lambda x: without_autograph(_twice, x))) == [-4, 6]
  assert _values(Graph(_twice, tf.TensorSpec([]))) == [-4, 6]
  assert "_twice" not in names


def test_conditions_on_tensors_work_in_graphs_and_eagerly():
  for function in (
    Graph(_magnitude, tf.TensorSpec([])),
    tf.function(lambda x: without_autograph(_magnitude, x)),
    lambda x: without_autograph(_magnitude, x),
  ):
    np.testing.assert_array_equal(_values(function), [2, 3])


def test_a_graph_is_traced_once_and_runs_eagerly_if_all_functions_do():
  calls = []

  def twice(x):
    calls.append(tf.executing_eagerly())
    return x + x

  graph = Graph(twice, tf.TensorSpec([]))
  with execution.eagerly():
    assert _values(graph) == [-4, 6]
  assert calls == [True, True]
  assert _values(graph) == [-4, 6]
  assert calls == [True, True, False]
