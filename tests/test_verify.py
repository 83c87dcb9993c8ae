"""Archives with damaged, exchanged, outdated and missing files: `verify` names only these."""

import json
import os
import shutil

import numpy as np
import pytest

import bmshj_minnen
from bmshj_minnen.command_line import verification
from bmshj_minnen.images import image_files
from tests import altered, codecs, programs

_COUNT = 6


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
  """A folder with `photos`, half of them in a subfolder, and `small`."""
  folder = tmp_path_factory.mktemp("archive")
  rng = np.random.default_rng(0)
  (folder / "photos" / "deep").mkdir(parents=True)
  for i in range(_COUNT):
    place = folder / "photos" / ("deep" if i % 2 else "") / f"{i}.png"
    image = codecs.photograph(40, 48)
    image = np.roll(image, int(rng.integers(1, 20)), 0)
    image_files.write_image(str(place), image[::-1] if i == 4 else image)
    os.utime(place, (1_000_000_000 + 100 * i,) * 2)
  # The shipped model in ONNX Runtime, which starts at once.
  flags = ("--runtime=onnx", "--recursive", f"--output_dir={folder / 'small'}")
  assert programs.run("compress", *flags, folder / "photos").returncode == 0
  return folder


@pytest.fixture
def copy(archive, tmp_path):
  """A copy whose files keep their times."""
  return shutil.copytree(archive, tmp_path / "copy")


def _verify(folder, *flags):
  report = folder / "log.jsonl"
  command = ("--recursive", f"--log={report}", *flags, folder / "small")
  result = programs.run("verify", *command)
  lines = [json.loads(line) for line in report.read_text().splitlines()]
  bad = {line["source"]: line["error"] for line in lines if not line["ok"]}
  errors = {line.split(": ")[1] for line in result.stderr.splitlines() if "error" in line}
  assert errors == set(bad) and result.returncode == int(bool(bad))
  return {os.path.relpath(path, folder): error for path, error in bad.items()}, lines, result


def test_a_good_archive(archive):
  for flags in ((), ("--mode=decode", "--runtime=onnx"), (f"--sources={archive / 'photos'}",)):
    bad, lines, result = _verify(archive, *flags)
    assert not bad and f"verified {_COUNT} of {_COUNT} files" in result.stdout
    assert {line["width"] for line in lines} == {48} and len(lines) == _COUNT
    assert all(line["model"] == "joint-mse" and line["bytes"] > 20 for line in lines)


def test_every_wrong_file_is_found_in_the_mode_that_can(copy):
  small, photos = copy / "small", copy / "photos"
  damaged = small / "0.tfci"
  times = os.stat(damaged)
  damaged.write_bytes(altered.flipped(damaged.read_bytes(), "checksum"))
  os.utime(damaged, ns=(times.st_atime_ns, times.st_mtime_ns))
  assert set(_verify(copy)[0]) == {"small/0.tfci"}
  # Two files are exchanged, but for their times.
  first, second = small / "2.tfci", small / "4.tfci"
  contents = first.read_bytes(), second.read_bytes()
  for path, content in zip((second, first), contents):
    times = os.stat(path)
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
  os.utime(photos / "deep" / "1.png")  # Changed since.
  (small / "deep" / "3.tfci").unlink()
  (small / "other.tfci").write_bytes(contents[0])
  sources = f"--sources={photos}"
  by_time = {
    "small/0.tfci": "checksum",
    "small/deep/1.tfci": "their times differ",
    "small/other.tfci": "no photograph",
    "photos/deep/3.png": "no compressed file",
  }
  by_pixels = {**by_time, "small/2.tfci": "PSNR of", "small/4.tfci": "PSNR of"}
  for flags, expected in (
    ((sources,), by_time),
    ((sources, "--mode=decode", "--runtime=onnx"), by_pixels),
  ):
    bad, _, _ = _verify(copy, *flags)
    assert set(bad) == set(expected)
    assert all(text in bad[name] for name, text in expected.items()), bad


def test_figures_of_the_report_are_those_of_the_files(archive):
  _, lines, _ = _verify(
    archive, f"--sources={archive / 'photos'}", "--mode=decode", "--runtime=onnx"
  )
  for line in lines:
    with open(line["source"], "rb") as file:
      data = file.read()
    x_hat = bmshj_minnen.load_for(data).decompress(data).astype(float)
    x = bmshj_minnen.read_image(line["photograph"])
    psnr = 10 * np.log10(255**2 / np.mean((x - x_hat) ** 2))
    assert line["psnr_db"] == pytest.approx(psnr, abs=0.02) and line["bytes"] == len(data)


def test_nothing_to_verify_is_one_line(tmp_path):
  for arguments, text in (((), "give files"), ((tmp_path,), "no file ends in .tfci")):
    result = programs.run("verify", *arguments)
    assert result.returncode == 1 and text in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_places_are_those_of_compress(tmp_path):
  for name in ("photos/a.png", "photos/b/a.jpg", "photos/c.txt"):
    (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
    (tmp_path / name).touch()
  root = str(tmp_path / "small")
  names = ("a.tfci", "b/a.tfci", "c.tfci", "a.png.tfci", "b/a.png.tfci")
  paths = [f"{root}/{name}" for name in names]
  found = verification.sources_of(paths, [root], str(tmp_path / "photos"))
  first, second = str(tmp_path / "photos/a.png"), str(tmp_path / "photos/b/a.jpg")
  assert found == {paths[0]: first, paths[1]: second, paths[3]: first}
