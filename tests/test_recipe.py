"""The study of recipes: SOAP's law, and the tables by hand."""

import numpy as np
import pytest
import tensorflow as tf

from experiments.recipe import scaling, tables
from experiments.recipe.soap import SOAP


def _orthogonal(n, seed):
  return np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))[0]


def _moved(gradients, name="kernel"):
  variable = tf.Variable(tf.zeros(gradients[0].shape), name=name)
  optimizer = SOAP(0.01)
  optimizer.build([variable])
  for gradient in gradients:
    optimizer.apply_gradients([(tf.constant(gradient, tf.float32), variable)])
  return variable.numpy()


@pytest.mark.parametrize(("name", "turned"), [("kernel", True), ("bias", False)])
def test_a_turned_problem_gets_turned_steps(name, turned):
  """Adam, used for all variables but kernels, depends on the axes; SOAP does not."""
  generator = np.random.default_rng(0)
  gradients = generator.normal(size=(15, 9, 4, 6)) * np.geomspace(1, 4, 6)
  taps, inputs, outputs = (_orthogonal(n, n) for n in (9, 4, 6))

  def turn(x):
    return np.einsum("tio,ta,ib,oc->abc", x, taps, inputs, outputs)

  straight, other = _moved(gradients, name), _moved([turn(x) for x in gradients], name)
  difference = np.linalg.norm(turn(straight) - other) / np.linalg.norm(other)
  assert (difference < 1e-2) == turned
  assert 0.01 < np.abs(straight).max() < 15 * 0.05


def test_the_table_compares_the_end_of_each_recipe_with_its_start():
  header = ("recipe", "step", "0.1", "0.2", "0.4", "0.8")
  rows = [("a", 0, 1, 2, 4, 8), ("a", 5, 1, 1, 1, 1), ("a", 10, 0.5, 1, 4, 8), ("b", 0, 1, 1, 1, 1)]
  runs = [dict(zip(header, map(str, row))) for row in rows]
  steps = [{"recipe": name, "ms": "12.3", "share": "0.456"} for name in ("a", "c")]
  lines = tables.table(steps, runs).splitlines()
  assert lines[2:] == ["| a | 12 | 46 % | 10 | 0.5000 | 1.0000 | 4.0000 | 8.0000 | -25.00 % |"]


def test_scaling_is_of_the_mean_over_rates_and_of_the_steps_asked_for(tmp_path):
  rows = ["step,lambda,loss", "500,0.1,9", "8000,0.1,0.1"]
  for i in range(3):  # Ten per cent less with each doubling.
    rows += [f"{1000 * 2**i},{lmbda},{scale * 0.9**i}" for lmbda, scale in ((0.1, 2), (0.2, 8))]
  (tmp_path / "log.csv").write_text("\n".join(rows))
  losses = scaling.mean_losses(tmp_path / "log.csv")
  assert losses[2000] == pytest.approx(4 * 0.9)
  a, b = scaling.fit(losses, 1000, 4000)
  assert np.exp(b) == pytest.approx(0.9) and np.exp(a + b * np.log2(1000)) == pytest.approx(4)
  line = scaling.plot(losses, a, b).axes[0].get_lines()[1]
  assert line.get_ydata()[-1] == pytest.approx(4 * 0.9 ** np.log2(line.get_xdata()[-1] / 1000))
