"""Crops without TensorFlow: parts of photographs, a function of the seed and the step alone."""

import numpy as np
import PIL.Image
import pytest

from experiments.pjrt import crops

_CROP = 16


def _picture(height, width, seed):
  return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture
def folder(tmp_path):
  for i, (height, width) in enumerate([(20, 40), (40, 16), (17, 18)]):
    (tmp_path / str(i)).mkdir()
    PIL.Image.fromarray(_picture(height, width, i)).save(tmp_path / str(i) / "picture.png")
  PIL.Image.fromarray(_picture(15, 50, 9)).save(tmp_path / "low.png")
  PIL.Image.fromarray(_picture(50, 50, 9)[..., 0]).save(tmp_path / "grey.png")
  (tmp_path / "notes.txt").write_text("no picture")
  PIL.Image.fromarray(_picture(50, 50, 9)).save(tmp_path / "damaged.dds")
  with open(tmp_path / "damaged.dds", "r+b") as file:
    file.seek(80)
    file.write(bytes(4))  # An invalid pixel format: Pillow raises NotImplementedError.
  return tmp_path


def _batches(source, first=0, sizes=(1, 1, 1, 1), seed=0, as_is=False):
  steps = list(crops.batches(source, _CROP, 2, seed, first, sizes, as_is))
  assert [len(x) for x in steps] == list(sizes)
  return np.concatenate(steps)


def _places(crop, picture):
  """Positions of a crop, or its mirror image, in a picture."""
  windows = np.lib.stride_tricks.sliding_window_view(picture, crop.shape)[:, :, 0]
  return [
    (flip, *place)
    for flip in (False, True)
    for place in np.argwhere((windows == (crop[:, ::-1] if flip else crop)).all((2, 3, 4)))
  ]


def test_what_cannot_be_cropped_is_counted(folder):
  source = crops.open_source(folder, _CROP)
  assert source.count == 3 and source.summary.endswith("4 files skipped")


def test_crops_are_parts_of_each_photograph_once_an_epoch_at_many_places(folder):
  x = _batches(crops.open_source(folder, _CROP), sizes=(60,)).reshape(-1, _CROP, _CROP, 3)
  pictures = [_picture(20, 40, 0), _picture(40, 16, 1), _picture(17, 18, 2)]
  found = [
    [(i, place) for i, picture in enumerate(pictures) for place in _places(crop, picture)]
    for crop in x
  ]
  assert all(len(places) == 1 for places in found)
  indexes = np.array([places[0][0] for places in found])
  assert (np.sort(indexes.reshape(-1, 3), 1) == [0, 1, 2]).all()
  assert len({tuple(epoch) for epoch in indexes.reshape(-1, 3)}) > 1
  assert len({places[0][1] for places in found}) > 30
  assert 0.3 < np.mean([places[0][1][0] for places in found]) < 0.7


def test_a_step_sees_the_same_wherever_a_run_starts_and_however_calls_are_made(folder):
  source = crops.open_source(folder, _CROP)
  whole = _batches(source, sizes=(1,) * 10)
  np.testing.assert_array_equal(_batches(source, sizes=(3, 3, 4)), whole)
  np.testing.assert_array_equal(_batches(source, first=7, sizes=(2, 1)), whole[7:])
  assert not np.array_equal(_batches(source, sizes=(10,), seed=1), whole)


def test_a_packed_array_can_be_read_as_it_is(tmp_path):
  pictures = np.stack([_picture(20, 18, seed) for seed in range(4)])
  np.save(tmp_path / "crops.npy", pictures)
  source = crops.open_source(tmp_path / "crops.npy", _CROP)
  x = _batches(source, first=1, sizes=(2,), as_is=True)
  expected = pictures[[2, 3, 0, 1], :_CROP, :_CROP]
  np.testing.assert_array_equal(x.reshape(expected.shape), expected)


def test_validation_sees_the_middle_of_each_picture(folder):
  first = next(crops.central_crops(crops.open_source(folder, _CROP), _CROP))
  np.testing.assert_array_equal(first[0], _picture(20, 40, 0)[2:18, 12:28])
