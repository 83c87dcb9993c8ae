"""Perceptual metrics: known values, and columns that are there only on demand."""

import json
import sys

import numpy as np
import PIL.Image
import pytest

from bmshj_minnen.evaluation import measurements, measuring, perceptual, rate_tables
from tests import codecs

pytest.importorskip("ssimulacra2")
pytest.importorskip("flip_evaluator")


def _image(height=64, width=48):
  return codecs.photograph(height, width)


def test_equal_images_have_the_best_figures_and_noise_makes_them_worse():
  x = _image()
  noise = np.random.default_rng(1).normal(size=x.shape)
  noisy = [np.clip(x + sigma * noise, 0, 255).astype(np.uint8) for sigma in (2, 8, 32)]
  scores = [perceptual.metric("ssimulacra2")(x, other) for other in (x, *noisy)]
  errors = [perceptual.metric("flip")(x, other) for other in (x, *noisy)]
  assert scores[0] == 100 and all(np.diff(scores) < -1)
  assert errors[0] == 0 and all(np.diff(errors) > 0.01) and errors[-1] < 1


def test_flip_of_plain_grey_is_that_of_its_equations():
  """Without edges, FLIP is its color part: Andersson et al. 2020, equations 1 to 7."""

  def lightness(level):  # Hunt's adjustment of grey leaves L*, and a* = b* = 0.
    linear = ((level / 255 + 0.055) / 1.055) ** 2.4
    return 116 * linear ** (1 / 3) - 16

  def hyab(first, second):
    return np.abs(first[0] - second[0]) + np.hypot(first[1] - second[1], first[2] - second[2])

  x, x_hat = (np.full((64, 64, 3), level, np.uint8) for level in (90, 110))
  difference = hyab((lightness(90), 0, 0), (lightness(110), 0, 0)) ** 0.7
  limit = _largest_difference() ** 0.7
  share = 0.95 / 0.4  # Below 0.4 of the limit the error grows to 0.95.
  assert perceptual.metric("flip")(x, x_hat) == pytest.approx(share * difference / limit, rel=2e-3)


def _largest_difference():
  """Between green and blue of sRGB."""
  to_xyz = np.array(
    [
      [0.4124564, 0.3575761, 0.1804375],
      [0.2126729, 0.7151522, 0.0721750],
      [0.0193339, 0.1191920, 0.9503041],
    ]
  )
  white = to_xyz.sum(axis=1)
  delta = 6 / 29

  def lab(colour):
    ratio = to_xyz @ colour / white
    f = np.where(ratio > delta**3, np.cbrt(ratio), ratio / (3 * delta**2) + 4 / 29)
    lightness = 116 * f[1] - 16
    return lightness, 500 * (f[0] - f[1]) * lightness / 100, 200 * (f[1] - f[2]) * lightness / 100

  green, blue = lab(np.array([0, 1, 0])), lab(np.array([0, 0, 1]))
  return abs(green[0] - blue[0]) + np.hypot(green[1] - blue[1], green[2] - blue[2])


def test_images_without_a_scale_have_no_score():
  x = _image(7, 40)
  assert np.isnan(perceptual.metric("ssimulacra2")(x, 255 - x))


@pytest.fixture
def evaluate(tmp_path):
  """(names of metrics, codecs) -> averages; the images are the same each time."""
  image_path = tmp_path / "a.png"
  PIL.Image.fromarray(_image(176, 192)).save(image_path)

  def run(perceptual_names, names=("jpeg420",)):
    return measuring.evaluate(
      measuring.EvaluationConfig(
        str(image_path),
        str(tmp_path / "out"),
        codecs=names,
        qualities=[30],
        perceptual=perceptual_names,
      )
    )

  run.folder = tmp_path / "out"
  return run


def test_columns_are_added_on_demand_and_old_rows_are_kept(evaluate):
  table = evaluate.folder / "images.csv"
  evaluate([])
  head = table.read_text().splitlines()[0]
  assert "flip" not in head
  (first,) = measurements.read_rows(table)
  evaluate(["flip"], ["jpeg444"])
  assert table.read_text().splitlines()[0] == f"{head},flip"
  old, new = measurements.read_rows(table)
  assert old == first and new.flip > 0 and new.ssimulacra2 is None
  assert "–" in rate_tables.averages([old, new])
  averages = json.loads((evaluate.folder / "averages.json").read_text())
  assert [entry["flip"] for entry in averages] == [None, new.flip]

  evaluate(["ssimulacra2", "flip"], ["jpeg420", "jpeg444"])
  rows = measurements.read_rows(table)
  assert [row.codec for row in rows] == ["jpeg420", "jpeg444"]
  assert rows[1].flip == new.flip and all(row.ssimulacra2 < 100 for row in rows)
  assert [row.bytes for row in rows] == [old.bytes, new.bytes]


def test_figures_that_are_there_are_not_measured_again(evaluate, monkeypatch):
  evaluate(["flip"])
  before = (evaluate.folder / "images.csv").read_bytes()
  monkeypatch.setattr(measuring, "_measure_one", None)
  evaluate(["flip"])
  evaluate([])
  assert (evaluate.folder / "images.csv").read_bytes() == before


def test_unknown_metrics_and_missing_packages_are_named(evaluate, monkeypatch):
  with pytest.raises(ValueError, match="unknown perceptual metric 'lpips': choose from ssimulacra"):
    evaluate(["lpips"])
  monkeypatch.setitem(sys.modules, "flip_evaluator", None)
  with pytest.raises(ValueError, match=r"flip needs .* pip install 'bmshj_minnen\[perceptual\]'"):
    evaluate(["flip"])
  assert not evaluate.folder.exists()
