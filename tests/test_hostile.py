"""Any bytes from strangers are refused or decoded, in bounded memory."""

import types

import numpy as np
import pytest

import bmshj_minnen
from bmshj_minnen.format import writing
from bmshj_minnen.format.tables import MAX_VALUE
from experiments.reliability import hostile, hostile_run
from tests import codecs, programs

_FILES = 50  # Files per kind and prior.
_MAX_PIXELS = 2**16
_ONE = pytest.mark.parametrize("case", ["factorized"], indirect=True)


@pytest.fixture(scope="module", params=["joint with gains", "factorized"])
def case(request, tmp_path_factory):
  """A model directory, its codec and a forge: versions 1, and 2 with metadata."""
  folder = tmp_path_factory.mktemp("models")
  prior, _, gains = request.param.partition(" with ")
  codecs.make_codec(prior, folder, **({"gain_lambdas": (0.005, 0.05)} if gains else {}))
  codec = bmshj_minnen.load(folder / prior, _MAX_PIXELS)
  return folder / prior, codec, hostile.Forge(codec, codecs.photograph(256, 256), bool(gains))


def _outcomes(codec, forge, kind, files=_FILES):
  for seed in range(files):
    outcome = hostile.decode(codec, forge.make(kind, np.random.default_rng(seed)))
    assert outcome.name != "other", f"{kind}, seed {seed}: {outcome.detail}"
    yield outcome


def test_good_files_are_sealed_alike(case):
  _, codec, forge = case
  for size, data in forge.good.items():
    assert forge.seal(size, forge.payload(size)) == data
    assert codec.decompress(data).shape == (*size, 3)


def test_seeds_repeat(case):
  _, _, forge = case
  for kind in hostile.KINDS:
    first, again = (forge.make(kind, np.random.default_rng(7)) for _ in range(2))
    assert first == again


@pytest.mark.parametrize(
  ("kind", "image", "name"),
  [
    ("payload empty", np.zeros((2, 3, 3), np.uint8), "decoded"),
    ("payload empty", np.zeros((3, 2, 3), np.uint8), "other"),
    ("payload empty", np.zeros((2, 3, 3), np.float32), "other"),
    ("truncated", np.zeros((2, 3, 3), np.uint8), "other"),
  ],
)
def test_wrong_pictures_would_be_noticed(kind, image, name):
  codec = types.SimpleNamespace(decompress=lambda data: image)
  assert hostile.decode(codec, hostile.Case(kind, (2, 3), b"")).name == name


def test_other_errors_would_be_noticed():
  codec = types.SimpleNamespace(decompress=[].index)
  outcome = hostile.decode(codec, hostile.Case("truncated", (2, 3), b""))
  assert outcome.name == "other" and outcome.detail.startswith("ValueError")


def test_a_wrong_checksum_never_gives_a_picture(case):
  _, codec, forge = case
  for kind in hostile.DAMAGED:
    assert {outcome.name for outcome in _outcomes(codec, forge, kind)} == {"refused"}


@pytest.mark.parametrize(
  ("kind", "words"),
  [
    ("length that lies", ("truncated, or damaged length",)),
    ("absurd size", ("image too large",)),
    ("another model", ("compressed with another model",)),
  ],
)
def test_a_header_that_contradicts_is_named(case, kind, words):
  _, codec, forge = case
  for outcome in _outcomes(codec, forge, kind):
    assert outcome.detail.startswith(words)


def test_forged_files_end_in_bounded_memory(case):
  _, codec, forge = case
  codecs.forget_peak()
  for kind in hostile.FORGED:  # Warms up, so that memory no longer grows.
    list(_outcomes(codec, forge, kind, 10))
  before = codecs.peak()
  decoded = 0
  for kind in hostile.FORGED:
    found = list(_outcomes(codec, forge, kind))
    decoded += sum(outcome.name == "decoded" for outcome in found)
    # The same bytes give the same picture or the same message.
    assert found[:10] == list(_outcomes(codec, forge, kind, 10))
  assert 0 < decoded < _FILES * len(hostile.FORGED)
  assert codecs.peak() - before < 32 * 2**20


def test_escapes_are_what_they_claim(case):
  _, codec, forge = case
  size = (48, 64)
  data = forge.seal(size, b"\xff" * 4 * forge.symbols[size])
  latents = codec.latents(data)
  symbols = latents.z_hat if codec.config.parts.hyperprior else latents.y_hat
  np.testing.assert_array_equal(symbols, MAX_VALUE)


def test_large_sizes_are_refused_before_anything_is_allocated(case):
  _, codec, forge = case
  codecs.forget_peak()
  before = codecs.peak()
  for size in ((2**16, 2**16), (2**16, 2), (2**8 + 1, 2**8)):
    with pytest.raises(bmshj_minnen.BitstreamError, match="too large"):
      codec.decompress(forge.seal(size, b""))
  assert codecs.peak() - before < 4 * 2**20


@_ONE
def test_the_command_line_takes_the_limit(case, tmp_path):
  folder, codec, _ = case
  data = codec.compress(codecs.photograph(20, 30))
  (tmp_path / "a.tfci").write_bytes(data)
  data = writing.pack(codec.fingerprint, 2**16, 2**16, b"")
  (tmp_path / "b.tfci").write_bytes(data)
  arguments = [f"--model={folder}", f"--output_dir={tmp_path}", "--max_pixels=599", tmp_path]
  result = programs.run("decompress", *arguments, eager=True)
  assert result.returncode == 2  # Nothing was done.
  assert result.stderr.count("too large") == 2 and "at most 599 pixels" in result.stderr


@_ONE
def test_a_campaign_goes_on_where_it_was(case, tmp_path):
  _, codec, _ = case
  arguments = [codec], codecs.photograph(256, 256)
  whole = hostile_run.Campaign(tmp_path, 3, *arguments)
  assert whole.run(30) and whole.next == 30
  rest = hostile_run.Campaign(tmp_path, 3, *arguments)
  assert rest.next == 30
  assert rest.case(17) == whole.case(17)
  assert rest.run(50) and rest.next == 50
  assert "\n50 files of seed 3" in rest.table()
  with pytest.raises(ValueError, match="seed 3"):
    hostile_run.Campaign(tmp_path, 4, *arguments)
