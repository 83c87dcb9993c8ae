"""Figures that are not finite: averages leave the pictures out, and rates are not given."""

import json
import math

import numpy as np
import pytest

import bmshj_minnen
from bmshj_minnen.evaluation import cautions, curves, measurements, measuring, plots, rate_tables
from bmshj_minnen.evaluation.line_styles import appearances
from experiments.paper import tables as paper_tables
from tests import codecs

pytest.importorskip("bjontegaard", reason="needs the extra `evaluation`")

_IMAGES = ("a.png", "b.png", "c.png")


def _row(codec, step, image, psnr_db=None, ms_ssim_db=None, scale=1.0):
  """A row with a rate that doubles every 5 dB, and is four times as high for c.png."""
  bpp = scale * 0.2 * 2**step * (4 if image == "c.png" else 1)
  psnr_db = 30 + 5 * step if psnr_db is None else psnr_db
  ms_ssim_db = 10 + 5 * step if ms_ssim_db is None else ms_ssim_db
  quality = (psnr_db, 1 - 10 ** (-ms_ssim_db / 10), ms_ssim_db)
  names = (codec, str(step), "v", image, "0")
  return measurements.Row(*names, 300, 200, int(7500 * bpp), bpp, *quality, 0.1, 0.1)


def _rows(**of_c):
  """Two codecs, one with 0.8 times the other's bits; `of_c`: figures for c.png, jpeg420, step 2."""
  return [
    _row(codec, step, image, scale=scale, **(of_c if one else {}))
    for codec, scale in (("jpeg420", 1.0), ("webp", 0.8))
    for step in range(4)
    for image in _IMAGES
    for one in [(codec, step, image) == ("jpeg420", 2, "c.png")]
  ]


@pytest.mark.parametrize(
  "metric, of_c, reason",
  [
    ("psnr", {"psnr_db": math.inf}, "c.png comes back exactly from jpeg420 2."),
    ("ms_ssim", {"ms_ssim_db": math.nan}, "c.png (300x200) has a side below 161 pixels."),
  ],
)
def test_a_picture_without_a_figure_is_left_out_for_all_codecs(metric, of_c, reason):
  rows = _rows(**of_c)
  (sentence,) = cautions.of_averages(rows)
  assert sentence.endswith(f"are of the other 2 photographs, for all codecs: {reason}")
  named = curves.measured(rows, metric)
  for codec, scale in (("jpeg420", 1.0), ("webp", 0.8)):
    # The bits of c.png are left out as well.
    np.testing.assert_allclose(named[codec].bpp, scale * 0.2 * 2 ** np.arange(4), rtol=1e-5)
  for entry in measurements.averages(rows):
    assert entry["images"] == 3 and entry[f"{metric}_images"] == 2
    assert math.isfinite(entry[curves.METRICS[metric].column])
  for text in (rate_tables.summary(rows), paper_tables.all_tables(rows, "jpeg420")):
    assert sentence in text and "nan" not in text
  summary = rate_tables.summary(rows)
  assert summary.count("| webp | -20.0 % | +0.0 % |") == 2
  assert "Bytes and bpp are of all images" in summary


def test_a_setting_that_gives_all_pictures_back_is_in_no_curve_and_leaves_no_picture_out():
  rows = _rows() + [_row("webp", 4, image, psnr_db=math.inf) for image in _IMAGES]
  (sentence,) = cautions.of_averages(rows)
  assert sentence == "No PSNR of webp 4: all photographs come back exactly."
  assert len(curves.measured(rows, "psnr")["webp"].bpp) == 4
  assert len(curves.measured(rows, "ms_ssim")["webp"].bpp) == 5
  assert [entry["psnr_images"] for entry in measurements.averages(rows)] == [3] * 8 + [0]


def test_without_any_figure_a_sentence_takes_the_place_of_each_table_and_curve():
  rows = [_row("jpeg420", step, "a.png", ms_ssim_db=math.nan) for step in range(3)]
  text = rate_tables.summary(rows)
  reason = "not measured, or all photographs have a side below 161 pixels"
  assert f"No MS-SSIM of anything: {reason}." in text
  for title in ("PSNR (dB)", "MS-SSIM (dB)"):
    assert f"No Bjøntegaard rates by {title}: they need two codecs with figures" in text
  named = curves.measured(rows, "ms_ssim")
  assert {codec: len(curve.bpp) for codec, curve in named.items()} == {"jpeg420": 0}
  (axes,) = plots.averages(named, appearances(list(named)), "ms_ssim").axes
  assert [text.get_text() for text in axes.texts] == ["no figures"]


