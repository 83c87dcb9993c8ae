"""The page of `evaluate --report`: what it holds, and in a browser how it behaves."""

import html.parser
import json
import re

import numpy as np
import PIL.Image
import pytest

import bmshj_minnen
from bmshj_minnen import metrics
from bmshj_minnen.evaluation import (
  classical,
  contenders,
  curves,
  measurements,
  measuring,
  pictures,
  report,
)
from bmshj_minnen.model_files import model_directory
from tests import chromium, codecs

pytest.importorskip("plotly", reason="needs the extra `report`")
pytest.importorskip("bjontegaard", reason="needs the extra `report`")

_SIZES = {"a <b>.png": (180, 208), "b.png": (190, 177)}  # MS-SSIM needs 176.


@pytest.fixture(scope="module")
def written(tmp_path_factory):
  """The folder, with the model, photographs and results; the page is in `report`."""
  folder = tmp_path_factory.mktemp("report")
  (folder / "photos").mkdir()
  for name, size in _SIZES.items():
    bmshj_minnen.write_image(str(folder / "photos" / name), codecs.photograph(*size))
  codecs.make_codec("joint", folder)
  config = _config(folder)
  measuring.evaluate(config)
  _write(folder, config)
  return folder


def _config(folder):
  return contenders.EvaluationConfig(
    images=str(folder / "photos" / "*.png"),
    output=str(folder / "results"),
    models=[str(folder / "joint")],
    codecs=["jpeg420", "webp"],
    qualities=[10, 30, 60, 80, 90],
  )


def _write(folder, config):
  return report.write(
    measurements.read_rows(folder / "results" / measuring.TABLE),
    contenders.find_contenders(config),
    contenders.find_photographs(config.images, None),
    folder / "report",
  )


@pytest.fixture(scope="module")
def page(written):
  return (written / "report" / "index.html").read_text("utf-8")


@pytest.fixture(scope="module")
def data(page):
  text = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
  return json.loads(text[1])


def _figures(data, row):
  return dict(zip(data["figures"], row))


class _Structure(html.parser.HTMLParser):
  """Identifiers, what labels and scripts there are, addresses, and whether tags are closed."""

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
  assert structure.addresses == ["data:,"]  # The icon; a browser would ask for one otherwise.
  assert structure.named_by == {True}  # Readers of screens have a name for each control.
  assert "{{" not in page.replace(re.search(r"<script>.*?</script>", page, re.DOTALL)[0], "")


def test_the_page_holds_every_measurement(written, data):
  rows = measurements.read_rows(written / "results" / "images.csv")
  assert [image["name"] for image in data["images"]] == list(_SIZES)
  for image in data["images"]:
    held = [_figures(data, row) for row in image["rows"]]
    own = [vars(row) for row in rows if row.image == image["name"]]
    assert held == [{name: row[name] for name in data["figures"]} for row in own]
  averages = [_figures(data, row) for row in data["averages"]]
  for entry, expected in zip(averages, measurements.averages(rows)):
    assert entry == {name: expected[name] for name in data["figures"]}


def test_pictures_are_those_that_codecs_decode(written, data):
  codec = bmshj_minnen.load(written / "joint")
  x = codecs.photograph(*_SIZES["b.png"])
  image = data["images"][1]
  assert (image["height"], image["width"]) == _SIZES["b.png"]
  np.testing.assert_array_equal(_picture(written, image["original"]), x)
  (level,) = image["levels"]  # The model is first, and has one setting.
  x_hat = codec.decompress(codec.compress(x))
  # The untrained model makes noise, which costs the picture more than photographs do.
  assert metrics.psnr(x_hat, _picture(written, level["joint"]["picture"])) > 35
  setting = _figures(data, image["rows"][level["jpeg420"]["row"]])["setting"]
  jpeg = classical.PillowCodec("jpeg420", int(setting))
  x_hat = jpeg.decompress(jpeg.compress(x))
  assert metrics.psnr(x_hat, _picture(written, level["jpeg420"]["picture"])) > 40
  sizes = {row["setting"]: row["bytes"] for row in _of(data, image, "jpeg420")}
  (ours,) = _of(data, image, "joint")
  nearest = min(sizes, key=lambda setting: abs(np.log(sizes[setting] / ours["bytes"])))
  assert setting == nearest
  assert level["jpeg420"]["bits"] == "" != level["joint"]["bits"]


def _picture(written, address):
  return np.asarray(PIL.Image.open(written / "report" / address).convert("RGB"))


def _of(data, image, codec):
  return [row for row in (_figures(data, r) for r in image["rows"]) if row["codec"] == codec]


def test_bits_of_positions_add_up_to_the_rate(tiny_model, written):
  model = model_directory.load_model(str(written / "joint"))
  codec = bmshj_minnen.load(written / "joint")
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


