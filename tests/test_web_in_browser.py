"""The codec in a web page in headless Chromium, used with files, mouse and keys."""

import base64
import io
import os

import numpy as np
import PIL.Image
import pytest

from bmshj_minnen import portable
from experiments.web import server
from tests import chromium, codecs
from tests.web import node

pytest.importorskip("onnx", reason="needs the extra `onnx`")
from bmshj_minnen.web import site  # noqa: E402

if chromium.find() is None:
  pytest.skip("needs Chromium: apt-get install chromium", allow_module_level=True)
if not node.RUNTIME.is_dir():
  pytest.skip("needs onnxruntime-web, see `make test`", allow_module_level=True)

_SIZE = 75, 98


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A photograph, its file by Python, and a damaged one."""
  folder = tmp_path_factory.mktemp("web")
  site.export("default", folder / "site", node.RUNTIME)
  image = codecs.photograph(*_SIZE)
  PIL.Image.fromarray(image).save(folder / "photo.png")
  data = portable.load().compress(image, quality=70)
  (folder / "python.tfci").write_bytes(data)
  (folder / "damaged.tfci").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
  (folder / "text.txt").write_text("no picture")
  return folder


@pytest.fixture(scope="module")
def address(folder):
  with server.serving(str(folder / "site")) as address:
    yield address


@pytest.fixture(scope="module")
def browser(address, tmp_path_factory):
  browser = chromium.Page(tmp_path_factory.mktemp("profile"))
  browser.visit(address)
  _finish(browser)
  yield browser
  browser.close()


def _finish(browser):
  browser.wait("document.body.dataset.state === 'idle'")


def _open(browser, path):
  browser.choose("#file", path)
  browser.wait("document.body.dataset.state === 'busy' || error.textContent !== ''")
  _finish(browser)


def _bytes(browser, address):
  """The bytes at an address within the page, such as a blob's."""
  text = browser.evaluate(
    f"fetch({address}).then((r) => r.blob()).then((blob) => new Promise((done) => {{"
    "const reader = new FileReader(); reader.onload = () => done(reader.result);"
    "reader.readAsDataURL(blob); }))"
  )
  return base64.b64decode(text.partition(",")[2])


def _picture(browser):
  return np.asarray(PIL.Image.open(io.BytesIO(_bytes(browser, "save_png.href"))).convert("RGB"))


def _text(browser, name):
  return browser.evaluate(f"document.getElementById('{name}').textContent")


def _assert_within_a_level(found, expected):
  difference = np.abs(found.astype(int) - expected)
  assert difference.max() <= 1 and np.mean(difference) < 1e-3


def test_a_file_of_the_page_is_one_of_python(browser, folder):
  _open(browser, folder / "photo.png")
  assert _text(browser, "error") == ""
  data = _bytes(browser, "save_file.href")
  codec = portable.load()
  decoded = codec.decompress(data)
  assert decoded.shape == (*_SIZE, 3)
  _assert_within_a_level(_picture(browser), decoded)
  error = np.mean((decoded.astype(float) - codecs.photograph(*_SIZE)) ** 2)
  psnr = 10 * np.log10(255**2 / error)
  assert f"quality 50, {len(data):,} bytes, {psnr:.2f} dB" in _text(browser, "right_caption")
  rows = browser.evaluate("[...figures.rows].map((row) => row.cells[0].textContent)")
  assert rows == ["", "Model joint-mse", "JPEG", "WebP"]
  assert browser.evaluate("save_file.download + ' ' + save_png.download") == "photo.tfci photo.png"
  assert browser.errors == []


def test_a_size_is_met(browser, folder):
  browser.evaluate("document.querySelector('input[value=size]').click(); size.value = 1.1")
  browser.evaluate("document.getElementById('encode').click()")
  browser.wait("document.body.dataset.state === 'busy'")
  _finish(browser)
  data = _bytes(browser, "save_file.href")
  best = portable.load().compress(codecs.photograph(*_SIZE), bytes=1100)
  assert len(data) <= 1100 and abs(len(data) - len(best)) <= 12
  # A size that no quality reaches is one plain line, and the result stays.
  browser.evaluate("size.value = 0.1; document.getElementById('encode').click()")
  browser.wait("error.textContent !== ''")
  assert "too few" in _text(browser, "error") and _bytes(browser, "save_file.href") == data
  browser.evaluate("document.querySelector('input[value=quality]').click()")
  assert browser.errors == []


