"""The study that exchanges files between runtimes: its results, and the counts in its tables."""

import numpy as np
import pytest

import bmshj_minnen
from bmshj_minnen.psnr import psnr
from experiments.exactness import exchanged, runtimes
from tests import codecs

pytest.importorskip("onnxruntime")


def test_both_runtimes_find_the_latents_of_each_others_files(tmp_path):
  path = str(tmp_path / "photo.png")
  bmshj_minnen.write_image(path, codecs.photograph(50, 60))
  loaded = {runtime: runtimes.load(runtime, "default") for runtime in runtimes.RUNTIMES}
  written, read = (
    {runtime: function(codec, path, *rest) for runtime, codec in loaded.items()}
    for function, rest in (
      (exchanged.write_files, ([10.0, 90.0], tmp_path)),
      (exchanged.read_files, (tmp_path,)),
    )
  )
  for row in exchanged.read_rows(written, read):
    assert row["files"] == row["latents equal"] == 1
    assert row["largest difference"] <= 1
  for row in exchanged.written_rows(written, read):
    (name,) = (a["file"] for a in written[row["writer"]] if a["quality"] == row["quality"])
    data = (tmp_path / name).read_bytes()
    picture = loaded[row["writer"]].decompress(data)
    assert row["mean bytes"] == len(data) and row["mean bpp"] == 8 * len(data) / 3000
    assert row["mean PSNR"] == pytest.approx(psnr(codecs.photograph(50, 60), picture))


def test_differences_are_counted():
  one, other = np.zeros([4, 5, 3], np.uint8), np.zeros([4, 5, 3], np.uint8)
  other[0, 0] = 255, 1, 0
  for pair in ((one, other), (other, one)):
    assert exchanged.compare(*pair) == {"samples": 60, "differing": 2, "largest": 255}
  file = {"image": "a", "quality": 10.0, "file": "a.tfci", "bytes": 9, "pixels": 20, "latents": "x"}
  found = {"latents": "y", "psnr": 30.0, **exchanged.compare(one, other)}
  (row,) = exchanged.read_rows({"writer": [file]}, {"reader": {"a.tfci": found}})
  assert (row["latents equal"], row["of a million"]) == (0, pytest.approx(1e6 / 30))
