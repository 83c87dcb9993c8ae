"""The parts of a corpus: which files are meant, which results are whole, how they are written."""

import pathlib
import types

import PIL.Image
import pytest
import tensorflow as tf
from apache_beam.io.filesystems import FileSystems

import bmshj_minnen
from bmshj_minnen.command_line import planning
from bmshj_minnen.corpus import finding, storage, tasks
from bmshj_minnen.format import writing
from bmshj_minnen.photographs import images
from bmshj_minnen.quality import DEFAULT_QUALITY
from tests import codecs, trees

_SUFFIXES = frozenset((".png",))


@pytest.fixture
def tree(tmp_path, monkeypatch):
  """The working directory, with names that are patterns and those that these match."""
  monkeypatch.chdir(tmp_path)
  names = [
    "a.png",
    "b[1].png",
    "b1.png",
    "photos/b[1].png",
    "photos/b1.png",
    "photos/deep/c.png",
    "c?[2]/d.png",
    "c?[2]/deep/e.png",
    "cc2/f.png",
    "cc[2]/g.png",
    ".hidden*/h.png",
  ]
  trees.make(tmp_path, names)
  return tmp_path


def _found(path, output):
  """Source -> place of its result."""
  patterns = finding.patterns_of(str(path), _SUFFIXES)
  return {work.source: work.place for work in finding.find(patterns, str(output), ".bin").works}


@pytest.mark.parametrize(
  ("path", "count"),
  [
    ("b[1].png", 1),
    ("photos/b[1].png", 1),
    (".hidden*/h.png", 1),
    ("c?[2]/", 2),
    ("c?[2]/*.png", 1),
    ("p*/b1.png", 1),
    ("**/c.png", 1),
  ],
)
def test_names_come_before_patterns_as_on_the_command_line(tree, path, count):
  for given in (path, f"./{path}", f"{tree}/{path}"):
    request = planning.Request((given,), "out", recursive=True)
    jobs = planning.make_plan(request, _SUFFIXES, ".bin").jobs
    expected = {job.source: job.target.removeprefix("out/") for job in jobs}
    assert _found(given, "out") == expected and len(jobs) == count


@pytest.mark.parametrize("output", ["photos", "./photos/", "{tree}/photos"])
@pytest.mark.parametrize("path", ["**", "./**", "{tree}/**", "{tree}/photos/../*/**", "photos"])
def test_what_lies_below_the_output_is_no_source_however_it_is_named(tree, path, output):
  found = _found(path.format(tree=tree), output.format(tree=tree))
  assert "photos" not in {part for source in found for part in pathlib.Path(source).parts}
  assert bool(found) == (path != "photos")


def _packed(height, width):
  return writing.pack(b"abcd", height, width, b"payload")


def _codec(fingerprint, gain_lambdas=()):
  config = types.SimpleNamespace(gain_lambdas=gain_lambdas)
  return types.SimpleNamespace(fingerprint=fingerprint, config=config)


def test_a_result_that_is_damaged_anywhere_is_made_again():
  """Damage to the fingerprint is no other model, whose results are kept."""
  task, good = tasks.Compression(""), _packed(20, 30)
  codec, other = (_codec(fingerprint) for fingerprint in (b"abcd", b"efgh"))
  assert task.finished(codec, "", good) == (20, 30)
  with pytest.raises(ValueError, match="another model"):
    task.finished(other, "", good)
  for bit in range(8 * len(good)):
    damaged = bytearray(good)
    damaged[bit // 8] ^= 1 << bit % 8
    assert task.finished(codec, "", bytes(damaged)) is None


def test_a_result_of_another_quality_is_not_overwritten():
  task, codec = tasks.Compression(""), _codec(b"abcd", (0.01, 0.02))
  for quality in (DEFAULT_QUALITY, 37):
    result = writing.pack(b"abcd", 20, 30, b"payload", quality)
    if quality == DEFAULT_QUALITY:
      assert task.finished(codec, "", result) == (20, 30)
    else:
      with pytest.raises(ValueError, match="another quality"):
        task.finished(codec, "", result)


def test_a_photograph_with_any_bit_wrong_is_made_again(tmp_path):
  """In checksums and after the pixels, too, where a decoder need not look."""
  source, task = tmp_path / "a.tfci", tasks.Decompression()
  source.write_bytes(_packed(5, 7))
  png = images.encode_image(codecs.photograph(5, 7))
  assert task.finished(None, str(source), png) == (5, 7)
  for bit in range(8 * len(png)):
    damaged = bytearray(png)
    damaged[bit // 8] ^= 1 << bit % 8
    assert task.finished(None, str(source), bytes(damaged)) is None, bit


def test_photographs_beyond_pillows_limit_are_finished(tmp_path, monkeypatch):
  source, task = tmp_path / "a.tfci", tasks.Decompression()
  source.write_bytes(_packed(20, 30))
  png = images.encode_image(codecs.photograph(20, 30))
  turned = images.encode_image(codecs.photograph(30, 20))
  monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 20 * 30 // 2 - 1)
  with pytest.raises(images.ImageError, match="decompression bomb"):
    images.read_image("a.png", content=png)
  assert task.finished(None, str(source), png) == (20, 30)
  for unfinished in (turned, png[: len(png) // 2], b"no picture"):
    assert task.finished(None, str(source), unfinished) is None


def test_results_have_names_of_any_length_and_leftovers_are_told(tree, monkeypatch):
  rename, temporary = FileSystems.rename, []
  monkeypatch.setattr(
    FileSystems, "rename", lambda old, new: (temporary.extend(old), rename(old, new))
  )
  longest = tree / ("n" * 255)
  storage.write_file(str(longest), b"result")
  assert longest.read_bytes() == b"result"
  assert planning.TEMPORARY.search(temporary[0])
  files = sorted(tree.iterdir())
  with pytest.raises(OSError, match="n" * 256):
    storage.write_file(f"{longest}n", b"result")
  assert sorted(tree.iterdir()) == files


def test_compression_passes_on_what_is_asked_for():
  image = codecs.photograph(64, 80)
  content = tf.io.encode_png(image).numpy()
  codec = bmshj_minnen.load()
  for asked in ({"quality": 12}, {"bytes": 600}):
    data, height, width = tasks.Compression("", quality=asked).convert(codec, "a.png", content)
    assert (data, height, width) == (codec.compress(image, **asked), 64, 80)
