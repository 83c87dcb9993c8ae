"""The page of `evaluate --report`: its contents, read as text and pictures."""

import dataclasses
import functools
import html.parser
import re

import numpy as np
import PIL.Image
import pytest

import bmshj_minnen
from bmshj_minnen import metrics
from bmshj_minnen.evaluation import (
  classical,
  curves,
  measurements,
  measuring,
  pictures,
  subjects,
)
from bmshj_minnen.model_files import model_directory
from tests import codecs, reports

pytest.importorskip("plotly", reason="needs the extra `report`")
pytest.importorskip("bjontegaard", reason="needs the extra `report`")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
  """The folder of `reports.make`."""
  folder = tmp_path_factory.mktemp("report")
  reports.make(folder)
  return folder


@pytest.fixture(scope="module")
def page(written):
  return (written / "report" / "index.html").read_text("utf-8")


@pytest.fixture(scope="module")
def data(written):
  return reports.data(written)


@pytest.fixture(scope="module")
def codec(written):
  return bmshj_minnen.load(written / "ours")


@pytest.fixture(scope="module")
def model(written):
  return model_directory.load_model(str(written / "ours"))


class _Structure(html.parser.HTMLParser):
  """Identifiers, labels, scripts and addresses, and whether tags are closed."""

  _VOID = {"meta", "link", "input", "img", "br"}

  def __init__(self, text):
    super().__init__()
    self.ids, self.addresses, self.open = [], [], []
    self.named_by = set()
    self.feed(text)

  def handle_starttag(self, tag, attributes):
    attributes = dict(attributes)
    self.ids += [attributes["id"]] if "id" in attributes else []
    self.addresses += [attributes[key] for key in ("src", "href") if key in attributes]
    if tag in ("input", "select", "button"):
      self.named_by.add("label" in self.open or "aria-label" in attributes)
    if tag not in self._VOID:
      self.open.append(tag)

  def handle_endtag(self, tag):
    assert self.open.pop() == tag


def test_the_page_stands_alone(page):
  structure = _Structure(page)
  assert structure.open == []
  assert len(structure.ids) == len(set(structure.ids))
  assert structure.addresses == ["data:,"]  # The icon; otherwise a browser would request one.
  assert structure.named_by == {True}  # Screen readers have a name for each control.
  assert "{{" not in page.replace(re.search(r"<script>.*?</script>", page, re.DOTALL)[0], "")


def test_the_page_holds_every_measurement(written, data):
  rows = measurements.read_rows(written / "results" / "images.csv")
  assert [image["name"] for image in data["images"]] == list(reports.SIZES)
  for image in data["images"]:
    held = [reports.figures(data, row) for row in image["rows"]]
    own = [vars(row) for row in rows if row.image == image["name"]]
    assert held == [{name: row[name] for name in data["figures"]} for row in own]
  for held in data["averages"].values():
    for row, expected in zip(held, measurements.averages(rows)):
      assert reports.figures(data, row) == {name: expected[name] for name in data["figures"]}


def test_pictures_are_those_that_codecs_decode(written, data, codec):
  x = codecs.photograph(*reports.SIZES["b.png"])
  image = data["images"][1]
  assert (image["height"], image["width"]) == reports.SIZES["b.png"]
  np.testing.assert_array_equal(_picture(written, image["original"]), x)
  (level,) = image["levels"]  # The model is first, and has one setting.
  x_hat = codec.decompress(codec.compress(x))
  # The untrained model's noise loses more in the page's pictures than photographs do.
  assert metrics.psnr(x_hat, _picture(written, level["ours"]["picture"])) > 35
  setting = reports.figures(data, image["rows"][level["jpeg420"]["row"]])["setting"]
  jpeg = classical.make("jpeg420", int(setting))
  x_hat = jpeg.decompress(jpeg.compress(x))
  assert metrics.psnr(x_hat, _picture(written, level["jpeg420"]["picture"])) > 40
  sizes = {row["setting"]: row["bytes"] for row in _of(data, image, "jpeg420")}
  (ours,) = _of(data, image, "ours")
  nearest = min(sizes, key=lambda setting: abs(np.log(sizes[setting] / ours["bytes"])))
  assert setting == nearest
  assert level["jpeg420"]["bits"] == "" != level["ours"]["bits"]


