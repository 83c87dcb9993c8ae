"""The parts of a corpus: selecting files, checking results, and writing them."""

import os
import pathlib
import types

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

import bmshj_minnen
from bmshj_minnen.command_line import planning
from bmshj_minnen.corpus import listing, storage, tasks
from bmshj_minnen.format import writing
from bmshj_minnen.images import image_files
from bmshj_minnen.quality import DEFAULT_QUALITY
from tests import codecs, elsewhere, trees

_SUFFIXES = frozenset((".png",))


@pytest.fixture
def tree(tmp_path, monkeypatch):
  """The working directory, with names that are patterns and names that these match."""
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
  """Source -> path of its result."""
  patterns = listing.patterns_of(str(path), _SUFFIXES)
  return {work.source: work.place for work in listing.find(patterns, str(output), ".bin").works}


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
  path, output = path.format(tree=tree), output.format(tree=tree)
  if path == "photos":
    with pytest.raises(ValueError, match="^all files of photos lie below the output, .*photos"):
      _found(path, output)
  else:
    found = _found(path, output)
    assert found and "photos" not in {p for source in found for p in pathlib.Path(source).parts}


def test_a_source_that_is_its_own_result_is_refused(tree):
  patterns = listing.patterns_of("photos/b1.png", _SUFFIXES)
  works, failures = listing.find(patterns, "photos", ".png")
  line = "photos/b1.png is one of the sources; let its result go elsewhere"
  assert (works, failures) == ([], [("photos/b1.png", line)])
  (tree / "link").symlink_to("photos")
  assert listing.find(patterns, "link", ".png").failures == [
    ("photos/b1.png", line.replace("photos", "link"))
  ]


def _packed(height, width, quality=None):
  return writing.pack(b"abcd", height, width, b"payload", quality)


def _codec(fingerprint, gain_lambdas=()):
  config = types.SimpleNamespace(gain_lambdas=gain_lambdas)
  return types.SimpleNamespace(fingerprint=fingerprint, config=config)