def test_where_each_picture_lacks_some_figure_there_is_no_average():
  rows = [
    _row("avif", step, image, psnr_db=math.inf if image == _IMAGES[step] else None)
    for step in range(3)
    for image in _IMAGES
  ]
  (sentence,) = cautions.of_averages(rows)
  assert "are of no photograph, for all codecs: a.png comes back exactly from avif 0" in sentence
  assert {entry["psnr_images"] for entry in measurements.averages(rows)} == {0}
  assert all(math.isnan(entry["psnr_db"]) for entry in measurements.averages(rows))


def _short(low, high):
  quality = np.linspace(low, high, 4)
  return curves.curve(zip(2 ** (quality / 5), quality))


def test_a_rate_over_too_small_an_overlap_is_not_given_but_why():
  named = {
    "all": _short(30, 40),
    "touching": _short(39.99, 45),
    "enough": _short(39.5, 45),
    "one": _short(35, 35),
    "apart": _short(50, 60),
  }
  text = rate_tables.bjontegaard(named, list(named), ["all"], "psnr")
  dashes = [line.split(" ")[1] for line in text.splitlines() if line.endswith("| – |")]
  assert dashes == ["touching", "one", "apart"]
  reason = text.splitlines()[-1]
  assert reason.startswith("No rate (–) where less than 0.5 dB of quality that both curves reach: ")
  assert "all and touching 0.01 dB" in reason and "all and apart 0 dB" in reason
  assert "enough" not in reason
  assert math.isnan(curves.bd_rate(named["all"], named["touching"]))
  assert math.isfinite(curves.bd_rate(named["all"], named["enough"]))


def test_images_without_a_rate_are_counted():
  rows = _rows()
  for step in range(4):  # Far better than jpeg420 at its best, on one photograph.
    index = next(i for i, r in enumerate(rows) if (r.codec, r.setting) == ("webp", str(step)))
    rows[index] = _row("webp", step, "a.png", psnr_db=80 + step, scale=0.8)
  text = rate_tables.by_image(rows, "psnr", "jpeg420")
  assert "-20.0 % | -20.0 % | -20.0 % | 2 |" in text
  assert text.endswith(
    "`images` counts those of 3 on which both curves reach 0.5 dB of the same quality; the others "
    "have no rate."
  )


def test_ms_ssim_of_very_good_pictures_is_averaged_with_all_its_digits():
  """For 62 and 68 dB, 1 - MS-SSIM is 0 in six digits."""
  rows = [_row("webp", 0, image, ms_ssim_db=db) for image, db in zip(_IMAGES, (62, 68))]
  rows = [measurements.Row(**{**vars(row), "ms_ssim": round(row.ms_ssim, 6)}) for row in rows]
  (entry,) = measurements.averages(rows)
  expected = -10 * math.log10((10**-6.2 + 10**-6.8) / 2)
  assert entry["ms_ssim_db"] == pytest.approx(expected, abs=1e-5)


def test_evaluations_of_odd_pictures_say_what_is_left_out(tmp_path):
  """A small picture and a blank one beside two others, through files."""
  x = codecs.photograph(200, 240)
  pictures = {"1": x, "2": x[::-1], "blank": np.full_like(x, 255), "small": x[:120]}
  for name, picture in pictures.items():
    bmshj_minnen.write_image(str(tmp_path / f"{name}.png"), picture)
  config = measuring.EvaluationConfig(
    str(tmp_path / "*.png"), str(tmp_path / "out"), codecs=["jpeg420", "webp"], qualities=[30, 80]
  )
  measuring.evaluate(config)
  rows = measurements.read_rows(tmp_path / "out" / measuring.TABLE)
  psnr, ms_ssim = cautions.of_averages(rows)
  assert "the other 3 photographs" in psnr and "blank.png comes back exactly from jpeg4" in psnr
  assert "the other 3 photographs" in ms_ssim and "small.png (240x120) has a side" in ms_ssim
  entries = json.loads((tmp_path / "out" / "averages.json").read_text())
  assert {(e["images"], e["psnr_images"], e["ms_ssim_images"]) for e in entries} == {(4, 3, 3)}
  assert all(math.isfinite(e[name]) for e in entries for name in ("psnr_db", "ms_ssim_db"))
