"""Smaller pictures and parts: boxes of pixels of the whole picture, everywhere by one rule."""

import os

import numpy as np
import PIL.Image
import pytest

import bmshj_minnen
import bmshj_minnen.pillow as plugin
from bmshj_minnen import portable
from bmshj_minnen.coding import tiling
from tests import codecs, programs

_SIZE = (150, 229)  # No multiple of a box.


@pytest.fixture(scope="module")
def coded():
  """A codec, a file and its whole picture."""
  codec = portable.load("joint-mse")
  data = codec.compress(codecs.photograph(*_SIZE))
  return codec, data, codec.decompress(data)


@pytest.fixture
def opened(coded, tmp_path):
  """The picture as Pillow opens it."""
  (tmp_path / "a.tfci").write_bytes(coded[1])
  with PIL.Image.open(tmp_path / "a.tfci") as image:
    yield image


def _means(image, box):
  """Means of boxes, smaller at the right and lower border."""
  rows, columns = (range(0, side, box) for side in image.shape[:2])
  return np.array(
    [[image[i : i + box, j : j + box].mean((0, 1)) for j in columns] for i in rows], np.float64
  )


def _are_means(picture, image, box, changed=1e-3):
  """Whether each pixel is a rounded mean; in tiles a pixel of the image may differ by a level."""
  expected = _means(image, box)
  assert picture.shape == expected.shape and picture.dtype == np.uint8
  error = np.abs(picture - expected)
  return error.max() <= 1 and (error > 0.5 + 1e-9).mean() <= changed


@pytest.mark.parametrize("box", [2, 4, 8])
def test_pixels_are_means_of_boxes(box, coded):
  codec, data, whole = coded
  assert _are_means(codec.decompress(data, scale=1 / box), whole, box, 0.02)
  part = whole[31:, 17:100]
  region = (17, 31, part.shape[1], part.shape[0])
  assert _are_means(codec.decompress(data, region=region, scale=1 / box), part, box, 0.02)


@pytest.mark.parametrize("size", [(300, 411), (320, 512)])
def test_tiles_are_reduced_at_once(size, monkeypatch):
  field = tiling.TileGeometry(1, 16, 2, 3, 100)
  random = np.random.default_rng(0)
  units = random.integers(0, 256, [20, 32, 3], np.uint8)
  noise = random.integers(0, 256, [320, 512, 3], np.uint8)
  place = np.stack(np.mgrid[:20, :32], -1)

  def network(part):  # Finds its place in the noise.
    row, column = part[0, 0]
    rows, columns = (16 * n for n in part.shape[:2])
    return noise[16 * row :, 16 * column :][:rows, :columns] ^ np.repeat(
      np.repeat(units[row:, column:][: len(part), : part.shape[1]], 16, 0), 16, 1
    )

  whole = network(place)[: size[0], : size[1]]
  kept, keep = [], tiling._keep
  monkeypatch.setattr(tiling, "_keep", lambda x, *args: (kept.append(x.shape), keep(x, *args)))
  for box in (2, 8):
    kept.clear()
    picture = tiling.run(field, network, place, size, 256, box=box)
    assert _are_means(picture, whole, box, 0)
    # In tiles, into an array of the size of the smaller picture.
    assert len(kept) > 2 and set(kept) == {picture.shape}


@pytest.mark.parametrize("scale", [0, 1 / 3, 2, 1 / 16, "1/2", None])
def test_other_scales_are_refused(scale, coded):
  with pytest.raises(ValueError, match="scales are 1, 1/2, 1/4 and 1/8"):
    coded[0].decompress(coded[1], scale=scale)


def test_the_program_and_the_portable_codec(coded, tmp_path):
  _, data, whole = coded
  (tmp_path / "in").mkdir()
  (tmp_path / "in" / "a.tfci").write_bytes(data)
  flags = ("--runtime=onnx", f"--output_dir={tmp_path / 'out'}", "--update")
  for scale in ("1/4", "1/2"):
    result = programs.run("decompress", *flags, f"--scale={scale}", tmp_path / "in")
    assert result.returncode == 0 and "decompressed 1 of 1" in result.stdout, result.stderr
  result = programs.run("decompress", *flags, "--scale=1/2", tmp_path / "in")
  assert "1 more were there already" in result.stdout
  assert _are_means(bmshj_minnen.read_image(str(tmp_path / "out" / "a.png")), whole, 2, 0.02)
  result = programs.run("decompress", *flags, "--scale=1/3", tmp_path / "in")
  assert result.returncode != 0 and "scale" in result.stderr + result.stdout


def test_pillow_drafts_and_thumbnails(coded, opened):
  _, _, whole = coded
  assert opened.draft("RGB", (50, 30)) == ("RGB", (0, 0, 229 / 4, 150 / 4))
  assert opened.size == (58, 38) and opened.draft("RGB", (20, 20)) is None
  assert _are_means(np.asarray(opened), whole, 4, 0.02)


def test_a_thumbnail_is_near_that_of_the_whole_picture(coded, opened, monkeypatch):
  _, _, whole = coded
  expected = PIL.Image.fromarray(whole)
  expected.thumbnail((37, 37))
  boxes = []
  reduced = tiling.reduced
  monkeypatch.setattr(tiling, "reduced", lambda x, box: (boxes.append(box), reduced(x, box))[1])
  opened.thumbnail((37, 37))
  assert opened.size == expected.size and max(boxes) == 2  # Twice the size, as for JPEG.
  assert np.abs(np.asarray(opened).astype(int) - np.asarray(expected)).mean() < 1


def test_a_large_draft_is_the_whole_picture(coded, opened):
  assert opened.draft(None, (200, 120)) is None and opened.size == _SIZE[::-1]
  assert np.abs(np.asarray(opened).astype(int) - coded[2]).max() <= 1


def test_pillow_crops_without_the_rest(coded, opened, monkeypatch):
  _, _, whole = coded
  box = (37.2, 61, 127, 110.6)
  expected = np.asarray(PIL.Image.fromarray(whole).crop(box)).astype(int)
  part = opened.crop(box)
  assert opened._data is not None, "the whole picture was decoded"
  assert part.info == opened.info and part.mode == "RGB"
  assert np.abs(np.asarray(part) - expected).max() <= 1
  # Boxes that reach beyond the picture, and those of a decoded one.
  for corners in ((-5, 3, 40, 30), (3, 3, 3, 9), (0, 0, 229, 150)):
    expected = np.asarray(PIL.Image.fromarray(whole).crop(corners)).astype(int)
    assert np.abs(np.asarray(opened.crop(corners)).astype(int) - expected).max(initial=0) <= 1
  assert opened.crop().size == _SIZE[::-1]


def test_damage_is_an_oserror_in_a_crop_too(coded, tmp_path, monkeypatch):
  codec, data, _ = coded
  path = tmp_path / "a.tfci"
  path.write_bytes(data)

  class Broken:
    def decompress(self, data, **options):
      return codec.decompress(data[:-1], **options)

  with PIL.Image.open(os.fspath(path)) as image:
    monkeypatch.setitem(plugin._CODECS, codec.fingerprint, Broken())
    with pytest.raises(OSError, match="truncated"):
      image.crop((0, 0, 5, 5))