def test_files_that_are_kept_are_not_made_again(tmp_path):
  PIL.Image.fromarray(codecs.photograph(170, 180)).save(tmp_path / "a.png")
  config = measuring.EvaluationConfig(
    str(tmp_path / "a.png"),
    str(tmp_path / "out"),
    codecs=["jpeg420"],
    qualities=[30],
    keep_files=True,
  )
  measuring.evaluate(config)
  rows = measurements.read_rows(tmp_path / "out" / "images.csv")
  (contender,) = subjects.find_contenders(config)
  photographs = subjects.find_photographs(config.images, None)
  kept = functools.partial(measuring.kept_file, tmp_path / "out", rows)
  (file,) = (tmp_path / "out" / "files").rglob("*.jpg")
  assert kept(contender, photographs[0]) == file.read_bytes()

  def make():
    codec = contender.make()
    codec.compress = None
    return codec

  decoder_alone = dataclasses.replace(contender, make=make)
  folder = tmp_path / "pictures"
  ((name, _),) = pictures.Pictures(folder, kept).decoded(decoder_alone, photographs)
  x_hat = contender.make().decompress(file.read_bytes())
  assert metrics.psnr(x_hat, np.asarray(PIL.Image.open(folder / name).convert("RGB"))) > 40
  # A file of other measurements, or none.
  file.write_bytes(file.read_bytes() + b"0")
  assert kept(contender, photographs[0]) is None
  file.unlink()
  assert kept(contender, photographs[0]) is None


def _picture(written, address):
  return np.asarray(PIL.Image.open(written / "report" / address).convert("RGB"))


def _of(data, image, codec):
  return [row for row in (reports.figures(data, r) for r in image["rows"]) if row["codec"] == codec]


def test_bits_of_positions_add_up_to_the_rate(tiny_model, codec, model):
  _, latents = codec.compress_with_latents(codecs.photograph(90, 120))
  bits = pictures.position_bits(model, latents)
  assert bits.shape == (6, 8) and bits.min() >= 0
  rate = model.rate(latents.y_hat[None], latents.z_hat[None])
  assert bits.sum() == pytest.approx(float(rate.y_bits[0]), rel=1e-5)
  # Without a hyperprior, too.
  y_hat = np.round(np.random.default_rng(1).normal(0, 2, [3, 4, 6])).astype(np.float32)
  factorized = tiny_model("factorized")
  bits = pictures.position_bits(factorized, bmshj_minnen.Latents(y_hat, np.zeros([1, 1, 0])))
  assert bits.sum() == pytest.approx(float(factorized.rate(y_hat[None], None).y_bits[0]), rel=1e-5)


def test_colours_of_bits_grow_lighter(written, data, codec, model):
  """The picture is lighter at positions with more bits."""
  image = data["images"][0]
  x = codecs.photograph(*reports.SIZES[image["name"]])
  bits = pictures.position_bits(model, codec.compress_with_latents(x)[1])
  picture = PIL.Image.open(written / "report" / image["levels"][0]["ours"]["bits"]).convert("RGB")
  assert picture.size == x.shape[1::-1]
  light = np.asarray(picture).astype(float) @ [0.2126, 0.7152, 0.0722]
  assert (light[:16, :16] == light[0, 0]).all()
  order = np.argsort(bits, None)
  assert (np.diff(light[::16, ::16].ravel()[order]) >= -1).all()  # But for rounding.
  assert np.ptp(light) > 5


def test_sizes_span_those_of_the_first_codec():
  def row(codec, size):
    names = (codec, str(size), "v", "a.png", "0")
    return measurements.Row(*names, 8, 8, size, size / 8, 30.0, 0.9, 10.0, 0.1, 0.1)

  rows = [row("ours", size) for size in range(1000, 13000, 1000)]
  rows += [row("jpeg420", size) for size in (900, 2000, 8100, 30000)]
  levels = pictures.levels(rows, ["ours", "jpeg420", "none"])
  sizes = [(level["ours"].bytes, level["jpeg420"].bytes) for level in levels]
  assert [ours for ours, _ in sizes] == [1000, 5000, 8000, 12000]
  assert [theirs for _, theirs in sizes] == [900, 8100, 8100, 8100]
  assert pictures.levels([], ["ours"]) == []


def test_pictures_that_are_there_are_not_made_again(written, monkeypatch):
  def refuse(*_):
    raise AssertionError("compressed again")

  monkeypatch.setattr(bmshj_minnen.Codec, "compress", refuse)
  before = (written / "report" / "index.html").read_text("utf-8")
  assert reports.write(written).read_text("utf-8") == before


def test_rates_are_in_the_page(written, page):
  rows = measurements.read_rows(written / "results" / "images.csv")
  for metric in curves.METRICS:
    named = curves.measured(rows, metric)
    rate = curves.bd_rate(named["jpeg420"], named["webp"])
    assert f"<td>{rate:+.1f} %<small>" in page


def test_without_plotly_the_remedy_is_named(written, monkeypatch):
  monkeypatch.setitem(__import__("sys").modules, "plotly", None)
  with pytest.raises(ValueError, match=r"pip install 'bmshj_minnen\[report\]'"):
    reports.write(written)
