"""The command line: what it prints, what it exits with, what it leaves on disk."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import bmshj_minnen
from tests import codecs

_ROOT = pathlib.Path(__file__).parent.parent


def _run(program, *args, cwd=_ROOT):
  environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
  # The binaries silence TensorFlow's start-up notices by themselves.
  environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
  return subprocess.run(
    [sys.executable, "-m", f"bmshj_minnen.{program}", *map(str, args)],
    capture_output=True,
    text=True,
    cwd=cwd,
    env=environment,
    check=False,
  )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp("binaries")
  codecs.make_codec("joint", folder)
  codecs.make_codec("autoregressive", folder)
  bmshj_minnen.write_image(str(folder / "in.png"), codecs.photograph(180, 200))
  result = _run("compress", f"--model={folder}/joint", folder / "in.png", folder / "good.tfci")
  assert result.returncode == 0, result.stderr
  return folder


def test_the_command_line_writes_what_the_library_returns(folder):
  data = bmshj_minnen.load(folder / "joint").compress(codecs.photograph(180, 200))
  assert (folder / "good.tfci").read_bytes() == data


def test_verbose_round_trip(folder):
  compressed, back = folder / "v.tfci", folder / "v.png"
  model = f"--model={folder}/joint"
  result = _run("compress", model, "--verbose", folder / "in.png", compressed)
  assert result.returncode == 0, result.stderr
  size = compressed.stat().st_size
  assert f"{size} ({8 * size / (180 * 200):.4f} bpp)" in result.stdout
  for word in ("PSNR", "MS-SSIM", "estimated bits", "analysis", "entropy coding"):
    assert word in result.stdout
  original = f"--original={folder}/in.png"
  result = _run("decompress", model, "--verbose", original, compressed, back)
  assert result.returncode == 0, result.stderr
  expected = bmshj_minnen.load(folder / "joint").decompress(compressed.read_bytes())
  np.testing.assert_array_equal(bmshj_minnen.read_image(back), expected)
  for word in ("PSNR", "entropy decoding", "synthesis"):
    assert word in result.stdout


_DAMAGE = {
  "empty": (lambda data: b"", "empty"),
  "truncated": (lambda data: data[: len(data) // 2], "truncated"),
  "flipped": (lambda data: data[:-3] + bytes([data[-3] ^ 8]) + data[-2:], "checksum"),
  "trailing": (lambda data: data + b"\x00", "trailing"),
  "png": (lambda data: b"\x89PNG\r\n\x1a\n" + data, "not a compressed image"),
}


@pytest.mark.parametrize("damage", [*_DAMAGE, "wrong model", "missing"])
def test_bad_files_give_one_line_and_nothing_else(damage, folder, tmp_path):
  model, source = "joint", tmp_path / "bad.tfci"
  data = (folder / "good.tfci").read_bytes()
  if damage == "wrong model":
    model, match = "autoregressive", "another model"
    source.write_bytes(data)
  elif damage == "missing":
    match = "No such file"
  else:
    change, match = _DAMAGE[damage]
    source.write_bytes(change(data))
  target = tmp_path / "out" / "back.png"
  target.parent.mkdir()
  result = _run("decompress", f"--model={folder}/{model}", source, target)
  assert result.returncode == 1
  assert result.stdout == ""
  assert result.stderr.count("\n") == 1 and match in result.stderr
  assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize(
  ("args", "match"),
  [
    (["--model=nowhere", "in.png", "x.tfci"], "not a trained model"),
    (["--model=joint", "nothing.png", "x.tfci"], "no such file"),
    (["--model=joint", "good.tfci", "x.tfci"], "not a readable image"),
    (["--model=joint", "in.png", "no/such/folder/x.tfci"], "No such file"),
  ],
)
def test_bad_arguments_of_compress(args, match, folder):
  result = _run("compress", *args, cwd=folder)
  assert result.returncode == 1
  assert result.stderr.count("\n") == 1 and match in result.stderr
  assert not (folder / "x.tfci").exists()


def test_train_needs_no_flags_but_takes_them(tmp_path):
  flags = ["--lambda=0.02", "--steps=2", "--save_every=1", "--num_filters=4"]
  flags += ["--latent_channels=6", "--crop=64", "--batch=1"]
  result = _run("train", *flags, cwd=tmp_path)
  assert result.returncode == 0, result.stderr
  assert "Trained: models/joint-0.02" in result.stdout
  assert "--train_glob" in result.stderr  # How to name better data.
  assert (tmp_path / "models" / "joint-0.02" / "coder.npz").exists()


def test_train_refuses_in_one_line(tmp_path):
  result = _run("train", "--crop=100", cwd=tmp_path)
  assert result.returncode == 1
  assert result.stderr == "error: the crop must be a multiple of 64, not 100\n"
  result = _run("train", "--train_glob=nothing/*.png", cwd=tmp_path)
  assert result.returncode == 1
  assert result.stderr.splitlines()[-1] == "error: no file matches nothing/*.png"
