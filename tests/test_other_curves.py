"""Reads curves of other projects, and writes ours for them."""

import json
import math
import re

import numpy as np
import pytest

from bmshj_minnen.evaluation import (
  curves,
  exchange,
  measurements,
  plots,
  published,
  rate_tables,
  summary,
)
from bmshj_minnen.evaluation.line_styles import appearances

_OLD = {"name": "AV1", "results": {"psnr": [30.0, 25.0], "ms-ssim": [0.99, 0.9], "bpp": [0.4, 0.1]}}
_NEW = {"results": {"psnr-rgb": [26.0], "bpp": [0.2], "encoding_time": [1.0]}}


def _row(codec, setting, bpp, psnr, image="a.png"):
  missing = 10 ** (-psnr / 20)
  values = {"bpp": bpp, "psnr_db": psnr, "ms_ssim": 1 - missing}
  values.update(ms_ssim_db=psnr / 2, encode_s=1.5, decode_s=0.5)
  values.update(bytes=1, width=1, height=1, version="v", crc32="")
  return measurements.Row(codec=codec, setting=setting, image=image, **values)


_ROWS = [
  _row("o_1/x", "2", 0.8, 33.0),
  _row("o_1/x", "1", 0.4, 30.0),
  _row("jpeg420", "1", 0.5, 30.0),
  _row("jpeg420", "2", 1.0, 33.0),
]


def _write(path, content):
  path.write_text(content if isinstance(content, str) else json.dumps(content))
  return str(path)


def test_results_of_compressai_old_and_new(tmp_path):
  paths = [_write(tmp_path / "av1.json", _OLD), _write(tmp_path / "mine.json", _NEW)]
  found = exchange.read(paths)
  assert set(found) == {"AV1", "mine"} and set(found["mine"]) == {"psnr"}
  np.testing.assert_array_equal(found["AV1"]["psnr"].bpp, [0.1, 0.4])
  np.testing.assert_array_equal(found["AV1"]["psnr"].quality, [25, 30])
  np.testing.assert_allclose(found["AV1"]["ms_ssim"].quality, [10, 20])


def test_a_table_with_named_columns(tmp_path):
  text = "psnr_db,codec,bpp,ms_ssim\n31,a,0.5,\n30,a,0.25,0.9\n28,b,0.1,\n"
  found = exchange.read([_write(tmp_path / "points.csv", text)])
  np.testing.assert_array_equal(found["a"]["psnr"].bpp, [0.25, 0.5])
  np.testing.assert_allclose(found["a"]["ms_ssim"].quality, [10])
  assert set(found["b"]) == {"psnr"}


@pytest.mark.parametrize(
  ("name", "content", "match"),
  [
    ("x.json", "{", "no results as CompressAI"),
    ("x.json", {"results": {"psnr": [1.0]}}, "no results as CompressAI"),
    ("x.json", {"results": {"psnr": [1.0], "bpp": [1.0, 2.0]}}, "2 rates, but 1 values of psnr"),
    ("x.json", {"results": {"ms-ssim": [12.0], "bpp": [1.0]}}, "not in decibels"),
    ("x.json", {"results": {"psnr": [12.0], "bpp": [0]}}, "above 0 bits"),
    ("x.csv", "codec,rate\na,1\n", "needs the columns"),
    ("x.csv", "codec,bpp,psnr_db\na,1,30\na,one,30\n", "line 3"),
  ],
)
def test_other_files_are_named_in_one_line(name, content, match, tmp_path):
  with pytest.raises(ValueError, match=match) as error:
    exchange.read([_write(tmp_path / name, content)])
  assert name in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("suffix", ["json", "csv"])
def test_files_of_another_kind_are_refused_in_a_short_line(suffix, tmp_path):
  path, head = tmp_path / f"curve.{suffix}", b"codec,bpp,psnr_db\n"
  random = np.random.default_rng(0).bytes(300_000)
  long = b'{"results": {"bpp": ["' + b"x" * 300_000 + b'"]}}'
  huge = b'{"results": {"bpp": [1' + b"0" * 400 + b"]}}"
  tables = [head + b"a," + b"x" * 99_000 + b",1\n", head + b"a" * 300_000, head + b",1,2\n"]
  for content in (random, long, huge, b"[" * 300_000, head + random, *tables):
    path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
      exchange.read([str(path)])
    line = str(caught.value)
    assert line.startswith(str(path)) and "\n" not in line and len(line) < len(str(path)) + 200


