"""Colours, turns and cuts of AVIF and HEIC count at any part of a picture."""

import dataclasses
import importlib.util
import io
import struct

import numpy as np
import PIL.Image
import pytest

from bmshj_minnen.images import image_files
from experiments.reliability import heif_files, icc_files, judging, mutated_boxes

_PICTURE = np.concatenate([judging.picture(), judging.picture()[:32, ::-1]])
_SIZE = 64, 96  # Width and height; parts of a grid need at least 64.
_SRGB = heif_files.nclx(1, 13)
_P3_PROFILE = icc_files.matrix_profile(icc_files.P3, [icc_files.power(2.2)] * 3)
_WITH_HEIF = importlib.util.find_spec("pillow_heif") is not None
_FORMATS = [
  "AVIF",
  pytest.param("HEIF", marks=pytest.mark.skipif(not _WITH_HEIF, reason="needs pillow-heif")),
]
_OF_AVIF, _OF_HEIF = (b"grid",), (b"grid", b"iden", b"iovl")


def _read(*items):
  return image_files.read_image("x", content=heif_files.file_of(*items), note=pytest.fail)


def _refuse(items, words):
  with pytest.raises(image_files.ImageError, match=words) as caught:
    image_files.read_image("x", content=heif_files.file_of(*items))
  assert "\n" not in str(caught.value)


def _kinds(image_format):
  return _OF_AVIF if image_format == "AVIF" else _OF_HEIF


@pytest.fixture(scope="module")
def coded():
  """Format -> a coded picture."""
  formats = ("AVIF", "HEIF") if _WITH_HEIF else ("AVIF",)
  return {name: heif_files.coded(_PICTURE, name) for name in formats}


@pytest.mark.parametrize("image_format", _FORMATS)
@pytest.mark.parametrize("transfer, name", [(16, "PQ"), (18, "HLG")])
def test_hdr_of_any_part_is_refused(coded, image_format, transfer, name):
  part, hdr = coded[image_format], heif_files.nclx(9, transfer, 9)
  _refuse([part.with_properties(hdr)], f"HDR picture .{name}")
  for kind in _kinds(image_format):
    whole = heif_files.derived(kind, _SIZE)
    _refuse([whole.with_properties(hdr), part], name)
    _refuse([whole, part.with_properties(hdr)], name)
    _refuse([whole.with_properties(_SRGB), part.with_properties(hdr)], name)

  if image_format == "HEIF":  # Its parts may have parts.
    middle = dataclasses.replace(heif_files.derived(b"iden", _SIZE), inputs=(3,))
    _refuse([heif_files.derived(b"grid", _SIZE), middle, part.with_properties(hdr)], name)


@pytest.mark.parametrize("image_format", _FORMATS)
@pytest.mark.parametrize("colours", [heif_files.nclx(12, 13), heif_files.profile(_P3_PROFILE)])
def test_colours_of_parts_are_those_of_the_whole(coded, image_format, colours):
  part = coded[image_format]
  plain, expected = _read(part.with_properties(_SRGB)), _read(part.with_properties(colours))
  assert np.abs(expected.astype(int) - plain).max() > 8
  for kind in _kinds(image_format):
    whole = heif_files.derived(kind, _SIZE)
    np.testing.assert_array_equal(_read(whole.with_properties(colours), part), expected)
    content = heif_files.file_of(whole, part.with_properties(colours))
    notes = []
    np.testing.assert_array_equal(
      image_files.read_image("x", note=notes.append, content=content), expected
    )
    # Pillow takes the matrix of such AVIF from the coded picture, which may have another one.
    is_told = image_format == "AVIF" and b"nclx" in colours
    assert [note for note in notes if "at its parts alone" in note] == notes
    assert len(notes) == is_told


@pytest.mark.parametrize("image_format", _FORMATS)
def test_parts_that_contradict_each_other_are_refused(coded, image_format):
  part, other = coded[image_format], heif_files.nclx(12, 13)
  whole = heif_files.derived(b"grid", _SIZE)
  _refuse([whole.with_properties(_SRGB), part.with_properties(other)], "different colours")
  profiles = [heif_files.profile(_P3_PROFILE), heif_files.profile(_P3_PROFILE + b"\0")]
  _refuse(
    [whole.with_properties(profiles[0]), part.with_properties(profiles[1])], "different colours"
  )
  two = heif_files.derived(b"grid", (128, 96), 2)
  _refuse([two, part.with_properties(_SRGB), part.with_properties(other)], "different colours")
  # Decoders use the matrix of the whole.
  content = heif_files.file_of(
    whole.with_properties(heif_files.nclx(1, 13, 1)), part.with_properties(_SRGB)
  )
  notes = []
  read = image_files.read_image("x", content=content, note=notes.append)
  np.testing.assert_array_equal(read, _read(part.with_properties(heif_files.nclx(1, 13, 1))))
  assert len(notes) == 1 and "different matrices" in notes[0]
  # 2 means unknown, and contradicts nothing.
  unknown = heif_files.nclx(2, 2, 6)
  np.testing.assert_array_equal(
    _read(whole.with_properties(other), part.with_properties(unknown)),
    _read(part.with_properties(other)),
  )


