"""The output of `info`, against the fields in the layout of the format."""

import json
import subprocess
import sys

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

import bmshj_minnen
from bmshj_minnen import info
from bmshj_minnen.format import fields
from bmshj_minnen.format.metadata import with_metadata
from tests import altered, codecs


@pytest.fixture(scope="module")
def file(tmp_path_factory):
  folder = tmp_path_factory.mktemp("info")
  codec, _ = codecs.make_codec("joint", folder)
  path = folder / "photo.tfci"
  path.write_bytes(codec.compress(codecs.photograph(48, 80)))
  return path


def _run(capsys, *paths, as_json=False):
  flags.FLAGS.mark_as_parsed()
  with pytest.raises(SystemExit) as exit_, flagsaver.flagsaver(json=as_json):
    info.main(["info", *map(str, paths)])
  captured = capsys.readouterr()
  return exit_.value.code, captured.out, captured.err


def test_a_good_file(file, capsys):
  data = file.read_bytes()
  values = fields.unpack(data)
  head, length = fields.header_size(values["version"]), values["payload_size"]
  code, out, err = _run(capsys, file)
  assert (code, err) == (0, "")
  assert out.splitlines() == [
    str(file),
    "  format version   1",
    f"  model            {values['fingerprint'].hex()}",
    "  size             80x48",
    f"  bytes            {len(data)} ({head} header, {length} payload)",
    f"  bits per pixel   {8 * len(data) / (48 * 80):.4f}",
    f"  checksum         {values['checksum'].hex()} ok",
  ]
  assert (values["width"], values["height"], head + length) == (80, 48, len(data))


def test_metadata_are_counted(file, tmp_path, capsys):
  data, path = file.read_bytes(), tmp_path / "kept.tfci"
  head = fields.header_size(fields.ONE_RATE)
  for exif, xmp, words in [(b"E" * 30, b"X" * 7, "30 EXIF, 7 XMP"), (b"", b"X" * 7, "7 XMP")]:
    path.write_bytes(with_metadata(data, exif, xmp))
    size = fields.header_size(fields.METADATA) + len(exif + xmp)
    code, out, err = _run(capsys, path)
    assert (code, err) == (0, "")
    sizes = f"{head} header, {len(data) - head} payload, {size} metadata"
    counted = f"{len(data) + size} ({sizes}: {words})"
    assert out.splitlines()[4] == f"  bytes            {counted}"
  facts = json.loads(_run(capsys, path, as_json=True)[1])
  assert [facts[f"{kind}_bytes"] for kind in ("metadata", "exif", "xmp")] == [23, 0, 7]
  path.write_bytes(path.read_bytes().replace(b"X", b"Y"))
  code, out, err = _run(capsys, path)
  assert (code, out) == (1, "") and err.startswith(f"error: {path}: damaged metadata")


def test_a_wrong_checksum_is_shown(file, tmp_path, capsys):
  right = fields.unpack(file.read_bytes())["checksum"]
  data = altered.flipped(file.read_bytes(), "checksum")
  (tmp_path / "damaged.tfci").write_bytes(data)
  code, out, err = _run(capsys, tmp_path / "damaged.tfci")
  assert (code, err) == (1, "")
  assert f"{fields.unpack(data)['checksum'].hex()} wrong: should be {right.hex()}" in out


def test_bad_files_cost_one_line_and_the_others_nothing(file, tmp_path, capsys):
  data = file.read_bytes()
  bad = {
    "empty": (b"", "empty"),
    "short": (data[:15], "truncated header"),
    "truncated": (data[:-1], "truncated"),
    "longer": (data + b"x", "trailing bytes"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(30), "not a compressed image"),
    "version": (altered.with_field(data, "version", b"\7"), "another format version"),
  }
  for name, (content, _) in bad.items():
    (tmp_path / name).write_bytes(content)
  code, out, err = _run(
    capsys, *(tmp_path / name for name in bad), tmp_path / "missing", tmp_path, file
  )
  assert code == 1
  lines = err.splitlines()
  words = [*(words for _, words in bad.values()), "No such file", "Is a directory"]
  paths = [*(tmp_path / name for name in bad), tmp_path / "missing", tmp_path]
  assert len(lines) == len(words)
  for line, path, word in zip(lines, paths, words):
    assert line.startswith(f"error: {path}: ") and word in line
  assert out.splitlines()[0] == str(file) and "checksum" in out


@pytest.mark.parametrize("quality", [1, 37.5])
def test_models_that_ship_are_named(tmp_path, capsys, quality):
  path = tmp_path / "photo.tfci"
  pixels = np.zeros((20, 30, 3), np.uint8)
  path.write_bytes(bmshj_minnen.load().compress(pixels, quality=quality))
  code, out, err = _run(capsys, path)
  assert (code, err) == (0, "")
  (line,) = [line for line in out.splitlines() if line.startswith("  model")]
  assert line.split()[2:] == ["joint-mse"]
  (line,) = [line for line in out.splitlines() if line.startswith("  quality")]
  assert line.split()[1:] == [str(quality)]


def test_json_is_an_object_a_line(file, tmp_path, capsys):
  data = file.read_bytes()
  (tmp_path / "bad").write_bytes(data[:-1])
  (tmp_path / "wrong").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
  code, out, err = _run(capsys, file, tmp_path / "bad", tmp_path / "wrong", as_json=True)
  assert code == 1 and len(err.splitlines()) == 1
  good, wrong = map(json.loads, out.splitlines())
  assert good == {
    "file": str(file),
    "format_version": 1,
    "fingerprint": fields.unpack(data)["fingerprint"].hex(),
    "model": None,
    "width": 80,
    "height": 48,
    "quality": None,
    "bytes": len(data),
    "header_bytes": fields.header_size(fields.ONE_RATE),
    "payload_bytes": fields.unpack(data)["payload_size"],
    "metadata_bytes": 0,
    "exif_bytes": 0,
    "xmp_bytes": 0,
    "bits_per_pixel": 8 * len(data) / (48 * 80),
    "checksum": fields.unpack(data)["checksum"].hex(),
    "intact": True,
  }
  assert wrong == {**good, "file": str(tmp_path / "wrong"), "intact": False}


def test_standard_input_is_read_and_a_reader_may_go(file):
  """The output has more lines than a pipe can hold, and the reader takes one."""
  program = [sys.executable, "-m", "bmshj_minnen.info", "-"] + [str(file)] * 1000
  with open(file, "rb") as stdin:
    process = subprocess.Popen(
      program, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
  assert process.stdout.readline() == "-\n"
  process.stdout.close()
  assert process.stderr.read() == ""
  assert process.wait() == 141
