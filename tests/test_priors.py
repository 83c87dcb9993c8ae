"""The study of priors: its tables and leads are the results of calculations by hand."""

import pytest

from bmshj_minnen.evaluation import measurements
from experiments.priors import figures, lead, runs, tables
from experiments.priors.runs import Run


def _row(run, quality, bpp, psnr, image="a.png"):
  values = {"bpp": bpp, "psnr_db": psnr, "ms_ssim": 0.9, "ms_ssim_db": 10.0}
  values.update(encode_s=1.0, decode_s=1.0, bytes=1, width=1, height=1, version="", crc32="")
  setting = f"{run.prior} q{quality}"
  return measurements.Row(codec=run.label, setting=setting, image=image, **values)


def _rows(run, factor, image="a.png"):
  points = ((1, 0.4, 30.0), (50, 0.6, 31.5), (100, 0.8, 33.0))
  return [_row(run, quality, factor * bpp, psnr, image) for quality, bpp, psnr in points]


_JOINT, _FACTORIZED = Run("equal", "joint", 0), Run("equal", "factorized", 0)
_OWN = Run("own", "joint", 0), Run("own", "factorized", 0)
_ROWS = [
  *_rows(_JOINT, 1.0),
  *_rows(_FACTORIZED, 1.25),
  *_rows(_OWN[0], 1.0),
  *_rows(_OWN[1], 2.0),
]


def _points(run, step, factor):
  """Validations at three λ, with `factor` times the bits."""
  return [
    lead.Point(run, step, lmbda, factor * bpp, mse)
    for lmbda, bpp, mse in ((0.003, 0.4, 60.0), (0.01, 0.6, 42.0), (0.03, 0.8, 30.0))
  ]


def test_a_prior_that_takes_a_quarter_more_bits_costs_that():
  assert tables.savings(_ROWS) == {
    _FACTORIZED: pytest.approx(-20),
    _OWN[1]: pytest.approx(-50),
  }
  text = tables.all_tables(_ROWS, [])
  assert "| equal latents, seed 0 | -20.0 % | – | – | – |" in text
  assert "| own latents, seed 0 | -50.0 % | – | – | – |" in text


def test_images_are_counted():
  rows = [*_ROWS[:6], *_rows(_JOINT, 1.0, "b.png"), *_rows(_FACTORIZED, 0.8, "b.png")]
  text = tables.all_tables(rows, [])
  assert "| factorized equal 0 | +2.5 % | -20.0 % | +25.0 % | 1 |" in text


def test_public_curves_give_the_published_leads():
  """Figures from both projects' tables of results, computed from their points."""
  rates = tables.published_savings()
  assert rates["the paper's points"]["scale_hyperprior"] == pytest.approx(-15.5, abs=0.05)
  assert rates["CompressAI"]["factorized"] == pytest.approx(-33.0, abs=0.1)
  assert rates["CompressAI, many rates"]["mean_scale_hyperprior"] == pytest.approx(-1.8, abs=0.1)


def test_the_lead_is_that_of_each_step_and_seed():
  other_seed = Run("equal", "joint", 1), Run("equal", "factorized", 1)
  scales = Run("equal", "scale_hyperprior", 0)
  points = [
    *_points(_JOINT, 200, 1.0),
    *_points(_JOINT, 400, 0.75),
    *_points(scales, 200, 1.25),
    *_points(scales, 400, 1.0),
    *_points(other_seed[0], 200, 1.0),
    *_points(other_seed[1], 200, 2.0),
    *_points(other_seed[1], 400, 2.0),  # The joint prior of this seed has fewer steps.
  ]
  assert lead.leads(points) == {
    (scales, 200): pytest.approx(-20),
    (scales, 400): pytest.approx(-25),
    (other_seed[1], 200): pytest.approx(-50),
  }
  text = tables.all_tables(_ROWS, points)
  assert "| equal latents, seed 0, step 400 | – | -25.0 % | – | – |" in text
  assert "| equal latents, seed 1, step 200 | -50.0 % | – | – | – |" in text


def test_the_figure_shows_the_bits_saved():
  of_equal, of_own = figures.bits(_ROWS).axes
  for axes, saved in ((of_equal, -25), (of_own, -100)):
    (line,) = (line for line in axes.get_lines() if line.get_label() == "factorized")
    assert list(line.get_ydata()) == [pytest.approx(saved)] * len(line.get_ydata())


def test_points_are_what_training_wrote_and_come_back(tmp_path):
  metrics = tmp_path / "metrics.csv"
  metrics.write_text(
    "step,loss,val_bpp,val_bpp_0.004,val_distortion_0.004,val_bpp_0.0225,val_distortion_0.0225\n"
    "200,1,0.3,0.25,80.5,0.5,20.25\n"
  )
  run = Run("own", "joint", 3)
  points = lead.training_points(metrics, run)
  assert points == [
    lead.Point(run, 200, 0.004, 0.25, 80.5),
    lead.Point(run, 200, 0.0225, 0.5, 20.25),
  ]
  file = tmp_path / "training.csv"
  assert lead.read_points(file) == []
  file.write_text(lead.to_csv(points))
  assert lead.read_points(file) == points


def test_every_prior_is_trained_alike(tmp_path, monkeypatch):
  commands = []
  monkeypatch.setattr(runs.subprocess, "run", lambda command, check: commands.append(command))
  settings = runs.Settings(
    "joint-mse", "t", "v", str(tmp_path), {"equal": 6, "own": 3}, {"equal": 2e-3, "own": 2e-4}
  )
  planned = runs.all_runs([0, 1], settings)
  assert len(planned) == 15 and len({run.directory(settings) for run in planned}) == 15
  for run in planned:
    assert Run.of_label(run.label) == run
    run.train(settings)
  differing = {"--model_dir", "--prior", "--init_from", "--seed"}
  for stage in runs.STAGES:
    alike = {
      tuple(flag for flag in command if flag.partition("=")[0] not in differing)
      for run, command in zip(planned, commands)
      if run.stage == stage
    }
    assert len(alike) == 1