def test_colours_of_bits_grow_lighter(written, data):
  """Position by position, the picture is lighter the more bits there are."""
  model = model_directory.load_model(str(written / "joint"))
  codec = bmshj_minnen.load(written / "joint")
  image = data["images"][0]
  x = codecs.photograph(*_SIZES[image["name"]])
  bits = pictures.position_bits(model, codec.compress_with_latents(x)[1])
  picture = PIL.Image.open(written / "report" / image["levels"][0]["joint"]["bits"]).convert("RGB")
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
  assert _write(written, _config(written)).read_text("utf-8") == before


def test_rates_are_in_the_page(written, page):
  rows = measurements.read_rows(written / "results" / "images.csv")
  for metric in curves.METRICS:
    named = curves.measured(rows, metric)
    rate = curves.bd_rate(named["jpeg420"], named["webp"])
    assert f"<td>{rate:+.1f} %<small>" in page


def test_without_plotly_the_remedy_is_named(written, monkeypatch):
  monkeypatch.setitem(__import__("sys").modules, "plotly", None)
  with pytest.raises(ValueError, match=r"pip install 'bmshj_minnen\[report\]'"):
    _write(written, _config(written))


@pytest.fixture(scope="module")
def browser(written, tmp_path_factory):
  """The page, opened in Chromium."""
  if chromium.find() is None:
    pytest.skip("needs Chromium: apt-get install chromium")
  browser = chromium.Page(tmp_path_factory.mktemp("profile"))
  browser.open(written / "report" / "index.html")
  yield browser
  browser.close()


def _split(browser):
  """Where the border is, per cent, by the slider and by what is shown."""
  slider, left, stage = browser.evaluate(
    "[Number(split.value), divider.getBoundingClientRect().left + divider.offsetWidth / 2 - "
    "stage.getBoundingClientRect().left, stage.offsetWidth]"
  )
  assert 100 * left / stage == pytest.approx(slider, abs=1)
  return slider


def test_the_border_follows_the_mouse_and_the_keys(browser):
  left, top, width, height = browser.box("#divider")
  x, y = left + width / 2, top + height / 2
  stage = browser.box("#stage")
  assert _split(browser) == 50
  browser.mouse("mouseMoved", x, y)
  browser.mouse("mousePressed", x, y, pressed=True)
  browser.mouse("mouseMoved", stage[0] + 0.8 * stage[2], y, pressed=True)
  browser.mouse("mouseReleased", stage[0] + 0.8 * stage[2], y, pressed=True)
  assert _split(browser) == pytest.approx(80, abs=1)
  clip = browser.evaluate("getComputedStyle(left_side).clipPath")
  assert float(re.search(r"([\d.]+)%", clip)[1]) == pytest.approx(20, abs=1)
  before = _split(browser)
  browser.evaluate("document.getElementById('split').focus()")
  browser.key("ArrowLeft")
  assert _split(browser) == before - 1
  browser.evaluate("stage.focus()")
  browser.key("ArrowLeft")
  assert _split(browser) == before - 3
  assert browser.errors == []


def test_zoom_and_pan_by_keys_alone(browser):
  browser.evaluate("stage.focus()")
  transform = "getComputedStyle(document.querySelector('#left_side .top')).transform"
  browser.key("0")
  fitted = browser.evaluate(transform)
  for _ in range(3):
    browser.key("+")
  zoomed = browser.evaluate(transform)
  assert browser.evaluate("document.querySelector('input[name=zoom]:checked').value") == "4"
  browser.key("ArrowRight")
  moved = browser.evaluate(transform)
  assert len({fitted, zoomed, moved}) == 3
  browser.key("0")
  assert browser.evaluate(transform) == fitted
  assert browser.errors == []


def test_all_can_be_done_by_keys(browser):
  """Tab leads to every control, and arrows choose."""
  browser.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
  reached = set()
  for _ in range(40):
    browser.key("Tab")
    reached.add(browser.evaluate("document.activeElement.id || document.activeElement.name"))
  controls = {"metric", "previous", "image", "next", "level", "show", "zoom", "left", "right"}
  assert controls | {"stage", "split"} <= reached
  browser.evaluate("document.querySelector('input[name=show]:checked').focus()")
  browser.key("ArrowRight")
  assert browser.evaluate("left_side.classList.contains('difference')")
  browser.key("ArrowLeft")
  assert not browser.evaluate("left_side.classList.contains('difference')")
  assert browser.errors == []


