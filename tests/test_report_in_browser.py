"""The page of `evaluate --report` in headless Chromium, used with mouse and keys."""

import re

import numpy as np
import PIL.Image
import pytest

from tests import chromium, reports

pytest.importorskip("plotly", reason="needs the extra `report`")
pytest.importorskip("bjontegaard", reason="needs the extra `report`")
if chromium.find() is None:
  pytest.skip("needs Chromium: apt-get install chromium", allow_module_level=True)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
  """The folder of `reports.make`."""
  folder = tmp_path_factory.mktemp("report")
  reports.make(folder)
  return folder


@pytest.fixture(scope="module")
def data(written):
  return reports.data(written)


@pytest.fixture(scope="module")
def browser(written, tmp_path_factory):
  """The page, opened in Chromium."""
  browser = chromium.Page(tmp_path_factory.mktemp("profile"))
  browser.open(written / "report" / "index.html")
  yield browser
  browser.close()


def _split(browser):
  """Position of the border, per cent, by the slider and on the screen."""
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
  # The last marker of JPEG, at the position where Plotly drew it.
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
  rows = data["averages"]["psnr_db"] if plot == "averages_plot" else data["images"][0]["rows"]
  (row,) = [
    row
    for row in (reports.figures(data, row) for row in rows)
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
  assert browser.evaluate(top) == level["ours"]["picture"]
  browser.evaluate("document.querySelector('input[value=bits]').click()")
  assert browser.evaluate(top) == level["ours"]["bits"]
  browser.evaluate("document.querySelector('input[value=difference]').click()")
  base = "document.querySelector('#right_side .base').getAttribute('src')"
  assert browser.evaluate(base) == data["images"][0]["original"]
  browser.evaluate("document.querySelector('input[value=picture]').click()")
  browser.evaluate("document.getElementById('next').click()")
  assert browser.evaluate(top) == data["images"][1]["levels"][0]["ours"]["picture"]
  assert browser.evaluate("image_table.rows.length") == len(data["images"][1]["rows"]) + 1
  assert "encode" in browser.evaluate("right_caption.textContent")
  browser.evaluate("document.querySelector('input[value=ms_ssim_db]').click()")
  assert "MS-SSIM" in browser.evaluate("averages_plot.layout.yaxis.title.text")
  browser.evaluate("document.querySelector('input[value=psnr_db]').click(); previous.click()")
  assert browser.errors == []


def test_differences_are_the_distance_from_the_original(browser, written, data, tmp_path):
  """The pixel in the middle is eight times as light as the difference of the pictures."""
  image = data["images"][0]
  browser.evaluate("document.querySelector('input[value=difference]').click()")
  browser.evaluate("document.querySelector('input[name=zoom][value=\"4\"]').click()")
  browser.evaluate("split.value = 0; split.dispatchEvent(new Event('input'))")
  browser.wait("[...document.images].every((image) => !image.src || image.complete)")
  left, top, width, height = (round(value) for value in browser.box("#stage"))
  shot = tmp_path / "shot.png"
  browser.screenshot(shot, whole=False)
  seen = np.asarray(PIL.Image.open(shot).convert("RGB")).astype(int)
  files = [image["original"], image["levels"][0]["ours"]["picture"]]
  x, x_hat = (
    np.asarray(PIL.Image.open(written / "report" / file).convert("RGB")).astype(int)
    for file in files
  )
  expected = np.minimum(8 * abs(x - x_hat), 255)
  # Away from the handle of the border and from the edges of enlarged pixels.
  row, column = reports.SIZES["a <b>.png"][0] // 2 - 8, reports.SIZES["a <b>.png"][1] // 2 + 8
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
  # Names of codecs stay readable beside figures that scroll.
  names = "[...document.querySelectorAll('.rates tbody th')].map((cell) => cell.offsetWidth)"
  widths = [width for width in browser.evaluate(names) if width]  # In the visible table.
  assert widths and all(80 <= width <= 200 for width in widths)
  browser.resize(1440, 900)
  browser.open(written / "report" / "index.html")
  assert browser.errors == []


def test_the_browser_tells_of_errors(browser, tmp_path):
  """The tests above rely on this."""
  page = tmp_path / "wrong.html"
  page.write_text("<script>console.error('one'); fetch('http://127.0.0.1:9/')</script>no")
  browser.open(page)
  browser.wait("true")
  assert any("one" in error for error in browser.errors)
  assert any("127.0.0.1" in error for error in browser.errors)
  browser.errors.clear()
