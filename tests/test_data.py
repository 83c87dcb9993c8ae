"""Photographs for training: their selection, and the crops and their order."""

import itertools
import pathlib
import struct

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from bmshj_minnen.data import crops, finding

_CROP = 32


def _noise(height, width, seed=0):
  return np.random.default_rng(seed).integers(0, 256, [height, width, 3], dtype=np.uint8)


def _save(path, image, mode="RGB"):
  PIL.Image.fromarray(image).convert(mode).save(path)
  return str(path)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
  """Five photographs of different sizes; blue is the index, red and green are coordinates."""
  folder = tmp_path_factory.mktemp("photographs")
  paths = []
  for i in range(5):
    rows, columns = np.indices([40 + 3 * i, 50 - 2 * i])
    image = np.stack([rows, columns, np.full_like(rows, i)], -1).astype(np.uint8)
    paths.append(_save(folder / f"{i}.png", image))
  return tuple(paths)


def _crops(paths, batch=2, seed=0, first_step=0, last_step=8):
  settings = crops.CropSettings(_CROP, batch, seed, first_step, last_step)
  return list(crops.photograph_crops(paths, settings).as_numpy_iterator())


# find_photographs.


def test_unusable_files_are_skipped_and_counted(tmp_path):
  (tmp_path / "folder.png").mkdir()
  good = [
    _save(tmp_path / "a.png", _noise(32, 50)),
    _save(tmp_path / "b.jpg", _noise(50, 32)),
    _save(tmp_path / "folder.png" / "c.bmp", _noise(40, 40)),
    _save(tmp_path / "rgba.png", _noise(40, 40), "RGBA"),
    _save(tmp_path / "palette.gif", _noise(40, 40), "P"),
    _save(tmp_path / "photograph.tiff", _noise(40, 40)),
  ]
  _save(tmp_path / "low.png", _noise(31, 500))
  _save(tmp_path / "narrow.png", _noise(500, 31))
  _save(tmp_path / "grey.png", _noise(40, 40), "L")
  (tmp_path / "text.png").write_text("no image")
  (tmp_path / "empty.jpg").write_bytes(b"")
  for name in ("a.png", "b.jpg"):
    whole = (tmp_path / name).read_bytes()
    (tmp_path / f"truncated-{name}").write_bytes(whole[: len(whole) // 2])
  found = finding.find_photographs([str(tmp_path / "**"), str(tmp_path / "a.png")], min_size=32)
  assert found.paths == tuple(sorted(good))
  assert found.skipped == {
    "smaller than 32 pixels": 2,
    "grey": 1,
    "unreadable": 4,
  }
  summary = found.summary()
  assert "\n" not in summary
  assert summary.startswith("6 photographs") and "4 skipped: unreadable" in summary


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # It warns before it gives up.
@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "PPM"])
def test_files_truncated_anywhere_stop_nothing(tmp_path, file_format):
  image = PIL.Image.fromarray(_noise(9, 9))  # Large enough to be accepted.
  (image.convert("P") if file_format == "GIF" else image).save(tmp_path / "whole", file_format)
  whole = (tmp_path / "whole").read_bytes()
  found = finding.find_photographs([str(tmp_path / "*")], min_size=8)
  assert found.paths == (str(tmp_path / "whole"),)
  # The last bytes of some formats do not contain pixels.
  lengths = range(0, len(whole) * 3 // 4, 5)
  for length in lengths:
    (tmp_path / f"truncated-{length:04}").write_bytes(whole[:length])
  found = finding.find_photographs([str(tmp_path / "*")], min_size=8)
  assert found.paths == (str(tmp_path / "whole"),)
  assert found.skipped == {"unreadable": len(lengths)}


def _without_end(path):
  """A PNG file without its last chunk, which TensorFlow refuses."""
  path.write_bytes(path.read_bytes()[:-12])


def test_what_is_found_is_read_by_the_reader_that_found_it(tmp_path, caplog):
  """Pillow reads all; TensorFlow alone would refuse the first two and read others differently."""
  noise = _noise(40, 40)
  for name in ("endless.png", "turned.png", "deep.png", "small.tif"):
    _save(tmp_path / name, noise)
  _without_end(tmp_path / "endless.png")
  exif = PIL.Image.Exif()
  exif[0x0112] = 3
  PIL.Image.fromarray(noise[::-1, ::-1]).save(tmp_path / "turned.png", exif=exif)
  (tmp_path / "deep.png").write_bytes(tf.io.encode_png(noise.astype(np.uint16) * 257).numpy())
  (tmp_path / "bad.png").write_bytes((tmp_path / "endless.png").read_bytes()[:1000])
  found = finding.find_photographs([str(tmp_path / "*")], _CROP)
  assert len(found.paths) == 4 and found.skipped == {"unreadable": 1}
  assert str(tmp_path / "bad.png") in caplog.text
  for crop in crops.validation_crops(found.paths, _CROP, 4).unbatch().as_numpy_iterator():
    np.testing.assert_array_equal(crop, noise[4:36, 4:36])
  for crop in np.concatenate(_crops(found.paths)):
    windows = np.lib.stride_tricks.sliding_window_view(noise, crop.shape)[:, :, 0]
    assert any((windows == x).all((2, 3, 4)).any() for x in (crop, crop[:, ::-1]))


def test_whatever_pillow_raises_stops_nothing(tmp_path):
  good = _save(tmp_path / "good.png", _noise(8, 8))
  damaged = bytearray(pathlib.Path(_save(tmp_path / "damaged.dds", _noise(8, 8))).read_bytes())
  damaged[80:84] = bytes(4)  # The pixel format.
  (tmp_path / "damaged.dds").write_bytes(damaged)
  with pytest.raises(NotImplementedError):
    PIL.Image.open(tmp_path / "damaged.dds")
  found = finding.find_photographs([str(tmp_path / "*")], min_size=8)
  assert found.paths == (good,) and found.skipped == {"unreadable": 1}


def test_nothing_to_train_on_is_one_line(tmp_path):
  with pytest.raises(finding.DataError, match="no file matches .*nothing") as caught:
    finding.find_photographs([str(tmp_path / "nothing" / "*.png")], min_size=32)
  assert "\n" not in str(caught.value)
  _save(tmp_path / "small.png", _noise(31, 31))
  (tmp_path / "text.png").write_text("two\nlines")
  with pytest.raises(finding.DataError, match="none of the 2 files") as caught:
    finding.find_photographs([str(tmp_path / "*.png")], min_size=32)
  assert "\n" not in str(caught.value)
  assert "1 smaller than 32 pixels" in str(caught.value)
  assert "1 unreadable" in str(caught.value)


# Name -> bits per pixel and per channel, lowest bits of red, green and blue, whether it has masks.
_BMPS = {
  "16_bits.bmp": (16, 5, (10, 5, 0), False),
  "32_bits.bmp": (32, 8, (16, 8, 0), False),
  "masks.bmp": (32, 8, (24, 16, 8), True),
}


def _save_bmp(path, image):
  """Saves a BMP file of any depth; Pillow itself writes only 24 bits."""
  bits, depth, shifts, has_masks = _BMPS[path.name]
  channels = np.moveaxis(image.astype(np.uint32) >> (8 - depth), -1, 0)
  pixels = sum(channel << shift for channel, shift in zip(channels, shifts))
  pixels = pixels[::-1].astype(f"<u{bits // 8}").tobytes()
  masks = struct.pack("<3I", *(255 << shift for shift in shifts)) if has_masks else b""
  start = 54 + len(masks)
  header = struct.pack("<2s3I", b"BM", start + len(pixels), 0, start)
  info = (40, image.shape[1], image.shape[0], 1, bits, 3 if has_masks else 0, len(pixels))
  path.write_bytes(header + struct.pack("<3I2H6I", *info, 0, 0, 0, 0) + masks + pixels)
  return str(path)


@pytest.mark.parametrize(
  "name, mode",
  [
    ("rgb.png", "RGB"),
    ("rgba.png", "RGBA"),
    ("palette.png", "P"),
    ("rgb.jpg", "RGB"),
    ("cmyk.jpg", "CMYK"),
    ("palette.gif", "P"),
    ("rgb.bmp", "RGB"),
    ("palette.bmp", "P"),
    *((name, None) for name in _BMPS),
  ],
)
def test_what_is_found_trains_on_its_own_colours(tmp_path, name, mode):
  smooth = np.kron(_noise(4, 4), np.ones([8, 8, 1], np.uint8))  # JPEG decoders differ in edges.
  path = _save(tmp_path / name, smooth, mode) if mode else _save_bmp(tmp_path / name, smooth)
  found = finding.find_photographs([path], _CROP)
  (crop,) = _crops(found.paths, batch=1, last_step=1)
  with PIL.Image.open(path) as image:
    expected = np.asarray(image.convert("RGB"), np.int32)
  errors = [np.abs(crop[0] - e).max() for e in (expected, expected[:, ::-1])]
  assert min(errors) <= 8


# photograph_crops.


def test_crops_have_the_shape_of_a_batch(photographs):
  batches = _crops(photographs, batch=3, first_step=2, last_step=7)
  assert len(batches) == 5
  for batch in batches:
    assert batch.shape == (3, _CROP, _CROP, 3) and batch.dtype == np.uint8


def test_crops_are_parts_of_photographs_or_mirrored_ones(photographs):
  images = [np.asarray(PIL.Image.open(path)) for path in photographs]
  seen = []
  for crop in np.concatenate(_crops(photographs, batch=4, last_step=25)):
    index = crop[0, 0, 2]
    mirrored = crop[0, 0, 1] > crop[0, -1, 1]
    upright = crop[:, ::-1] if mirrored else crop
    top, left = upright[0, 0, :2].astype(int)
    part = images[index][top : top + _CROP, left : left + _CROP]
    np.testing.assert_array_equal(upright, part)
    seen.append((index, mirrored, top, left))
  # Crops come from everywhere, and with both flips within an epoch, too.
  assert any(0 < sum(crop[1] for crop in seen[i : i + 5]) < 5 for i in range(0, 100, 5))
  assert min(top for *_, top, _ in seen) == 0 and max(top for *_, top, _ in seen) > 12
  assert min(left for *_, left in seen) == 0 and max(left for *_, left in seen) > 12
  assert len(set(seen)) > 90


@pytest.mark.parametrize("first_step", [1, 4, 7])
def test_crops_are_a_function_of_seed_and_step(photographs, first_step):
  whole = _crops(photographs, seed=7)
  np.testing.assert_array_equal(whole, _crops(photographs, seed=7))
  np.testing.assert_array_equal(
    whole[first_step:], _crops(photographs, seed=7, first_step=first_step)
  )


def test_other_seeds_and_steps_give_other_crops(photographs):
  whole = _crops(photographs, seed=7)
  assert all((a != b).any() for a, b in zip(whole, _crops(photographs, seed=8)))
  assert all((a != b).any() for a, b in itertools.combinations(whole, 2))


@pytest.mark.parametrize("batch", [1, 3, 5])
def test_each_epoch_visits_each_photograph_once(photographs, batch):
  batches = _crops(photographs, batch=batch, last_step=30 // batch)
  order = np.concatenate(batches)[:, 0, 0, 2].reshape(6, 5)
  np.testing.assert_array_equal(np.sort(order, 1), np.tile(np.arange(5), (6, 1)))
  assert len(np.unique(order, axis=0)) > 1  # The order changes each time.


def test_one_photograph_is_enough(photographs):
  crops = np.concatenate(_crops(photographs[:1]))
  assert (crops[..., 2] == 0).all()
  assert len(np.unique(crops, axis=0)) > 8


def test_validation_crops_are_central(photographs):
  batches = list(crops.validation_crops(photographs, _CROP, batch=2).as_numpy_iterator())
  assert [len(batch) for batch in batches] == [2, 2, 1]
  for i, crop in enumerate(np.concatenate(batches)):
    image = np.asarray(PIL.Image.open(photographs[i]))
    top, left = (image.shape[0] - _CROP) // 2, (image.shape[1] - _CROP) // 2
    np.testing.assert_array_equal(crop, image[top : top + _CROP, left : left + _CROP])


# Bundled photographs.


def test_bundled_photographs_are_usable_and_none_is_held_out():
  train, held_out = finding.bundled_photographs(), finding.held_out_photographs()
  assert len(train) >= 6 and len(held_out) >= 1
  for paths in (train, held_out):
    found = finding.find_photographs(paths, min_size=256)
    assert len(found.paths) == len(paths) and not found.skipped
  names = [pathlib.Path(path).name for path in train + held_out]
  contents = {pathlib.Path(path).read_bytes() for path in train + held_out}
  assert len(contents) == len(set(names)) == len(names)


def test_crops_are_the_same_whether_photographs_are_kept_in_memory_or_not(monkeypatch):
  paths = tuple(finding.bundled_photographs())
  kept = _crops(paths, 3, 7, 2, 6)
  monkeypatch.setattr(crops, "_MEMORY", 0)
  read = _crops(paths, 3, 7, 2, 6)
  np.testing.assert_array_equal(kept, read)


# downscale.


@pytest.fixture(scope="module")
def slopes(tmp_path_factory):
  """A JPEG and a PNG of 180x230; red and green encode the position, blue is fine texture."""
  folder = tmp_path_factory.mktemp("slopes")
  rows, columns = np.indices([180, 230])
  image = np.stack([rows, columns, 60 + _noise(180, 230)[..., 0] // 2], -1).astype(np.uint8)
  jpeg, png = str(folder / "slopes.jpg"), str(folder / "slopes.png")
  PIL.Image.fromarray(image).save(jpeg, quality=100, subsampling=0)
  PIL.Image.fromarray(image).save(png)
  return jpeg, png


def _places(crop):
  """Factor, top and left of a crop of `slopes`, from lines fitted away from the borders."""
  middle = slice(4, _CROP - 4)
  at = np.arange(_CROP)[middle] + 0.5
  (down, top), (right, left) = (
    np.polyfit(at, crop[middle, middle, channel].mean(axis) + 0.5, 1)
    for channel, axis in ((0, 1), (1, 0))
  )
  return down, right, top, left


def _downscaled(path, last_step, first_step=0):
  settings = crops.CropSettings(_CROP, 1, 3, first_step, last_step, downscale=True)
  return np.concatenate([*crops.photograph_crops((path,), settings).as_numpy_iterator()])


def test_jpegs_are_downscaled_by_factors_drawn_uniformly_and_cropped_anywhere(slopes):
  factors = []
  whole = PIL.Image.open(slopes[0])
  near = list(itertools.product(range(-3, 4), range(-2, 3), range(-2, 3)))
  for crop in _downscaled(slopes[0], 60):
    upright = crop[:, ::-1] if crop[0, 0, 1] > crop[0, -1, 1] else crop
    down, right, top, left = _places(upright)
    assert down == pytest.approx(right, abs=0.1)  # Squares stay squares.
    estimate = round(_CROP * (down + right) / 2), round(top), round(left)
    errors = {}
    for side, top, left in np.add(estimate, near):
      part = whole.crop((left, top, left + side, top + side))
      expected = part.resize((_CROP, _CROP), PIL.Image.Resampling.BICUBIC)
      errors[np.abs(np.asarray(expected, int) - upright).max()] = side
    assert min(errors) <= 2
    factors.append(_CROP / errors[min(errors)])
  # Uniform from 32/180 to 1: mean and extremes.
  assert min(factors) == pytest.approx(_CROP / 180, abs=0.06)
  assert max(factors) == pytest.approx(1, abs=0.06)
  assert np.mean(factors) == pytest.approx((_CROP / 180 + 1) / 2, abs=4 * 0.237 / 60**0.5)


def test_what_was_not_a_jpeg_is_not_downscaled(slopes):
  for crop in _downscaled(slopes[1], 20):
    np.testing.assert_array_equal(np.abs(np.diff(crop[..., 1].astype(int), axis=1)), 1)


def test_downscaled_crops_are_a_function_of_seed_and_step_too(slopes, monkeypatch):
  whole = _downscaled(slopes[0], 12)
  np.testing.assert_array_equal(_downscaled(slopes[0], 12, first_step=7), whole[7:])
  monkeypatch.setattr(crops, "_MEMORY", 0)
  np.testing.assert_array_equal(_downscaled(slopes[0], 12), whole)