def test_a_result_that_is_damaged_anywhere_is_made_again():
  task, good = tasks.Compression(""), _packed(20, 30)
  assert task.finished(_codec(b"abcd"), "", b"", good) == (20, 30)
  for bit in range(8 * len(good)):
    damaged = bytearray(good)
    damaged[bit // 8] ^= 1 << bit % 8
    assert task.finished(_codec(b"abcd"), "", b"", bytes(damaged)) is None


def test_a_result_of_another_model_or_quality_is_made_again():
  task, codec = tasks.Compression(""), _codec(b"abcd", (0.01, 0.02))
  assert task.finished(codec, "", b"", _packed(20, 30, DEFAULT_QUALITY)) == (20, 30)
  assert task.finished(codec, "", b"", _packed(20, 30, 37)) is None
  other = _codec(b"efgh", (0.01, 0.02))
  assert task.finished(other, "", b"", _packed(20, 30, DEFAULT_QUALITY)) is None


def test_requests_that_differ_in_anything_are_told_apart():
  codec, other = (_codec(fingerprint, (0.01, 0.02)) for fingerprint in (b"abcd", b"efgh"))
  asked = [{"quality": 37}, {"quality": 37.5}, {"bytes": 37}, {"bpp": 37}, {"psnr": 37}]
  requests = [tasks.Compression("", quality=quality).request(codec) for quality in asked]
  requests += [tasks.Compression("", alpha=alpha).request(codec) for alpha in ("white", "drop")]
  requests += [tasks.Compression("").request(c) for c in (codec, other, _codec(b"abcd"))]
  assert len(set(requests)) == len(requests)
  default = tasks.Compression("", quality={"quality": DEFAULT_QUALITY}, memory=7)
  assert default.request(codec) == tasks.Compression("").request(codec)


def test_a_psnr_that_is_asked_for_is_measured():
  image, codec = codecs.photograph(40, 60), bmshj_minnen.load()
  content = image_files.encode_image(image)
  data = codec.compress(image, quality=1)
  error = np.mean((codec.decompress(data) - image.astype(np.float64)) ** 2)
  psnr = 10 * np.log10(255**2 / error)
  for goal, expected in ((psnr - 0.01, (40, 60)), (psnr + 0.01, None)):
    task = tasks.Compression("", quality={"psnr": goal})
    assert task.finished(codec, "a.png", content, data) == expected
  other = image_files.encode_image(image[:, 1:])
  assert tasks.Compression("", quality={"psnr": 1}).finished(codec, "a.png", other, data) is None


def test_transparent_pictures_are_made_again_for_a_file_does_not_say_on_which_colour_they_lie():
  opaque = np.dstack([codecs.photograph(20, 30), np.full([20, 30], 255, np.uint8)])
  clear = opaque - np.uint8([0, 0, 0, 9])
  for image, alpha, expected in (
    (opaque, "white", (20, 30)),
    (clear, "white", None),
    (clear, None, (20, 30)),  # It is refused if it is read.
  ):
    content = tf.io.encode_png(image).numpy()
    task = tasks.Compression("", alpha=alpha)
    assert task.finished(_codec(b"abcd"), "a.png", content, _packed(20, 30)) == expected


def test_a_photograph_with_any_bit_wrong_is_made_again():
  """Also if the bit is in a checksum or after the pixels, which a decoder may ignore."""
  source, task = _packed(5, 7), tasks.Decompression()
  png = image_files.encode_image(codecs.photograph(5, 7))
  assert task.finished(None, "", source, png) == (5, 7)
  for bit in range(8 * len(png)):
    damaged = bytearray(png)
    damaged[bit // 8] ^= 1 << bit % 8
    assert task.finished(None, "", source, bytes(damaged)) is None, bit


def test_photographs_beyond_pillows_limit_are_finished(monkeypatch):
  source, task = _packed(20, 30), tasks.Decompression()
  png = image_files.encode_image(codecs.photograph(20, 30))
  turned = image_files.encode_image(codecs.photograph(30, 20))
  monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 20 * 30 // 2 - 1)
  with pytest.raises(image_files.ImageError, match="decompression bomb"):
    image_files.read_image("a.png", content=png)
  assert task.finished(None, "", source, png) == (20, 30)
  for unfinished in (turned, png[: len(png) // 2], b"no picture"):
    assert task.finished(None, "", source, unfinished) is None


@pytest.mark.parametrize("scheme", ["", elsewhere.SCHEME])
def test_files_are_whole_and_leftovers_are_told(tree, scheme, monkeypatch):
  rename, names = os.rename, []
  for name in ("rename", "replace"):
    monkeypatch.setattr(os, name, lambda old, new: (names.append(old), rename(old, new)))
  longest = tree / "new" / ("n" * 255)
  storage.write_file(f"{scheme}{longest}", b"result")
  assert longest.read_bytes() == b"result" and planning.TEMPORARY.search(names[0])
  storage.write_file(f"{scheme}{longest}", b"newer", f"{tree}/a.png")
  assert storage.read_file(f"{scheme}{longest}") == b"newer"
  with pytest.raises(storage.WriteError, match="n" * 256):
    storage.write_file(f"{scheme}{longest}n", b"result")
  assert os.listdir(tree / "new") == [longest.name]


@pytest.mark.parametrize("scheme", ["", elsewhere.SCHEME])
def test_times_tell_results_from_older_ones(tree, scheme):
  source, result = tree / "a.png", tree / "result"
  os.utime(source, (10**9, 10**9))
  storage.write_file(f"{scheme}{result}", b"result", f"{scheme}{source}")
  assert storage.is_made_of(f"{scheme}{result}", f"{scheme}{source}")
  os.utime(source, (10**10, 10**10))
  assert not storage.is_made_of(f"{scheme}{result}", f"{scheme}{source}")


def test_compression_passes_on_what_is_asked_for():
  image = codecs.photograph(64, 80)
  content = tf.io.encode_png(image).numpy()
  codec = bmshj_minnen.load()
  for asked in ({"quality": 12}, {"bytes": 600}):
    data, height, width = tasks.Compression("", quality=asked).convert(codec, "a.png", content)
    assert (data, height, width) == (codec.compress(image, **asked), 64, 80)
