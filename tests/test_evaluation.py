"""Evaluations: figures are measured on real files, and tables survive interruptions."""

import csv
import importlib.util
import json
import math
import shutil
import statistics

import numpy as np
import PIL.Image
import pytest
from skimage import metrics as skimage_metrics

import bmshj_minnen
from bmshj_minnen.evaluation import (
  curves,
  measurements,
  measuring,
  pillow_codecs,
  rate_tables,
  report,
)
from tests import codecs, programs

pytestmark = pytest.mark.usefixtures("module_eagerly")

_SIZES = {"a.png": (180, 200), "b.png": (177, 190)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Two photographs in `photos`, a quick model in `small`."""
  folder = tmp_path_factory.mktemp("evaluation")
  (folder / "photos").mkdir()
  for name, size in _SIZES.items():
    bmshj_minnen.write_image(str(folder / "photos" / name), codecs.photograph(*size))
  codecs.save_model("factorized", folder / "small")
  return folder


@pytest.fixture
def evaluate(folder, tmp_path):
  """(**fields of the configuration) -> averages; the results are in `tmp_path`."""

  def run(**fields):
    fields = {"images": str(folder / "photos" / "*.png"), "output": str(tmp_path), **fields}
    return measuring.evaluate(measuring.EvaluationConfig(**fields))

  return run


@pytest.fixture
def compressed(monkeypatch):
  """Sizes of all images that the classical codecs compress, warm-up runs included."""
  compress = pillow_codecs.PillowCodec.compress
  sizes = []

  def counted(codec, image):
    sizes.append(image.shape[:2])
    return compress(codec, image)

  monkeypatch.setattr(pillow_codecs.PillowCodec, "compress", counted)
  return sizes


def _rows(folder):
  with open(folder / "images.csv", newline="") as file:
    return list(csv.DictReader(file))


def test_figures_are_those_of_the_files(evaluate, folder, tmp_path):
  evaluate(
    models=[str(folder / "small")], codecs=["jpeg444", "webp"], qualities=[30, 80], keep_files=True
  )
  rows = _rows(tmp_path)
  assert len(rows) == (1 + 2 * 2) * len(_SIZES)
  suffixes = {"small": ".tfci", "jpeg444": ".jpg", "webp": ".webp"}
  model = bmshj_minnen.load(folder / "small")
  for row in rows:
    files = tmp_path / "files" / row["codec"] / row["setting"]
    file = files / (row["image"] + suffixes[row["codec"]])
    height, width = _SIZES[row["image"]]
    assert (int(row["height"]), int(row["width"])) == (height, width)
    assert int(row["bytes"]) == file.stat().st_size
    assert float(row["bpp"]) == pytest.approx(8 * file.stat().st_size / (height * width), abs=1e-6)
    if row["codec"] == "small":
      x_hat = model.decompress(file.read_bytes())
    else:
      x_hat = np.asarray(PIL.Image.open(file).convert("RGB"))
    x = np.asarray(PIL.Image.open(folder / "photos" / row["image"]))
    psnr = skimage_metrics.peak_signal_noise_ratio(x, x_hat)
    assert float(row["psnr_db"]) == pytest.approx(psnr, abs=1e-5)
    error = 10 ** (-float(row["ms_ssim_db"]) / 10)
    assert float(row["ms_ssim"]) == pytest.approx(1 - error, abs=2e-6)
    assert 0 < float(row["encode_s"]) < 10 and 0 < float(row["decode_s"]) < 10


def test_averages(evaluate, tmp_path):
  returned = evaluate(codecs=["jpeg420"], qualities=[20, 60])
  rows = _rows(tmp_path)
  assert json.loads((tmp_path / "averages.json").read_text()) == returned
  assert [(entry["codec"], entry["setting"]) for entry in returned] == [
    ("jpeg420", "20"),
    ("jpeg420", "60"),
  ]
  for entry in returned:
    own = [row for row in rows if row["setting"] == entry["setting"]]
    assert entry["images"] == len(own) == len(_SIZES)
    for name in ("bytes", "bpp", "psnr_db", "ms_ssim", "encode_s", "decode_s"):
      assert entry[name] == pytest.approx(
        statistics.mean(float(row[name]) for row in own), abs=1e-6
      )
    assert entry["ms_ssim_db"] == pytest.approx(-10 * math.log10(1 - entry["ms_ssim"]), abs=1e-4)


def test_a_rerun_measures_only_what_is_missing(evaluate, tmp_path, compressed):
  evaluate(codecs=["jpeg420"], qualities=[20, 60])
  table = tmp_path / "images.csv"
  whole = table.read_text()
  compressed.clear()
  evaluate(codecs=["jpeg420"], qualities=[20, 60])
  assert compressed == [] and table.read_text() == whole
  lines = whole.splitlines(keepends=True)
  # The third row is lost, the last one cut off in the digits of its last figure.
  table.write_text("".join([*lines[:3], lines[4][:-2]]))
  evaluate(codecs=["jpeg420"], qualities=[20, 60])
  by_image = {"a.png": _SIZES["a.png"], "b.png": _SIZES["b.png"]}
  assert compressed == [by_image["a.png"], *by_image.values()]  # The first image twice, to warm up.
  timeless = [line.split(",")[:-2] for line in table.read_text().splitlines()]
  assert timeless == [line.split(",")[:-2] for line in whole.splitlines()]


def test_a_table_is_usable_wherever_it_is_cut_off(evaluate, tmp_path):
  evaluate(codecs=["jpeg420"], qualities=[20])
  table = tmp_path / "images.csv"
  whole = table.read_bytes()
  rows = measurements.read_rows(table)
  for length in range(0, len(whole), 7):
    table.write_bytes(whole[:length])
    assert measurements.read_rows(table) == rows[: max(0, whole[:length].count(b"\n") - 1)]


def test_being_interrupted_keeps_what_was_measured(evaluate, tmp_path, monkeypatch):
  decompress = pillow_codecs.PillowCodec.decompress
  calls = []

  def interrupted(codec, data):
    calls.append(data)
    if len(calls) == 3:  # After the warm-up, and the first photograph.
      raise KeyboardInterrupt
    return decompress(codec, data)

  monkeypatch.setattr(pillow_codecs.PillowCodec, "decompress", interrupted)
  with pytest.raises(KeyboardInterrupt):
    evaluate(codecs=["jpeg420"], qualities=[20])
  assert [row["image"] for row in _rows(tmp_path)] == ["a.png"]
  assert json.loads((tmp_path / "averages.json").read_text())[0]["images"] == 1
  assert {path.name for path in tmp_path.iterdir()} == {"images.csv", "averages.json"}
  evaluate(codecs=["jpeg420"], qualities=[20])
  assert [row["image"] for row in _rows(tmp_path)] == ["a.png", "b.png"]


def test_two_evaluations_do_not_share_an_output(evaluate, tmp_path, monkeypatch):
  measure, refused = measuring._measure, []

  def measured(*args):
    with pytest.raises(ValueError, match="another evaluation writes to .*: wait for it, or give"):
      evaluate(codecs=["jpeg420"], qualities=[20])
    refused.append(args)
    return measure(*args)

  monkeypatch.setattr(measuring, "_measure", measured)
  evaluate(codecs=["jpeg420"], qualities=[20])
  assert refused and len(_rows(tmp_path)) == 2
  monkeypatch.setattr(measuring, "_measure", measure)
  evaluate(codecs=["jpeg420"], qualities=[20, 30])  # The first run's end has released it.


_TERMINATED = """
import os, signal
from bmshj_minnen import evaluate
from bmshj_minnen.evaluation import pillow_codecs
pillow_codecs.PillowCodec.compress = lambda *_: os.kill(os.getpid(), signal.SIGTERM)
evaluate.run()
"""


def test_sigterm_leaves_no_files(folder, tmp_path):
  flags = [f"--images={folder}/photos/*.png", f"--output={tmp_path}", "--codecs=jpeg420"]
  result = programs.run(_TERMINATED, *flags, "--qualities=20")
  assert result.returncode == 143 and result.stderr.endswith("\ninterrupted\n")
  assert {path.name for path in tmp_path.iterdir()} == {"images.csv", "averages.json"}


def test_other_weights_and_other_photographs_are_measured_anew(
  evaluate, folder, tmp_path, compressed
):
  shutil.copytree(folder / "small", tmp_path / "model")
  shutil.copytree(folder / "photos", tmp_path / "photos")
  fields = {"models": [str(tmp_path / "model")], "images": str(tmp_path / "photos" / "*.png")}
  evaluate(**fields, codecs=["jpeg420"], qualities=[20])
  before = {(row["codec"], row["image"]): row for row in _rows(tmp_path)}
  with np.load(tmp_path / "model" / "weights.npz") as arrays:
    arrays = dict(arrays)
  last = [name for name in arrays if name.startswith("g_s") and arrays[name].ndim == 1][-1]
  arrays[last] = arrays[last] + np.float32(0.1)
  np.savez(tmp_path / "model" / "weights.npz", **arrays)
  bmshj_minnen.write_image(str(tmp_path / "photos" / "b.png"), codecs.photograph(190, 200))
  compressed.clear()
  evaluate(**fields, codecs=["jpeg420"], qualities=[20])
  assert compressed == [(190, 200)] * 2
  after = {(row["codec"], row["image"]): row for row in _rows(tmp_path)}
  assert after["jpeg420", "a.png"] == before["jpeg420", "a.png"]
  assert after["model", "a.png"]["version"] != before["model", "a.png"]["version"]
  assert after["model", "a.png"]["psnr_db"] != before["model", "a.png"]["psnr_db"]
  assert after["model", "b.png"]["height"] == "190"
  assert len(after) == len(before) == 4


def test_a_table_collects_codecs(evaluate, folder, tmp_path):
  evaluate(codecs=["jpeg420"], qualities=[20])
  averages = evaluate(models=[str(folder / "sm*l")], label="ours")
  assert [(entry["codec"], entry["setting"]) for entry in averages] == [
    ("jpeg420", "20"),
    ("ours", "small"),
  ]


def test_averages_over_other_photographs_are_in_no_curve(evaluate, folder, tmp_path):
  evaluate(codecs=["jpeg420"], qualities=[20, 60])
  evaluate(codecs=["webp"], qualities=[20, 60], images=str(folder / "photos" / "a.png"))
  rows = measurements.read_rows(tmp_path / "images.csv")
  assert measurements.incomplete(rows) == [("webp", "20"), ("webp", "60")]
  assert set(curves.measured(rows, "psnr")) == {"jpeg420"}
  assert set(curves.measured_by_image(rows, "psnr")["a.png"]) == {"jpeg420", "webp"}
  assert "not measured on all 2 photographs: webp 20, webp 60." in rate_tables.summary(rows, {})


def test_refined_models_are_a_curve_of_their_own(evaluate, folder, tmp_path):
  model = str(folder / "small")
  evaluate(models=[model])
  averages = evaluate(models=[model], refine=8, lmbda=0.01)
  assert [(entry["codec"], entry["setting"]) for entry in averages] == [
    ("small", "small"),
    ("small+refine8", "small λ=0.01"),
  ]
  bytes_of = {(row["codec"], row["image"]): row["bytes"] for row in _rows(tmp_path)}
  assert bytes_of["small", "a.png"] != bytes_of["small+refine8", "a.png"]


def test_small_and_lossless_pictures_have_no_figure_that_json_lacks(tmp_path):
  bmshj_minnen.write_image(str(tmp_path / "grey.png"), np.full((16, 16, 3), 128, np.uint8))
  config = measuring.EvaluationConfig(
    str(tmp_path / "*.png"), str(tmp_path), codecs=["jpeg444"], qualities=[100]
  )
  measuring.evaluate(config)
  (entry,) = json.loads((tmp_path / "averages.json").read_text())
  assert entry["psnr_db"] is None and entry["ms_ssim"] is None
  (row,) = measurements.read_rows(tmp_path / "images.csv")
  assert row.psnr_db == math.inf and math.isnan(row.ms_ssim)


@pytest.mark.parametrize(
  ("fields", "match"),
  [
    ({"images": "nowhere/*.png", "codecs": ["webp"]}, "no file matches nowhere"),
    ({}, "nothing to evaluate: give --model or --codecs"),
    ({"models": ["nowhere"]}, "no model nowhere: give a directory"),
    ({"codecs": ["gif"]}, "unknown codec 'gif'"),
    ({"codecs": ["webp"], "qualities": [101]}, "quality of webp must be in 0..100"),
    ({"codecs": ["webp", "webp"], "qualities": [10]}, "webp 10 is given twice"),
  ],
)
def test_wrong_requests(fields, match, evaluate, tmp_path):
  with pytest.raises(ValueError, match=match):
    evaluate(**fields)
  assert list(tmp_path.iterdir()) == []


def test_transparency_is_read_as_asked_and_measured_anew_if_asked_otherwise(tmp_path, compressed):
  pixels = np.full((180, 200, 4), 90, np.uint8)
  pixels[:, 100:, 3] = 0
  PIL.Image.fromarray(pixels).save(tmp_path / "a.png")

  def measure(alpha):
    config = measuring.EvaluationConfig(
      str(tmp_path / "*.png"),
      str(tmp_path),
      codecs=["webp"],
      qualities=[100],
      alpha=alpha,
      keep_files=True,
    )
    measuring.evaluate(config)
    (file,) = (tmp_path / "files" / "webp" / "100").iterdir()
    (row,) = _rows(tmp_path)
    assert int(row["bytes"]) == file.stat().st_size
    return np.asarray(PIL.Image.open(file).convert("RGB"))[:, 110:].mean()

  with pytest.raises(ValueError, match=r"a\.png: has transparency.*--alpha=\{white,black,drop\}"):
    measure(None)
  for alpha, colour in {"white": 255, "black": 0, "drop": 90}.items():
    assert measure(alpha) == pytest.approx(colour, abs=2)
  count = len(compressed)
  measure("drop")
  assert len(compressed) == count


def test_other_files_are_not_written_over(evaluate, tmp_path):
  (tmp_path / "images.csv").write_text("name,size\nx,1\n")
  with pytest.raises(ValueError, match="not a table of evaluations"):
    evaluate(codecs=["webp"])
  assert (tmp_path / "images.csv").read_text() == "name,size\nx,1\n"
  for name in ("averages.json", "summary.md", "summary_ms_ssim.png", "files"):
    folder = tmp_path / name.replace(".", "_")
    folder.mkdir()
    (folder / name).write_text("mine")
    with pytest.raises(ValueError, match=f"has {name}, but no images.csv of an evaluation"):
      evaluate(codecs=["webp"], output=str(folder), keep_files=True)
    assert [path.name for path in folder.iterdir()] == [name]
  (tmp_path / "index.html").write_text("<!doctype html>mine")
  with pytest.raises(ValueError, match="index.html is there already, and no report"):
    report.refuse_other(tmp_path)


def test_the_command_line(folder, tmp_path):
  other = shutil.copytree(folder / "small", tmp_path / "other")
  result = programs.run(
    "evaluate",
    f"--model={folder}/small,{other}",
    f"--images={folder}/photos/*.png",
    f"--output={tmp_path}/results",
    "--codecs=jpeg420",
    "--qualities=20,60",
    f"--report={tmp_path}/report",
    eager=True,
  )
  has_plotly = importlib.util.find_spec("plotly") is not None
  assert result.returncode == (0 if has_plotly else 1), result.stderr
  assert "[8/8] jpeg420 60, b.png" in result.stderr  # Progress.
  assert len(result.stdout.splitlines()) == 4 + has_plotly and "2 images" in result.stdout
  rows = _rows(tmp_path / "results")
  assert len(rows) == 8 and {row["codec"] for row in rows} == {"small", "other", "jpeg420"}
  assert (tmp_path / "report" / "index.html").exists() == has_plotly
  text = (tmp_path / "results" / "summary.md").read_text("utf-8")
  assert text.count("| jpeg420 |") == 2
  for metric in curves.METRICS:
    plot = bmshj_minnen.read_image(str(tmp_path / "results" / f"summary_{metric}.png"))
    assert plot.std() > 10


def test_the_command_line_complains_in_one_line(folder, tmp_path):
  result = programs.run(
    "evaluate", f"--images={folder}/photos/*.png", f"--output={tmp_path}", "--codecs=gif"
  )
  assert result.returncode == 1 and result.stdout == ""
  assert result.stderr.startswith("error: unknown codec 'gif'")
  assert result.stderr.count("\n") == 1