def test_two_curves_of_one_name_are_refused(tmp_path):
  paths = [_write(tmp_path / name, _OLD) for name in ("a.json", "b.json")]
  with pytest.raises(ValueError, match="'AV1' already"):
    exchange.read(paths)
  with pytest.raises(ValueError, match="jpeg420 was measured"):
    summary.write(
      _ROWS, tmp_path, exchange.read([_write(tmp_path / "c.json", {**_OLD, "name": "jpeg420"})])
    )


def test_what_is_written_is_read_back_and_has_compressais_keys(tmp_path):
  paths = exchange.write_compressai(_ROWS, tmp_path / "compressai")
  assert [path.name for path in paths] == ["o_1_x.json", "jpeg420.json"]
  data = json.loads(paths[0].read_text())
  assert data["results"]["bpp"] == [0.4, 0.8] and data["results"]["encoding_time"] == [1.5, 1.5]
  for keys in (("psnr", "psnr-rgb"), ("ms-ssim", "ms-ssim-rgb")):
    assert data["results"][keys[0]] == data["results"][keys[1]]
  found = exchange.read([str(path) for path in paths])
  for codec in ("o_1/x", "jpeg420"):
    for metric in ("psnr", "ms_ssim"):
      own = rate_tables.named_curves(_ROWS, {}, metric)[codec]
      np.testing.assert_array_equal(found[codec][metric].bpp, own.bpp)
      np.testing.assert_allclose(found[codec][metric].quality, own.quality, rtol=1e-3)


def test_exact_pictures_have_no_psnr_in_json(tmp_path):
  (path,) = exchange.write_compressai([_row("a", "1", 0.5, math.inf)], tmp_path)
  data = json.loads(path.read_text(), parse_constant=pytest.fail)
  assert "psnr" not in data["results"]


def test_summaries_in_all_formats_with_other_curves(tmp_path):
  rates = [0.32, 0.64, 0.64 * 2**0.5]
  other = {**_OLD, "results": {"psnr": [30.0, 33.0, 34.5], "bpp": rates}}
  others = exchange.read([_write(tmp_path / "av1.json", other)])
  formats = (summary.PLOT_FORMATS, summary.TABLE_FORMATS)
  third = [_row(codec, "3", bpp * 2**0.5, 34.5) for codec, bpp in [("o_1/x", 0.8), ("jpeg420", 1)]]
  summary.write([*_ROWS, *third], tmp_path, others, *formats)
  assert all((tmp_path / name).stat().st_size for name in summary.FILES)
  # 0.8 and 1 / 0.8 of the bits of the measured codec.
  assert "| AV1 | -20.0 % | -36.0 % | +0.0 % |" in (tmp_path / "summary.md").read_text()
  latex = (tmp_path / "summary.tex").read_text()
  assert r"AV1 & -20.0 \% & -36.0 \% & +0.0 \% \\" in latex and r"o\_1/x" in latex
  assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 3
  assert not re.search(r"(?<!\\)[_#]", latex)
  assert (tmp_path / "summary_psnr.pdf").read_bytes().startswith(b"%PDF")
  assert "<svg" in (tmp_path / "summary_psnr.svg").read_text()


def test_published_curves_stand_beside_measured_ones(tmp_path):
  summary.write(_ROWS, tmp_path, published.shown(), ("svg",), ("md", "tex"))
  text = (tmp_path / "summary.md").read_text()
  joint, jpeg = (published.published("psnr")[c] for c in ("minnen-2018-neurips-opt-mse", "jpeg420"))
  rate = f"{curves.bd_rate(jpeg, joint):+.1f} %"
  cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
  head = next(line for line in cells if "published jpeg420" in line)
  line = next(line for line in cells if line[:1] == ["published minnen-2018-neurips-opt-mse"])
  assert dict(zip(head, line))["published jpeg420"] == rate
  psnr, ms_ssim = (text.split("MS-SSIM (dB)")[i] for i in (0, 1))
  assert "opt-msssim" in ms_ssim and "opt-msssim" not in psnr
  for metric in ("psnr", "ms_ssim"):
    drawing = (tmp_path / f"summary_{metric}.svg").read_text()
    assert "joint, published" in drawing and "<title>" not in drawing


def test_figures_have_no_titles(tmp_path):
  named = curves.measured(_ROWS, "psnr")
  looks = appearances(list(named))
  figures = [
    plots.averages(named, looks, "psnr"),
    plots.savings(named, looks, "psnr", "jpeg420"),
    plots.images(curves.measured_by_image(_ROWS, "psnr"), looks, "psnr"),
  ]
  for figure in figures:
    assert figure._suptitle is None and not any(axes.get_title() for axes in figure.axes)