def test_views_show_pictures_and_bits(browser, folder):
  _open(browser, folder / "photo.png")
  source = "document.querySelector('#right_side .top').src"
  picture = browser.evaluate(source)
  browser.evaluate("document.querySelector('input[value=bits]').click()")
  bits = PIL.Image.open(io.BytesIO(_bytes(browser, source)))
  assert browser.evaluate(source) != picture and bits.size == _SIZE[::-1]
  colours = np.asarray(bits.convert("RGB"))
  assert len(np.unique(colours[::16, ::16].reshape(-1, 3), axis=0)) > 5
  np.testing.assert_array_equal(colours[0, 0], colours[15, 15])
  browser.evaluate("document.querySelector('input[value=difference]').click()")
  base = browser.evaluate("document.querySelector('#right_side .base').src")
  assert base == browser.evaluate("document.querySelector('#left_side .top').src")
  browser.evaluate("document.querySelector('input[value=picture]').click(); stage.focus()")
  before = browser.evaluate("Number(split.value)")
  browser.key("ArrowLeft")
  assert browser.evaluate("Number(split.value)") == before - 2
  assert browser.errors == []


def test_a_file_of_python_is_decoded(browser, folder):
  _open(browser, folder / "python.tfci")
  assert _text(browser, "error") == ""
  _assert_within_a_level(
    _picture(browser), portable.load().decompress((folder / "python.tfci").read_bytes())
  )
  assert "quality 70" in _text(browser, "right_caption")
  assert browser.evaluate("save_file.hidden && encode.disabled")
  assert browser.errors == []


@pytest.mark.parametrize(
  ("name", "words"),
  [("damaged.tfci", "checksum"), ("text.txt", "cannot open the file as a picture")],
)
def test_wrong_files_get_one_line(browser, folder, name, words):
  browser.choose("#file", folder / name)
  browser.wait("error.textContent !== ''")
  assert words in _text(browser, "error")
  _finish(browser)
  assert browser.errors == []


# Collects the kinds of the requests to the page's worker.
_RECORD_REQUESTS = """
window.sent = [];
const post = Worker.prototype.postMessage;
Worker.prototype.postMessage = function (...all) {
  sent.push(all[0].kind);
  return post.apply(this, all);
};
0
"""


def test_work_can_be_cancelled(browser, folder):
  _open(browser, folder / "photo.png")
  before = _text(browser, "figures")
  browser.evaluate(_RECORD_REQUESTS)
  browser.evaluate("quality.value = 99; document.getElementById('encode').click(); cancel.click()")
  browser.wait("document.getElementById('status').textContent === 'Cancelled.'")
  _finish(browser)
  assert _text(browser, "figures") == before and browser.evaluate("work.hidden")
  assert browser.evaluate("sent.includes('encode')") is False  # It had not begun.
  _open(browser, folder / "photo.png")  # And the next work is done.
  assert "quality 99" in _text(browser, "right_caption")
  assert browser.errors == []


def test_all_can_be_done_by_keys(browser):
  browser.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
  reached = set()
  for _ in range(20):
    browser.key("Tab")
    reached.add(browser.evaluate("document.activeElement.id || document.activeElement.name"))
  controls = {"file", "example", "by", "quality", "encode", "show", "zoom", "left", "right"}
  assert controls | {"stage", "split", "save_file", "save_png"} <= reached


def test_it_fits_a_phone(browser):
  browser.resize(390, 844)
  # The page fits its pictures in after the event of the new size.
  browser.wait("document.documentElement.scrollWidth === 390")
  assert browser.evaluate("stage.offsetWidth") <= 390
  browser.resize(1440, 900)


def test_the_second_visit_fetches_no_model(browser, address):
  assert int(browser.evaluate("document.body.dataset.fetched")) > 20e6
  browser.visit("about:blank")
  browser.visit(address)
  _finish(browser)
  assert browser.evaluate("document.body.dataset.fetched") == "0"
  threads = "threads" if len(os.sched_getaffinity(0)) > 1 else "1 thread;"
  assert threads in _text(browser, "machine")
  assert browser.errors == []


def test_it_runs_without_isolation_and_says_so(folder, tmp_path):
  with server.serving(str(folder / "site"), isolated=False) as address:
    browser = chromium.Page(tmp_path / "profile")
    try:
      browser.visit(address)
      _finish(browser)
      assert "one thread" in _text(browser, "machine")
      _open(browser, folder / "python.tfci")
      assert _text(browser, "error") == ""
      expected = portable.load().decompress((folder / "python.tfci").read_bytes())
      _assert_within_a_level(_picture(browser), expected)
      assert browser.errors == []
    finally:
      browser.close()
