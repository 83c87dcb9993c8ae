"""JPEG files without their end marker are read if nothing else is missing, otherwise refused."""

import io

import numpy as np
import PIL.Image
import pytest

from bmshj_minnen.images import image_files, jpeg
from tests import codecs

_PICTURES = {
  "photograph": codecs.photograph(48, 72),
  "small": codecs.photograph(20, 30),
  "noise": np.random.default_rng(0).integers(0, 256, [40, 40, 3], dtype=np.uint8),
  "grey": codecs.photograph(48, 72)[..., 0],
}


def _saved(name, **options):
  buffer = io.BytesIO()
  PIL.Image.fromarray(_PICTURES[name]).save(buffer, "JPEG", **options)
  assert buffer.getvalue().endswith(b"\xff\xd9")
  return buffer.getvalue()


@pytest.mark.parametrize("name", _PICTURES)
@pytest.mark.parametrize(
  "options",
  [{"progressive": True}, {"progressive": True, "quality": 95}, {}, {"restart_marker_blocks": 1}],
)
def test_files_that_lack_only_the_end_are_read(name, options):
  content = _saved(name, **options)
  assert jpeg.with_end(content) is content
  assert jpeg.with_end(content + b"behind it") == content + b"behind it"
  expected = image_files.read_image("x", content=content)
  for size in (len(content) - 2, len(content) - 1):
    read = image_files.read_image("x", content=content[:size], note=pytest.fail)
    np.testing.assert_array_equal(read, expected)


@pytest.mark.parametrize("name", _PICTURES)
def test_progressive_files_that_lack_more_are_refused(name):
  """Either a byte of the last scan is missing, or the whole last scan."""
  content = _saved(name, progressive=True)[:-2]
  last = content.rfind(b"\xff\xda")
  for size in (
    *range(len(content) - 20, len(content)),
    *range(20, last, 97),
    *range(last, last + 12),
  ):
    assert jpeg.with_end(content[:size]) == content[:size], size
  for size in (len(content) - 1, len(content) - 20, last, last + 5, last // 2):
    with pytest.raises(image_files.ImageError, match="not a readable image"):
      image_files.read_image("x", content=content[:size])
