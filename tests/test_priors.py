"""The study of priors: its tables say what a calculation by hand says."""

import math

import pytest

from bmshj_minnen.evaluation import measurements
from experiments.priors import tables


def _row(prior, lmbda, bpp, psnr):
  figures = {"bpp": bpp, "psnr_db": psnr, "ms_ssim": 0.9, "ms_ssim_db": 10.0}
  figures.update(encode_s=1.0, decode_s=1.0, bytes=1, width=1, height=1, version="", crc32="")
  return measurements.Row(codec=prior, setting=f"{prior}-{lmbda}", image="a.png", **figures)


_ROWS = [
  _row("joint", 0.02, 0.8, 33.0),
  _row("joint", 0.005, 0.4, 30.0),
  _row("factorized", 0.005, 0.5, 30.0),
  _row("factorized", 0.02, 1.0, 33.0),
]


def test_a_prior_that_takes_a_quarter_more_bits_costs_that():
  assert tables.savings(_ROWS) == {"factorized": pytest.approx(100 * (0.4 / 0.5 - 1))}


def test_models_stand_in_order_of_rate_with_their_loss():
  lines = [line for line in tables.all_tables(_ROWS).splitlines() if line.count("|") == 7][2:]
  assert [line.split()[1:4:2] for line in lines] == [
    [prior, lmbda] for lmbda in ("0.005", "0.02") for prior in ("factorized", "joint")
  ]
  mse = 255**2 * math.exp(-3 * math.log(10))
  assert lines[1].split()[-2] == f"{0.4 + 0.005 * mse:.4f}"
