"""The notebook: it runs from top to bottom, and its stored outputs belong to the shipped model."""

import json
import pathlib
import re

import numpy as np
import pytest

from bmshj_minnen.format.frozen_prior import FrozenPrior
from bmshj_minnen.model_files import catalogue

_ROOT = pathlib.Path(__file__).parent.parent
_NOTEBOOK = _ROOT / "experiments" / "tour.ipynb"
_RUN_AGAIN = "run it again: jupyter execute --inplace experiments/tour.ipynb"

# Checks the notebook's results against other computations from its inputs. It runs in the
# notebook's own process, after its last cell.
_CHECKS = """
from scipy import stats

m, s = np.float64(mean), np.float64(scale)
mass = stats.norm.cdf((symbols + 0.5) / s) - stats.norm.cdf((symbols - 0.5) / s)
np.testing.assert_allclose(-np.log2(np.maximum(mass, 1e-9)).sum(), y_bits, rtol=1e-3)
np.testing.assert_allclose(at_position.sum(), y_bits, rtol=1e-4)
assert abs(8 * len(file) - y_bits - z_bits) < 0.02 * y_bits + 32 * 8

# A prior that sees more spends less.
again = {name: numbers[1] for name, numbers in spent.items()}
assert len(again) == 5
np.testing.assert_allclose(spent["joint"][0], (y_bits + z_bits) / 8, rtol=0.01)
for name in list(again)[1:]:
  assert spent["joint"][0] < min(spent[name])
for name in list(again)[1:4]:
  assert again[name] < again["factorized (a Gaussian a channel)"]
assert again["mean and scale hyperprior"] < again["scale hyperprior"]
assert costs["in place"] < costs["none, g_ep fitted to that"] < costs["shuffled"]

# Of the positions whose mask covers the damaged one, each and no other has a new mean.
i, j = np.indices((rows, columns))
down, right = i - rows // 2, j - columns // 2
sees = (abs(right) <= 2) & ((down == 1) | (down == 2)) | (down == 0) & (right > 0) & (right <= 2)
assert np.array_equal(change > 0, sees)
"""


@pytest.fixture(scope="module")
def cells():
  return json.loads(_NOTEBOOK.read_text())["cells"]


def _kinds(outputs):
  """The kinds of a cell's outputs; text may arrive in several pieces."""
  kinds = []
  for output in outputs:
    kind = output.get("name") or sorted(output.get("data", [output["output_type"]]))
    if not kinds or kind != "stdout" or kinds[-1] != kind:
      kinds.append(kind)
  return kinds


def _code(cells):
  return [cell for cell in cells if cell["cell_type"] == "code"]


def test_outputs_are_stored_where_code_hosts_show_them(cells):
  assert _NOTEBOOK.stat().st_size < 2e6
  code = _code(cells)
  assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1)), _RUN_AGAIN
  kinds = [kind for cell in code for kind in _kinds(cell["outputs"])]
  assert "stderr" not in kinds and ["error"] not in kinds
  assert kinds.count(["image/png", "text/plain"]) >= 8


def test_outputs_are_those_of_the_model_that_ships(cells):
  path = catalogue.find("joint-mse") / "coder.npz"
  with np.load(path) as arrays:
    fingerprint = FrozenPrior.from_arrays(dict(arrays)).fingerprint.hex()
  assert fingerprint in "".join(_code(cells)[0]["outputs"][0]["text"]), _RUN_AGAIN


def test_links_lead_somewhere(cells):
  text = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
  targets = re.findall(r"\]\(([^)#:]+)\)", text)
  assert len(targets) > 15
  for target in targets:
    assert (_NOTEBOOK.parent / target).exists(), target


def test_it_runs(cells, monkeypatch):
  nbclient = pytest.importorskip("nbclient", reason="needs the extra tour")
  nbformat = pytest.importorskip("nbformat")
  monkeypatch.setenv("PYTHONPATH", str(_ROOT))
  notebook = nbformat.read(_NOTEBOOK, as_version=4)
  notebook.cells.append(nbformat.v4.new_code_cell(_CHECKS))
  place = {"metadata": {"path": str(_NOTEBOOK.parent)}}
  nbclient.NotebookClient(notebook, timeout=600, resources=place).execute()
  for stored, run in zip(_code(cells), _code(notebook.cells)):
    assert _kinds(run["outputs"]) == _kinds(stored["outputs"]), "".join(stored["source"])
