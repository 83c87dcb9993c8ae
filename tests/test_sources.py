"""Photographs are read from paths, open files and buffers; anything else is refused by its type."""

import io
import os

import numpy as np
import PIL.Image
import pytest

from bmshj_minnen.images import image_files


def _kinds_of_sources(path):
  """Name -> arguments that all mean the same file."""
  content = path.read_bytes()
  at_its_end = io.BytesIO(content)
  at_its_end.seek(0, io.SEEK_END)
  return {
    "pathlib": (path,),
    "bytes": (os.fsencode(path),),
    "BytesIO": (io.BytesIO(content),),
    "BytesIO at its end": (at_its_end,),
    "open file": (path.open("rb"),),
    "open file without a buffer": (path.open("rb", buffering=0),),
    "descriptor": (os.fdopen(os.open(path, os.O_RDONLY), "rb"),),
    "pipe": (_Pipe(content),),
    "content": ("x", content),
    "content, bytearray": ("x", bytearray(content)),
    "content, memoryview": ("x", memoryview(content)),
    "content, array": (None, np.frombuffer(content, np.uint8)),
  }


class _Pipe(io.RawIOBase):
  """A stream that cannot be rewound, and has no name."""

  def __init__(self, content):
    self._file = io.BytesIO(content)

  def read(self, size=-1):
    return self._file.read(size)


def test_what_stands_for_a_file_is_read_like_it(tmp_path):
  path, rgb = tmp_path / "image.png", np.arange(105, dtype=np.uint8).reshape(5, 7, 3)
  image_files.write_image(str(path), rgb)
  for name, (source, *content) in _kinds_of_sources(path).items():
    read = image_files.read_image(source, content=content[0] if content else None, note=pytest.fail)
    np.testing.assert_array_equal(read, rgb, name)


def test_messages_name_what_was_handed_over(tmp_path):
  path = tmp_path / "image.png"
  path.write_bytes(b"junk")
  for source, name in (
    (os.fsencode(path), str(path)),
    (path, str(path)),
    (path.open("rb"), str(path)),
    (io.BytesIO(b"junk"), "a BytesIO"),
  ):
    with pytest.raises(image_files.ImageError) as caught:
      image_files.read_image(source)
    assert str(caught.value) == f"{name}: not a readable image (unknown format)"


@pytest.mark.parametrize(
  "source, content, words",
  [
    (None, None, "not from a value of type NoneType"),
    (3, None, "not from a value of type int"),
    (np.zeros([2, 2, 3], np.uint8), None, "not from a value of type ndarray"),
    (PIL.Image.new("RGB", (2, 2)), None, "not from a value of type Image"),
    (io.StringIO("text"), None, "open for text"),
    (b"\x89PNG\r\n\x1a\n\0\0", None, "content="),
    ("x", "text", "content must be bytes or a buffer, not a value of type str"),
    ("x", [1, 2], "content must be bytes or a buffer, not a value of type list"),
  ],
)
def test_what_is_no_file_is_refused_in_a_line_that_says_what_is(source, content, words):
  with pytest.raises(TypeError, match=words) as caught:
    image_files.read_image(source, content=content)
  assert "\n" not in str(caught.value)
  assert content or isinstance(source, bytes) or "a path, a file" in str(caught.value)
