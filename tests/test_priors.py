"""The study of priors: its tables and leads say what a calculation by hand says."""

import pytest

from bmshj_minnen.evaluation import measurements
from experiments.priors import lead, tables


def _row(prior, quality, bpp, psnr):
  figures = {"bpp": bpp, "psnr_db": psnr, "ms_ssim": 0.9, "ms_ssim_db": 10.0}
  figures.update(encode_s=1.0, decode_s=1.0, bytes=1, width=1, height=1, version="", crc32="")
  return measurements.Row(codec=prior, setting=f"{prior} q{quality}", image="a.png", **figures)


_ROWS = [
  _row("joint", 100, 0.8, 33.0),
  _row("joint", 1, 0.4, 30.0),
  _row("factorized", 1, 0.5, 30.0),
  _row("factorized", 100, 1.0, 33.0),
]


def _points(prior, step, factor, seed=0):
  """Validations at two λ, with `factor` times the bits."""
  return [
    lead.Point(prior, seed, step, lmbda, factor * bpp, mse)
    for lmbda, bpp, mse in ((0.003, 0.4, 60.0), (0.03, 0.8, 30.0))
  ]


def test_a_prior_that_takes_a_quarter_more_bits_costs_that():
  assert tables.savings(_ROWS) == {"factorized": pytest.approx(100 * (0.4 / 0.5 - 1))}


def test_models_stand_by_prior_and_in_order_of_rate():
  lines = [line for line in tables.all_tables(_ROWS, []).splitlines() if line.count("|") == 6][2:]
  assert [line.split()[1:4:2] for line in lines[:4]] == [
    [prior, quality] for prior in ("factorized", "joint") for quality in ("1", "100")
  ]


def test_the_lead_is_of_each_step_and_seed():
  points = [
    *_points("joint", 200, 1.0),
    *_points("joint", 400, 0.75),
    *_points("scale_hyperprior", 200, 1.25),
    *_points("scale_hyperprior", 400, 1.0),
    *_points("joint", 200, 1.0, seed=1),
    *_points("factorized", 200, 2.0, seed=1),
    *_points("factorized", 400, 2.0, seed=1),  # The joint prior of this seed is not as far.
  ]
  assert lead.leads(points) == {
    (0, 200, "scale_hyperprior"): pytest.approx(-20),
    (0, 400, "scale_hyperprior"): pytest.approx(-25),
    (1, 200, "factorized"): pytest.approx(-50),
  }
  text = tables.all_tables(_ROWS, points)
  assert "| 0 | 400 | – | -25.0 | – | – |" in text
  assert "| 1 | 200 | -50.0 | – | – | – |" in text
  lines = lead.plot(points).axes[0].get_lines()
  assert [list(line.get_ydata()) for line in lines[:1]] == [[pytest.approx(50)]]


def test_points_are_what_training_wrote_and_come_back(tmp_path):
  metrics = tmp_path / "metrics.csv"
  metrics.write_text(
    "step,loss,val_bpp,val_bpp_0.004,val_distortion_0.004,val_bpp_0.0225,val_distortion_0.0225\n"
    "200,1,0.3,0.25,80.5,0.5,20.25\n"
  )
  points = lead.training_points(metrics, "joint", 3)
  assert points == [
    lead.Point("joint", 3, 200, 0.004, 0.25, 80.5),
    lead.Point("joint", 3, 200, 0.0225, 0.5, 20.25),
  ]
  file = tmp_path / "training.csv"
  assert lead.read_points(file) == []
  file.write_text(lead.to_csv(points))
  assert lead.read_points(file) == points
