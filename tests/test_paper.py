"""The study of the paper: Bjøntegaard rates, and files in the tree that agree with its data."""

import csv
import json
import math
import pathlib
import warnings

import numpy as np
import pytest
from scipy import interpolate

from bmshj_minnen.evaluation import curves, measurements
from bmshj_minnen.evaluation import rate_tables as evaluation_tables
from bmshj_minnen.evaluation.published import left_out, published
from experiments.paper import panels, plots, tables, yardsticks
from tests import codecs

_STUDY = pathlib.Path(tables.__file__).parent
_POINTS = pathlib.Path(curves.__file__).parent / "published_points" / "kodak.csv"


@pytest.mark.parametrize(
  ("anchor", "rate"),
  [
    ("balle-2018-iclr-opt-mse", -15.5),
    ("jpeg420", -58.9),
    ("bpg444", -8.1),
    ("j2k-opj5", -34.7),
  ],
)
def test_published_points_give_what_the_abstract_says(anchor, rate):
  measured = tables.published_rates("psnr")[anchor]
  assert round(measured, 1) == rate
  assert measured == pytest.approx(tables.PUBLISHED_ANCHORS[anchor], abs=1.0)


@pytest.mark.parametrize("anchor", ["balle-2018-iclr-opt-mse", "jpeg420", "bpg444"])
def test_the_rate_is_the_mean_difference_of_log_rates(anchor):
  """The integral by the trapezoid rule, straight from the file, without the study's code."""
  points = {}
  with open(_POINTS, newline="") as file:
    for row in csv.DictReader(file):
      if row["metric"] == "psnr_rgb_db":
        points.setdefault(row["codec"], []).append((float(row["value"]), float(row["bpp"])))
  ours, theirs = (np.array(sorted(points[c])).T for c in ("minnen-2018-neurips-opt-mse", anchor))
  quality = np.linspace(max(ours[0][0], theirs[0][0]), min(ours[0][-1], theirs[0][-1]), 100001)
  difference = [
    interpolate.pchip_interpolate(points[0], np.log(points[1]), quality)
    for points in (ours, theirs)
  ]
  mean = np.trapz(difference[0] - difference[1], quality) / (quality[-1] - quality[0])
  rate = tables.published_rates("psnr")[anchor]
  assert rate == pytest.approx(100 * (np.exp(mean) - 1), abs=1e-4)


def test_every_yardstick_has_published_points():
  names = [name for group in yardsticks.GROUPS.values() for name in group]
  assert len(names) == len(set(names)) and set(names) <= set(published("psnr"))


def test_a_model_of_known_rate_against_the_yardsticks(monkeypatch):
  """The model takes 1.25 times the bits of VTM."""
  vtm = published("psnr")["CompressAI vtm"]
  rows = [
    measurements.Row("ours", str(i), "1", "kodim01.png", "0", 8, 8, 1, bpp, psnr, 0.9, 10.0, 1, 1)
    for i, (bpp, psnr) in enumerate(zip(1.25 * vtm.bpp, vtm.quality))
  ]
  rates = yardsticks.rates(rows, "psnr")
  assert rates["CompressAI vtm"]["ours"] == pytest.approx(25)
  assert rates["minnen-2018-neurips-opt-mse"]["minnen-2018-neurips-opt-mse"] == 0
  # One image is not the average over Kodak, so nothing is printed.
  assert not yardsticks.table(rows)
  monkeypatch.setattr(yardsticks, "left_out", lambda rows: "")
  assert "| VVC, reference encoder VTM | +25.0 % | +11.0 % |" in yardsticks.table(rows)


def _line(scale=1.0, low=25.0, high=40.0, count=5):
  """A curve whose rates double every 5 dB."""
  quality = np.linspace(low, high, count)
  return curves.Curve(scale * 2 ** (quality / 5), quality)


def test_rates_of_curves_whose_rate_is_known():
  anchor = _line()
  assert curves.bd_rate(anchor, anchor) == 0
  assert curves.bd_rate(anchor, _line(0.8)) == pytest.approx(-20)
  # Independent of the points, and of their overlap.
  assert curves.bd_rate(anchor, _line(0.8, 30, 45, 7)) == pytest.approx(-20)
  assert curves.bd_rate(_line(0.8), anchor) == pytest.approx(25)
  test = _line(0.8)
  np.testing.assert_allclose(curves.relative_rate(anchor, test.bpp, test.quality), -20)
  np.testing.assert_allclose(curves.rate_at(anchor, [27.5, 31.0]), [2**5.5, 2**6.2])


def test_no_rate_where_curves_do_not_meet():
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    for test in (_line(1, 41, 50), _line(1, 40, 50), _line(1, 30, 30, 1), _line(1, 0, 0, 0)):
      assert math.isnan(curves.bd_rate(_line(), test))
      assert math.isnan(curves.bd_rate(test, _line()))
  assert np.isnan(curves.rate_at(_line(), [24.9, 40.1])).all()
  assert np.isnan(curves.rate_at(_line(1, 30, 30, 1), [30])).all()


