"""A region of a picture is what the whole picture has there."""

import numpy as np
import pytest

import bmshj_minnen
from bmshj_minnen.coding import tiling
from tests import codecs, programs

_SIZE = (150, 230)


@pytest.fixture(scope="module")
def coded():
  """A codec, a file and its whole picture."""
  codec = bmshj_minnen.load("joint-mse")
  data = codec.compress(codecs.photograph(*_SIZE))
  return codec, data, codec.decompress(data)


# In a corner, across units, at the far end, a single pixel, and all.
_REGIONS = [(0, 0, 30, 20), (37, 61, 90, 50), (199, 141, 31, 9), (100, 100, 1, 1), (0, 0, 230, 150)]


@pytest.mark.parametrize("region", _REGIONS)
@pytest.mark.parametrize("memory", [tiling.DEFAULT_MEMORY, 1])
def test_a_region_is_that_part_of_the_whole(region, memory, coded):
  codec, data, whole = coded
  codec.memory = memory
  left, top, width, height = region
  part = codec.decompress(data, region=region)
  expected = whole[top : top + height, left : left + width]
  assert part.shape == expected.shape and part.dtype == np.uint8
  difference = np.abs(part.astype(int) - expected)
  assert difference.max() <= 1 and (difference > 0).sum() <= 1 + 1e-3 * difference.size


def test_g_s_sees_no_more_than_it_needs(coded, monkeypatch):
  codec, data, _ = coded
  codec.memory = tiling.DEFAULT_MEMORY
  transforms, seen = codec._transforms._transforms, []
  g_s = transforms.g_s
  monkeypatch.setattr(transforms, "g_s", lambda y: (seen.append(y.shape), g_s(y))[1])
  codec.decompress(data, region=(96, 64, 16, 16))
  ((height, width, _),) = seen
  field = transforms.fields["g_s"]
  assert height == width == 1 + field.before + field.after < 10


@pytest.mark.parametrize("region", [(0, 0, 0, 5), (-1, 0, 5, 5), (226, 0, 5, 5), (0, 146, 5, 5)])
def test_other_regions_are_refused(region, coded):
  codec, data, _ = coded
  with pytest.raises(ValueError, match=r"is not within 230x150"):
    codec.decompress(data, region=region)
  for other in ((0.5, 0, 5, 5), (0, 0, 5), "0,0,5,5"):
    with pytest.raises(TypeError, match="four whole numbers, left, top, width and height, not "):
      codec.decompress(data, region=other)


def test_the_program_and_the_portable_codec(coded, tmp_path):
  _, data, whole = coded
  (tmp_path / "a.tfci").write_bytes(data)
  paths = (tmp_path / "a.tfci", tmp_path / "part.png")
  result = programs.run("decompress", "--runtime=onnx", "--region=37,61,90,50", *paths)
  assert result.returncode == 0, result.stderr
  part = bmshj_minnen.read_image(str(paths[1])).astype(int)
  assert np.abs(part - whole[61:111, 37:127]).max() <= 1
  for region, text in (("1,2,3", "left, top, width and height"), ("0,0,500,5", "not within")):
    flags = ("--runtime=onnx", "--overwrite", f"--region={region}")
    result = programs.run("decompress", *flags, *paths)
    assert result.returncode == 1 and text in result.stderr