@pytest.mark.parametrize("plot", ["averages_plot", "image_plot"])
def test_hovering_names_the_point(browser, data, plot):
  browser.box(f"#{plot}")
  # The last marker of JPEG, where Plotly drew it.
  index = list(data["codecs"]).index("jpeg420")
  x, y = browser.evaluate(
    f"(() => {{ const points = document.querySelectorAll('#{plot} .trace')[{index}]"
    ".querySelectorAll('.point'); const box = points[0].getBoundingClientRect();"
    "return [box.left + box.width / 2, box.top + box.height / 2]; })()"
  )
  browser.mouse("mouseMoved", x - 1, y - 1)
  browser.mouse("mouseMoved", x, y)
  browser.wait(f"document.querySelector('#{plot} .hovertext') !== null")
  text = browser.evaluate(f"document.querySelector('#{plot} .hovertext').textContent")
  rows = data["averages"] if plot == "averages_plot" else data["images"][0]["rows"]
  (row,) = [
    row
    for row in (_figures(data, row) for row in rows)
    if (row["codec"], row["setting"]) == ("jpeg420", "10")
  ]
  parts = ["JPEG 4:2:0", "quality 10", f"{row['bytes']:,.0f} bytes"]
  parts += [f"PSNR {row['psnr_db']:.2f} dB"]
  for part in parts:
    assert part in text
  assert "MS-SSIM" in text
  assert browser.errors == []


def test_every_choice_changes_what_is_shown(browser, data):
  top = "document.querySelector('#right_side .top').getAttribute('src')"
  level = data["images"][0]["levels"][0]
  assert browser.evaluate(top) == level["joint"]["picture"]
  browser.evaluate("document.querySelector('input[value=bits]').click()")
  assert browser.evaluate(top) == level["joint"]["bits"]
  browser.evaluate("document.querySelector('input[value=difference]').click()")
  base = "document.querySelector('#right_side .base').getAttribute('src')"
  assert browser.evaluate(base) == data["images"][0]["original"]
  browser.evaluate("document.querySelector('input[value=picture]').click()")
  browser.evaluate("document.getElementById('next').click()")
  assert browser.evaluate(top) == data["images"][1]["levels"][0]["joint"]["picture"]
  assert browser.evaluate("image_table.rows.length") == len(data["images"][1]["rows"]) + 1
  assert "encode" in browser.evaluate("right_caption.textContent")
  browser.evaluate("document.querySelector('input[value=ms_ssim_db]').click()")
  assert "MS-SSIM" in browser.evaluate("averages_plot.layout.yaxis.title.text")
  browser.evaluate("document.querySelector('input[value=psnr_db]').click(); previous.click()")
  assert browser.errors == []


def test_differences_are_the_distance_from_the_original(browser, written, data, tmp_path):
  """The pixel in the middle, eight times as light as the two pictures differ there."""
  image = data["images"][0]
  browser.evaluate("document.querySelector('input[value=difference]').click()")
  browser.evaluate("document.querySelector('input[name=zoom][value=\"4\"]').click()")
  browser.evaluate("split.value = 0; split.dispatchEvent(new Event('input'))")
  browser.wait("[...document.images].every((image) => !image.src || image.complete)")
  left, top, width, height = (round(value) for value in browser.box("#stage"))
  shot = tmp_path / "shot.png"
  browser.screenshot(shot, whole=False)
  seen = np.asarray(PIL.Image.open(shot).convert("RGB")).astype(int)
  files = [image["original"], image["levels"][0]["joint"]["picture"]]
  x, x_hat = (_picture(written, file).astype(int) for file in files)
  expected = np.minimum(8 * abs(x - x_hat), 255)
  # Away from the handle of the border and from the edges of enlarged pixels.
  row, column = _SIZES["a <b>.png"][0] // 2 - 8, _SIZES["a <b>.png"][1] // 2 + 8
  shown = seen[top + height // 2 - 4 * 8 + 2, left + width // 2 + 4 * 8 + 2]
  np.testing.assert_allclose(shown, expected[row, column], atol=24)
  browser.evaluate("document.querySelector('input[value=picture]').click(); stage.focus()")
  browser.key("0")
  assert browser.errors == []


def test_it_fits_a_phone(browser, written):
  browser.resize(390, 844)
  browser.open(written / "report" / "index.html")
  assert browser.evaluate("document.documentElement.scrollWidth") == 390
  assert browser.evaluate("stage.offsetWidth") <= 390
  browser.resize(1440, 900)
  browser.open(written / "report" / "index.html")
  assert browser.errors == []


def test_the_browser_tells_of_errors(browser, tmp_path):
  """The tests above rely on it."""
  page = tmp_path / "wrong.html"
  page.write_text("<script>console.error('one'); fetch('http://127.0.0.1:9/')</script>no")
  browser.open(page)
  browser.wait("true")
  assert any("one" in error for error in browser.errors)
  assert any("127.0.0.1" in error for error in browser.errors)
  browser.errors.clear()