@pytest.mark.parametrize("image_format", _FORMATS)
def test_that_no_part_has_colours_is_said(coded, image_format):
  part, notes = coded[image_format], []
  content = heif_files.file_of(heif_files.derived(b"grid", _SIZE), part)
  read = image_files.read_image("x", content=content, note=notes.append)
  np.testing.assert_array_equal(read, _read(part.with_properties(_SRGB)))
  assert len(notes) == 1 and "says nothing of its colours" in notes[0]


_TURN, _ROWS, _COLUMNS = heif_files.irot(1), heif_files.imir(0), heif_files.imir(1)
_CUT = heif_files.clap(20, 32)
# Properties in the order of the file -> the pixels, by their definition.
_CHANGES = [
  ((_TURN,), np.rot90),
  ((heif_files.irot(2),), lambda x: x[::-1, ::-1]),
  ((_ROWS,), lambda x: x[::-1]),
  ((_COLUMNS,), lambda x: x[:, ::-1]),
  ((_CUT,), lambda x: x[32:64, 22:42]),
  ((_CUT, _TURN, _COLUMNS), lambda x: np.rot90(x[32:64, 22:42])[:, ::-1]),
  ((_TURN, _ROWS), lambda x: np.rot90(x)[::-1]),
  ((_ROWS, _TURN), lambda x: np.rot90(x[::-1])),
  ((_TURN, _CUT), lambda x: np.rot90(x)[16:48, 38:58]),
  ((_ROWS, _ROWS), lambda x: x),
]


@pytest.mark.parametrize("image_format", _FORMATS)
@pytest.mark.parametrize("properties, change", _CHANGES)
def test_turns_and_cuts_are_done_in_their_order(coded, image_format, properties, change):
  part = coded[image_format].with_properties(_SRGB)
  stored = _read(part)
  expected = change(stored)
  np.testing.assert_array_equal(_read(part.with_properties(*properties)), expected)
  for kind in _kinds(image_format):
    whole = heif_files.derived(kind, _SIZE).with_properties(_SRGB, *properties)
    np.testing.assert_array_equal(_read(whole, part), expected)
    whole = heif_files.derived(kind, expected.shape[1::-1]).with_properties(_SRGB)
    if image_format == "AVIF":  # Its decoder does not change parts.
      _refuse([whole, part.with_properties(*properties)], "parts are cut or turned")
    else:
      np.testing.assert_array_equal(_read(whole, part.with_properties(*properties)), expected)


def test_avif_made_otherwise_than_as_a_grid_is_named(coded):
  part = coded["AVIF"].with_properties(_SRGB)
  for kind in (b"iden", b"iovl"):
    _refuse([heif_files.derived(kind, _SIZE), part], "otherwise than as a grid")


@pytest.mark.parametrize("image_format", _FORMATS)
def test_a_property_that_must_be_known_and_is_not_is_named(coded, image_format):
  part = coded[image_format].with_properties(_SRGB)
  stranger = part.with_properties(_TURN)
  content = heif_files.file_of(stranger).replace(b"irot", b"tilt")
  with pytest.raises(image_files.ImageError, match="'tilt'"):
    image_files.read_image("x", content=content)


def _aperture(*values):
  return heif_files.box(b"clap", struct.pack(">4IiIiI", *values))


def test_numbers_of_an_aperture_are_fractions(coded):
  part = coded["AVIF"].with_properties(_SRGB)
  # The centre: 32 + 3 and 48 - 4.
  cut = part.with_properties(_aperture(20, 1, 24, 2, 6, 2, -4, 1))
  np.testing.assert_array_equal(_read(cut), _read(part)[38:50, 25:45])


@pytest.mark.parametrize(
  "values",
  [
    [20, 1, 12, 1, 1, 2, 0, 1],  # Half a pixel.
    [20, 1, 12, 1, 23, 1, 0, 1],  # Outside.
    [20, 0, 12, 1, 0, 1, 0, 1],
  ],
)
def test_an_aperture_that_cuts_pixels_is_refused(coded, values):
  _refuse([coded["AVIF"].with_properties(_SRGB, _aperture(*values))], "clean aperture")


@pytest.mark.parametrize("image_format", _FORMATS)
def test_exif_and_xmp_do_not_turn_avif_and_heic(image_format):
  if image_format == "HEIF":
    import pillow_heif

    pillow_heif.register_heif_opener()
  buffer = io.BytesIO()
  xmp = b'<x:xmpmeta><rdf:li tiff:Orientation="6"/></x:xmpmeta>'
  PIL.Image.fromarray(_PICTURE).save(buffer, image_format, quality=90)
  plain = image_files.read_image("x", content=buffer.getvalue())
  buffer = io.BytesIO()
  PIL.Image.fromarray(_PICTURE).save(buffer, image_format, quality=90, xmp=b"X" * len(xmp))
  content = buffer.getvalue()
  assert content.count(b"X" * len(xmp)) == 1
  content = content.replace(b"X" * len(xmp), xmp)
  np.testing.assert_array_equal(image_files.read_image("x", content=content), plain)


def test_damaged_boxes_never_give_another_picture_without_a_word():
  formats = ("AVIF", "HEIF") if _WITH_HEIF else ("AVIF",)
  for index in range(150):
    case = mutated_boxes.case(index, formats)
    assert judging.outcome(case) != judging.OUTCOMES[3], (index, case.kind, case.container)