def test_a_curve_leaves_out_what_nobody_would_choose():
  points = [
    (0.5, 30),
    (0.2, 25),
    (0.6, 29.9),
    (0.9, math.inf),
    (0.7, 31),
    (0.7, 30.5),
    (1, math.nan),
  ]
  curve = curves.curve(points)
  np.testing.assert_array_equal(curve.bpp, [0.2, 0.5, 0.7])
  np.testing.assert_array_equal(curve.quality, [25, 30, 31])


def test_published_ms_ssim_is_in_decibels():
  with open(_POINTS, newline="") as file:
    values = [
      float(row["value"])
      for row in csv.DictReader(file)
      if row["codec"] == "bpg444" and row["metric"] == "ms_ssim_rgb"
    ]
  expected = sorted(-10 * math.log10(1 - value) for value in values)
  np.testing.assert_allclose(published("ms_ssim")["bpg444"].quality, expected)


@pytest.fixture(scope="module")
def kodak():
  """The rows of the study on Kodak, and their tables."""
  rows = measurements.read_rows(_STUDY / "results" / "images.csv")
  return rows, tables.all_tables(rows, "jpeg420")


def test_the_results_in_the_tree_belong_together(kodak):
  rows, text = kodak
  averages = json.loads((_STUDY / "results" / "averages.json").read_text())
  expected = [
    {name: None if value != value else value for name, value in entry.items()}  # JSON has no NaN.
    for entry in measurements.averages(rows)
  ]
  assert averages == expected
  assert {entry["images"] for entry in averages} == {24}
  assert (_STUDY / "results" / "tables.md").read_text("utf-8") == text


def _rows():
  """Two images; codec "ours" takes 0.7 times the bits of jpeg420, "single" has one setting."""
  rows = []
  for image, effort in (("a.png", 1.0), ("b.png", 2.0)):
    for step in range(4):
      for codec, scale in (("jpeg420", 1.0), ("ours", 0.7), ("single", 0.5))[: 2 + (step == 1)]:
        bpp = effort * scale * 0.2 * 2**step
        names = (codec, str(step), "v", image, "0")
        db = 28 + 3 * step
        quality = (db, 1 - 10 ** (-db / 20), db / 2)
        rows.append(measurements.Row(*names, 768, 512, int(bpp * 49152), bpp, *quality, 0.1, 0.1))
  return rows


def test_tables_of_known_rates():
  text = tables.all_tables(_rows(), "jpeg420")
  by_image = text[text.index("image by image, PSNR") :]
  assert "| ours | -30.0 % | -30.0 % | -30.0 % | -30.0 % | 2 |" in by_image
  single = text[text.index("our models at equal PSNR") :]
  line = single[single.index("| single 1 ") :].splitlines()[0]
  assert line.endswith("| -50.0 % |")
  assert evaluation_tables.models(_rows()) == ["ours", "single"]


def test_published_curves_are_compared_with_on_all_kodak_images_alone(kodak):
  all_rows, text = kodak
  assert left_out(all_rows) == "" and "published bpg444" in text
  for rows, whose in [
    ([row for row in all_rows if row.image < "kodim04"], "these over 3 of them."),
    (_rows(), "these over 2 photographs."),
  ]:
    text = tables.all_tables(rows, "jpeg420")
    assert whose in text and "published bpg444" not in text


def test_plots_are_drawn(tmp_path):
  plots.plot_all(_rows(), "jpeg420", tmp_path)
  expected = {f"{m}{part}.png" for m in curves.METRICS for part in ("", "_savings", "_images_1")}
  assert {path.name for path in tmp_path.iterdir()} == expected
  for path in tmp_path.iterdir():
    assert codecs.bmshj_minnen.read_image(str(path)).std() > 10


def test_pictures_side_by_side_are_of_equal_bytes(tmp_path):
  x = codecs.photograph(96, 128)
  codec, _ = codecs.make_codec("joint", tmp_path)
  row = panels.panels(x, codec, ["jpeg420", "jpeg444"])
  sizes = [int(panel.caption.split(": ")[1].split(" bytes")[0]) for panel in row[1:]]
  assert sizes[0] == len(codec.compress(x))
  assert all(size == pytest.approx(sizes[0], rel=0.1) for size in sizes)
  np.testing.assert_array_equal(row[0].image, x)
  np.testing.assert_array_equal(row[1].image, codec.decompress(codec.compress(x)))


def test_crops_are_enlarged_in_whole_pixels():
  x = codecs.photograph(96, 128)
  row = [panels.Panel(x, "a"), panels.Panel(255 - x, "b")]
  picture = panels.compose(row, (10, 20, 24, 32))
  crop = x[10:34, 20:52].repeat(4, 0).repeat(4, 1)
  np.testing.assert_array_equal(picture[-96:, :128], crop)
  np.testing.assert_array_equal(picture[-96:, 136:264], 255 - crop)
  with pytest.raises(ValueError, match="not within 96 rows of 128 pixels"):
    panels.compose(row, (80, 0, 17, 10))
