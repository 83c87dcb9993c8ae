"""The notebooks: they run from top to bottom, and their exercises know right answers from wrong."""

import json
import pathlib
import re

import numpy as np
import pytest

from bmshj_minnen.format.frozen_prior import FrozenPrior
from bmshj_minnen.model_files import catalogue

_ROOT = pathlib.Path(__file__).parent.parent
_NOTEBOOK = _ROOT / "experiments" / "tour.ipynb"
_QUANTIZERS = _ROOT / "experiments" / "quantizers.ipynb"
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

# The densities of z sum to 1, and a wrong answer is called wrong.
integers = np.tile(np.arange(-200, 201, dtype=np.float32)[:, None], [1, z.shape[3]])
sums = np.sum(2.0 ** -model.z_density.bits(integers).numpy(), 0)
np.testing.assert_allclose(sums, 1, atol=0.01)
import contextlib, io
with contextlib.redirect_stdout(io.StringIO()) as said:
  check("smallest s", smallest + 1, works[0])
assert "not right yet" in said.getvalue()
"""
_ANSWERS = {
  "return ...": "a, b = (stats.norm.cdf(y_hat + half, mean, scale) for half in (-0.5, 0.5))\n"
  "  return -np.log2(b - a)",
  "smallest = ...": "smallest = 2",
  "factor = ...": "factor = np.sum(model.conditional.bits(known, mean, scale * 2)) / np.sum(bits)",
}

# Fewer steps and photographs, which give the same order of priors, and coarser pictures.
_SHORTER = {
  "LARGEST = 512": "LARGEST = 128",
  "read_image(path)) for path in finding.bundled_photographs()": (
    "read_image(path)[:256, :256]) for path in finding.bundled_photographs()[:2]"
  ),
  "quality in (1, 20, 40, 60, 80, 100)": "quality in (1, 100)",
  "steps=80, batch=384": "steps=30, batch=128",
  "def show(": "plt.rcParams['figure.dpi'] = 20\n\ndef show(",
}


@pytest.fixture(scope="module")
def cells():
  return _cells(_NOTEBOOK)


def _cells(notebook):
  return json.loads(notebook.read_text())["cells"]


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


@pytest.mark.parametrize("notebook", [_NOTEBOOK, _QUANTIZERS])
def test_outputs_are_stored_where_code_hosts_show_them(notebook):
  assert notebook.stat().st_size < 2e6
  code = _code(_cells(notebook))
  assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1)), _RUN_AGAIN
  kinds = [kind for cell in code for kind in _kinds(cell["outputs"])]
  assert "stderr" not in kinds and ["error"] not in kinds
  assert kinds.count(["image/png", "text/plain"]) >= (12 if notebook == _NOTEBOOK else 3)
  said = [text for cell in code for output in cell["outputs"] for text in output.get("text", "")]
  blanks = [cell for cell in code if re.search(r"(=|return) \.\.\.$", "".join(cell["source"]))]
  assert len(blanks) == sum(text.endswith("not answered yet\n") for text in said) > 1


def test_outputs_are_those_of_the_model_that_ships(cells):
  path = catalogue.find("joint-mse") / "coder.npz"
  with np.load(path) as arrays:
    fingerprint = FrozenPrior.from_arrays(dict(arrays)).fingerprint.hex()
  assert fingerprint in "".join(_code(cells)[0]["outputs"][0]["text"]), _RUN_AGAIN


@pytest.mark.parametrize(("notebook", "least"), [(_NOTEBOOK, 16), (_QUANTIZERS, 1)])
def test_links_lead_somewhere(notebook, least):
  cells = _cells(notebook)
  text = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
  targets = re.findall(r"\]\(([^)#:]+)\)", text)
  assert len(targets) >= least
  for target in targets:
    assert (_NOTEBOOK.parent / target).exists(), target


def test_it_runs(cells, monkeypatch):
  nbclient = pytest.importorskip("nbclient", reason="needs the extra tour")
  nbformat = pytest.importorskip("nbformat")
  monkeypatch.setenv("PYTHONPATH", str(_ROOT))
  notebook = nbformat.read(_NOTEBOOK, as_version=4)
  changes = {**_ANSWERS, **_SHORTER}
  source = "\n".join(cell.source for cell in notebook.cells)
  assert all(source.count(text) == 1 for text in changes)
  for cell in notebook.cells:
    for text, replacement in changes.items():
      cell.source = cell.source.replace(text, replacement)
  notebook.cells.append(nbformat.v4.new_code_cell(_CHECKS))
  place = {"metadata": {"path": str(_NOTEBOOK.parent)}}
  nbclient.NotebookClient(notebook, timeout=600, resources=place).execute()
  for stored, run in zip(_code(cells), _code(notebook.cells)):
    assert _kinds(run["outputs"]) == _kinds(stored["outputs"]), "".join(stored["source"])
  said = [output.get("text", "") for cell in _code(notebook.cells) for output in cell["outputs"]]
  assert sum(text.endswith(": right\n") for text in said) == len(_ANSWERS)


@pytest.mark.usefixtures("eagerly")
def test_the_notebook_of_quantizers_runs(monkeypatch, capsys):
  """In this process and with few steps, because most of its time is TensorFlow's start."""
  monkeypatch.setenv("MPLBACKEND", "Agg")
  monkeypatch.setenv("STEPS", "2")
  answers = {
    "return ...": "return np.round(y + u) - u",
    "variance = ...": "variance = 1 / 12",
    '"mean_scale_hyperprior", num_filters=16, latent_channels=24': '"factorized", 4, 6',
  }
  source = "\n".join("".join(cell["source"]) for cell in _code(_cells(_QUANTIZERS)))
  for blank, answer in answers.items():
    assert source.count(blank) == 1
    source = source.replace(blank, answer)
  names = {"__name__": "quantizers_notebook"}
  exec(source, names)
  said = capsys.readouterr().out
  assert "universal: right\n" in said and "variance: right\n" in said
  # Rounding alone gives no slope; straight-through has that of the loss at round(y).
  slopes = names["slopes"]
  y = np.linspace(-2, 2, 401)
  np.testing.assert_allclose(slopes["straight_through"], 2 * (np.round(y) - 0.7), atol=1e-4)
  assert not slopes["rounding"].any() and np.abs(slopes["noise"] - 2 * (y - 0.7)).max() <= 1 + 1e-4
  names["check"]("universal", names["values"], names["lattice"])
  assert "not right yet" in capsys.readouterr().out
