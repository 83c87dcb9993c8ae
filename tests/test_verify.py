"""Archives with damaged, exchanged, outdated and missing files: `verify` names only these."""

import json
import os
import shutil

import numpy as np
import pytest

import bmshj_minnen
from bmshj_minnen.command_line import archive_contents
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
  names = ("small/a.tfci", "small/b/a.tfci", "small/c.tfci", "small/a.png.tfci")
  for name in ("photos/a.png", "photos/b/a.jpg", "photos/c.txt", *names):
    (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
    (tmp_path / name).touch()
  first, second = str(tmp_path / "photos/a.png"), str(tmp_path / "photos/b/a.jpg")
  expected = dict(zip([str(tmp_path / name) for name in names], (first, second, None, first)))
  for path, recursive in (("small", True), ("small/**/*.tfci", False)):
    contents = archive_contents.find([f"{tmp_path}/{path}"], recursive, str(tmp_path / "photos"))
    assert sorted(contents.files) == sorted(expected)
    assert contents.sources == {name: source for name, source in expected.items() if source}
    assert not contents.lost


def test_photographs_that_were_copied_are_verified(tmp_path):
  photos, small = tmp_path / "photos", tmp_path / "small"
  (photos / "deep").mkdir(parents=True)
  image_files.write_image(str(photos / "large.png"), codecs.photograph(40, 48))
  for name in ("flat.png", "deep/flat.png"):  # A few bytes, fewer than any compressed file.
    image_files.write_image(str(photos / name), np.zeros((40, 48, 3), np.uint8))
  flags = ("--runtime=onnx", "--recursive", "--keep_smaller", f"--output_dir={small}")
  for update in ((), ("--update",)):
    assert programs.run("compress", *flags, *update, photos).returncode == 0
    bad, _, result = _verify(tmp_path, f"--sources={photos}")
    assert not bad and "verified 3 of 3 files" in result.stdout
    if not update:  # Without a manifest, another picture of that name is no copy.
      content = (small / "flat.png").read_bytes()
      (small / "flat.png").write_bytes(b"another")
      assert set(_verify(tmp_path, f"--sources={photos}")[0]) == {"photos/flat.png"}
      (small / "flat.png").write_bytes(content)
  assert "verified 3 of 3 files" in _verify(tmp_path)[2].stdout  # By the manifest alone.
  back = programs.run("decompress", "--runtime=onnx", f"--output_dir={tmp_path / 'back'}", small)
  assert "copied, not compressed: 1, such as" in back.stderr
  (small / "large.tfci").unlink()
  (photos / "large.png").unlink()
  with open(small / "deep" / "flat.png", "ab") as file:
    file.write(b"more")
  (small / "flat.png").unlink()
  bad, _, result = _verify(tmp_path)
  assert "verified 0 of 3 files" in result.stdout and "3 failed" in result.stdout
  assert {name: bad[name][:16] for name in bad} == {
    "small/flat.png": "is in the manife",
    "small/large.tfci": "is in the manife",
    "small/deep/flat.png": "is not the file ",
  }
  bad, _, _ = _verify(tmp_path, f"--sources={photos}")
  assert bad["photos/flat.png"] == "has no compressed file"


def test_a_damaged_manifest_is_an_error(copy):
  (copy / "small" / "manifest.csv").write_bytes(b"\xff")
  bad, _, _ = _verify(copy)
  assert set(bad) == {"small/manifest.csv"} and "is damaged, or" in bad["small/manifest.csv"]


def test_files_of_the_current_folder(archive):
  for path in ("0.tfci", ".", "*.tfci"):
    result = programs.run("verify", path, cwd=archive / "small")
    assert result.returncode == 0, result.stderr


def test_without_recursion_photographs_in_subfolders_are_not_missed(archive, tmp_path):
  photos = archive / "photos"
  assert (
    programs.run("compress", "--runtime=onnx", f"--output_dir={tmp_path}", photos).returncode == 0
  )
  result = programs.run("verify", f"--sources={photos}", tmp_path)
  assert result.returncode == 0 and f"verified {_COUNT // 2} of {_COUNT // 2} " in result.stdout


def test_files_that_are_named_stand_for_themselves(archive):
  named = [archive / "small" / name for name in ("0.tfci", "2.tfci")]
  result = programs.run("verify", f"--sources={archive / 'photos'}", *named)
  assert result.returncode == 0 and "verified 2 of 2 files" in result.stdout


def test_files_whose_photographs_were_deleted_are_good_if_the_manifest_lists_them(tmp_path):
  photos, small = tmp_path / "photos", tmp_path / "small"
  photos.mkdir()
  for name in ("a", "b"):
    image_files.write_image(str(photos / f"{name}.png"), codecs.photograph(40, 48))
  flags = ("--runtime=onnx", f"--output_dir={small}")
  assert programs.run("compress", *flags, "--update", photos).returncode == 0
  (photos / "a.png").unlink()
  bad, lines, result = _verify(tmp_path, f"--sources={photos}")
  assert not bad and len(lines) == 2
  assert f"photographs are gone: 1, such as {small / 'a.tfci'}" in result.stderr
  (photos / "b.png").unlink()  # More likely the wrong folder, or one that is not mounted.
  result = programs.run("verify", f"--sources={photos}", small)
  assert result.returncode == 1 and "contains no photograph" in result.stderr
