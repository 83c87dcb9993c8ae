"""Training on tensorflow-datasets: any data set by name, and prepared photographs."""

import functools

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

import bmshj_minnen
from bmshj_minnen.data import crops, datasets, finding
from bmshj_minnen.images import image_files
from bmshj_minnen.training import loop
from experiments.reliability import sample_files
from tests import codecs

_CROP = 32


def _crops(name, data_dir, crop, batch, seed, first_step, last_step=100, **kwargs):
  settings = crops.CropSettings(crop, batch, seed, first_step, last_step, **kwargs)
  return datasets.dataset_crops(name, data_dir, settings)


@pytest.fixture(scope="module")
def dataset_dir(tmp_path_factory):
  """A folder for the datasets `tiny_photographs` and `tiny_greys`, made on first use."""
  import tensorflow_datasets as tfds

  class _Tiny(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")
    channels = 3

    def _info(self):
      image = tfds.features.Image(shape=(None, None, self.channels))
      features = tfds.features.FeaturesDict({"image": image})
      return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
      return {"train": self._generate_examples(0), "test": self._generate_examples(100)}

    def _generate_examples(self, blue):
      # Two large photographs and one that is too small, with a blue of 9.
      for i, size in enumerate([(40, 33), (35, 60), (31, 60)]):
        rows, columns = np.indices(size)
        image = np.stack([rows, columns, np.full_like(rows, blue + (i if i < 2 else 9))], -1)
        yield i, {"image": image[..., : self.channels].astype(np.uint8)}

  class TinyPhotographs(_Tiny):
    pass

  class TinyGreys(_Tiny):
    channels = 1

  # Defining these classes registers them.
  del TinyPhotographs, TinyGreys
  tfds.disable_progress_bar()
  return str(tmp_path_factory.mktemp("tfds"))


def test_dataset_crops_are_parts_of_its_training_images(dataset_dir):
  dataset = _crops("tiny_photographs", dataset_dir, _CROP, 4, seed=0, first_step=0)
  assert dataset.element_spec == tf.TensorSpec([4, _CROP, _CROP, 3], tf.uint8)
  crops = np.concatenate(list(dataset.take(10).as_numpy_iterator()))
  for crop in crops:
    upright = crop[:, ::-1] if crop[0, 0, 1] > crop[0, -1, 1] else crop
    rows, columns = np.indices([_CROP, _CROP])
    np.testing.assert_array_equal(upright[..., 0], rows + upright[0, 0, 0])
    np.testing.assert_array_equal(upright[..., 1], columns + upright[0, 0, 1])
  # Neither the small image nor the test split; the dataset repeats, with other crops.
  assert set(np.unique(crops[..., 2])) == {0, 1}
  assert len(np.unique(crops, axis=0)) > 20


@pytest.mark.parametrize(
  "name, crop, words",
  [
    ("no_such_dataset", 32, "'no_such_dataset'"),
    ("tiny_greys", 32, "no RGB feature"),
    ("tiny_photographs", 64, "at least 64x64"),
  ],
)
def test_unusable_datasets_are_one_line(dataset_dir, monkeypatch, name, crop, words):
  def connect(*_):
    raise OSError("this test has no network")

  monkeypatch.setattr("socket.socket.connect", connect)
  with pytest.raises(finding.DataError) as caught:
    _crops(name, dataset_dir, crop, 2, seed=0, first_step=0)
  message = str(caught.value)
  assert "\n" not in message and name in message and words in message


def test_dataset_that_is_not_on_disk_is_one_line(dataset_dir, tmp_path):
  with pytest.raises(finding.DataError) as caught:
    _crops("tiny_photographs:9.9.9", str(tmp_path), _CROP, 2, seed=0, first_step=0)
  assert "\n" not in str(caught.value) and "tiny_photographs:9.9.9" in str(caught.value)


# prepare.


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
  """A folder with files of all kinds and larger photographs, and the dataset made from it."""
  folder = tmp_path_factory.mktemp("prepared")
  (folder / "in" / "sub").mkdir(parents=True)
  sample_files.make_files(folder / "in" / "sub")
  for i in range(3):
    image = codecs.photograph(70 + 10 * i, 90)
    PIL.Image.fromarray(image).save(folder / "in" / f"{i}.jpg", quality=90)
  skipped = {}
  patterns = [str(folder / "in" / "**" / "*.*")]
  count = datasets.prepare(
    patterns, "my_photos", str(folder / "data"), 50, skip=skipped.__setitem__
  )
  return folder, count, skipped


def _stored(folder):
  import tensorflow_datasets as tfds

  builder = tfds.builder("my_photos", data_dir=str(folder / "data"))
  decoders = {"image": tfds.decode.SkipDecoding()}
  return [bytes(e["image"]) for e in builder.as_data_source("train", decoders=decoders)]


def _usable(folder):
  """Paths of files that can be stored, and the pixels that `compress` would read."""
  result = {}
  for path in sorted((folder / "in").rglob("*.*")):
    try:
      pixels = image_files.read_image(str(path), note=lambda text: None)
    except (image_files.ImageError, OSError):
      continue
    if min(pixels.shape[:2]) >= 50:
      result[path] = pixels
  return result


def test_what_can_be_read_is_stored_and_the_rest_told_of(prepared):
  folder, count, skipped = prepared
  usable = _usable(folder)
  stored = _stored(folder)
  assert count == len(stored) == len(usable) > 15
  files = {str(p) for p in (folder / "in").rglob("*.*") if p.is_file()}
  assert set(skipped) == files - set(map(str, usable))
  assert skipped[str(folder / "in" / "sub" / "line.png")] == "smaller than 50 pixels"
  for name, words in sample_files.BAD.items():
    if name not in ("dangling.png", "too_wide.png"):  # One is not a file, the other is too low.
      assert words in skipped[str(folder / "in" / "sub" / name)]


def test_plain_files_are_stored_as_they_are_and_others_as_they_are_meant(prepared):
  folder, _, _ = prepared
  usable, stored = _usable(folder), set(_stored(folder))
  verbatim = [path.name for path in usable if path.read_bytes() in stored]
  for name in ("rgb.png", "rgb_jpg.jpg", "0.jpg", "1.jpg", "2.jpg"):
    assert name in verbatim
  for name in ("cmyk.jpg", "turned.jpg", "profile.jpg", "deep.png", "rgb_webp.webp", "grey.png"):
    assert name not in verbatim
  pixels = [tf.io.decode_image(s, channels=3).numpy() for s in _stored(folder)]
  for path, expected in usable.items():
    same = [p for p in pixels if p.shape == expected.shape]
    # Decoders of JPEG may differ in rounding.
    assert min(np.abs(p.astype(int) - expected).max() for p in same) <= 8, path


def test_photographs_are_shuffled_on_disk(prepared):
  folder, _, _ = prepared
  contents = [path.read_bytes() for path in _usable(folder)]
  order = [contents.index(s) for s in _stored(folder) if s in contents]
  assert len(order) > 5 and order != sorted(order)


def test_a_run_that_resumes_sees_the_crops_it_would_have_seen(prepared):
  folder, count, _ = prepared
  get = functools.partial(_crops, "my_photos", str(folder / "data"), _CROP, 3, 7, downscale=True)
  whole = np.stack(list(get(0, 12).as_numpy_iterator()))
  assert whole.shape == (12, 3, _CROP, _CROP, 3) and whole.dtype == np.uint8
  for first in (1, 7):
    np.testing.assert_array_equal(np.stack(list(get(first, 12).as_numpy_iterator())), whole[first:])


def test_each_epoch_visits_each_photograph_once(prepared, tmp_path):
  folder = tmp_path / "in"
  folder.mkdir()
  for i in range(7):  # Each has one colour, which identifies it.
    PIL.Image.new("RGB", (40, 40), (30 * i, 0, 0)).save(folder / f"{i}.png")
  assert datasets.prepare([str(folder / "*")], "colours", str(tmp_path), 40) == 7
  crops = np.concatenate(list(_crops("colours", str(tmp_path), _CROP, 7, 0, 0, 5)))
  order = crops[:, 0, 0, 0].reshape(5, 7) // 30
  np.testing.assert_array_equal(np.sort(order, 1), np.tile(np.arange(7), (5, 1)))
  assert len(np.unique(order, axis=0)) > 1


@pytest.mark.usefixtures("eagerly")
def test_training_reads_a_prepared_dataset(prepared, tmp_path):
  folder, _, _ = prepared
  train = bmshj_minnen.TrainConfig(
    model_dir=str(tmp_path),
    dataset="my_photos",
    data_dir=str(folder / "data"),
    crop=64,
    batch=2,
    steps=2,
    downscale=True,
  )
  with pytest.raises(finding.DataError, match="--min_size=64"):
    loop.train(bmshj_minnen.ModelConfig("factorized", 4, 4), train)
  datasets.prepare([str(folder / "in" / "?.jpg")], "large", str(folder / "data"), 64)
  train = bmshj_minnen.TrainConfig(**{**vars(train), "dataset": "large"})
  loop.train(bmshj_minnen.ModelConfig("factorized", 4, 4), train)
  assert bmshj_minnen.load(tmp_path).compress(codecs.photograph(20, 20))


def test_what_tensorflow_does_not_read_is_stored_otherwise(tmp_path):
  folder = tmp_path / "in"
  folder.mkdir()
  picture = codecs.photograph(40, 40)
  content = image_files.encode_image(picture)
  (folder / "endless.png").write_bytes(content[:-12])
  (folder / "damaged.png").write_bytes(content[: len(content) // 2])
  skipped = {}
  arguments = ([str(folder / "*")], "my_photos", str(tmp_path / "data"), 40)
  assert datasets.prepare(*arguments, skip=skipped.__setitem__) == 1
  assert list(skipped) == [str(folder / "damaged.png")]
  (stored,) = _stored(tmp_path)
  np.testing.assert_array_equal(tf.io.decode_image(stored), picture)
  (crop,) = _crops("my_photos", str(tmp_path / "data"), 40, 1, 0, 0, 1).as_numpy_iterator()
  assert any((crop[0] == x).all() for x in (picture, picture[:, ::-1]))


@pytest.mark.parametrize(
  "pattern, name, words",
  [
    ("*.webm", "fine", "no file matches"),
    ("sub/text.png", "fine", "none of the 1 files"),
    ("0.jpg", "My photos", "cannot be the name of a dataset"),
    ("0.jpg", "ünï", "cannot be the name of a dataset"),
    ("0.jpg", "my_photos", "give another --name"),
  ],
)
def test_what_cannot_be_prepared_is_one_line(prepared, pattern, name, words):
  folder, _, _ = prepared
  with pytest.raises(finding.DataError, match=words) as caught:
    datasets.prepare([str(folder / "in" / pattern)], name, str(folder / "data"), 50)
  assert "\n" not in str(caught.value)


def test_an_interrupted_preparation_leaves_no_dataset(prepared, tmp_path, monkeypatch):
  folder, _, _ = prepared
  arguments = ([str(folder / "in" / "?.jpg")], "photos", str(tmp_path), 50)

  def interrupt(*_):
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    datasets.prepare([str(folder / "in" / "**" / "*.*")], *arguments[1:], skip=interrupt)
  with pytest.raises(finding.DataError):
    _crops("photos", str(tmp_path), _CROP, 1, 0, 0)
  assert datasets.prepare(*arguments) == 3
