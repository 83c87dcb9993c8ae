"""Profiles that give no valid colours are ignored with a note; all others are applied."""

import io

import numpy as np
import PIL.Image
import pytest

from bmshj_minnen.images import image_files
from experiments.reliability import icc_files, judging, mutated_profiles

_PICTURE = judging.picture()
_POWER = icc_files.power(2.2)


def _read(image_format, profile, picture=_PICTURE):
  """The pixels, the pixels without the profile, and the notes."""
  notes, pixels = [], []
  for icc in (profile, None):
    buffer = io.BytesIO()
    PIL.Image.fromarray(picture).save(buffer, image_format, icc_profile=icc)
    pixels.append(image_files.read_image("x", content=buffer.getvalue(), note=notes.append))
  return *pixels, notes


_RED, _GREEN, _BLUE = icc_files.SRGB
_LEVELS = np.arange(256) / 255
_FALLING = icc_files.table(np.arange(65535, -1, -257))
_FLAT = icc_files.table([65535] * 256)


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "TIFF", "WEBP", "AVIF"])
@pytest.mark.parametrize(
  "profile",
  [
    icc_files.matrix_profile([(0, 0, 0)] * 3, [_POWER] * 3),
    icc_files.matrix_profile([_RED, _RED, _BLUE], [_POWER] * 3),
    icc_files.matrix_profile(icc_files.SRGB, [icc_files.table([0, 0])] * 3),
    icc_files.matrix_profile(icc_files.SRGB, [icc_files.power(0)] * 3),
    icc_files.matrix_profile(icc_files.SRGB, [_FLAT] * 3),
    icc_files.matrix_profile(icc_files.SRGB, [_POWER, _FALLING, _POWER]),
  ],
)
def test_profiles_without_colours_leave_the_levels_and_that_is_said(image_format, profile):
  read, plain, notes = _read(image_format, profile)
  np.testing.assert_array_equal(read, plain)
  (note,) = notes
  assert note == (
    "x: its colour profile is broken or for other pixels; its colours are taken as sRGB"
  )


_ACES = ((0.99084, 0.36189, -0.00271), (0.01222, 0.72250, 0.00821), (-0.03888, -0.08439, 0.81939))
_PROPHOTO = ((0.79767, 0.28804, 0.0), (0.13519, 0.71188, 0.0), (0.03135, 0.00009, 0.82491))
_SWAPPED = (_GREEN, _RED, _BLUE)
# White of D65, not adapted to D50: bluish, but valid.
_NOT_ADAPTED = ((0.4124, 0.2126, 0.0193), (0.3576, 0.7152, 0.1192), (0.1805, 0.0722, 0.9505))
# A monitor of 40 % of sRGB's gamut.
_NARROW = np.array(icc_files.SRGB) * 0.55 + np.array([[0.9642, 1, 0.8249]]) * 0.15


@pytest.mark.parametrize(
  "profile",
  [
    icc_files.matrix_profile(columns, [_POWER] * 3)
    for columns in (_ACES, _PROPHOTO, _SWAPPED, _NOT_ADAPTED, _NARROW)
  ]
  + [
    icc_files.matrix_profile(icc_files.SRGB, [curve] * 3)
    for curve in (
      icc_files.power(1),
      icc_files.power(1.4),
      icc_files.power(4),
      icc_files.power(0.5),
      icc_files.table(np.round(65535 * np.log1p(9 * _LEVELS) / np.log(10)).astype(int)),
      icc_files.table([0, 20000, 65535]),
    )
  ],
)
def test_unusual_profiles_are_applied(profile):
  read, plain, notes = _read("PNG", profile)
  assert not notes
  assert np.abs(read.astype(int) - plain).max() > 8


def test_grey_has_its_own_profiles():
  grey = _PICTURE[..., 0]
  read, plain, notes = _read("PNG", icc_files.single_profile(icc_files.power(1)), grey)
  assert not notes and read.mean() > plain.mean() + 20
  for curve in (icc_files.power(0), _FLAT, _FALLING):
    read, plain, notes = _read("PNG", icc_files.single_profile(curve), grey)
    np.testing.assert_array_equal(read, plain)
    assert len(notes) == 1 and "broken" in notes[0]


def test_a_profile_that_was_changed_is_used_and_that_is_said():
  good = icc_files.matrix_profile(icc_files.P3, [_POWER] * 3, version=4)
  expected, _, notes = _read("PNG", good)
  assert not notes
  # The intent is ignored; the white point is checked, though it does not affect colours here.
  for at, is_said in ((64 + 3, False), (good.index(b"XYZ \0\0\0\0") + 11, True)):
    changed = judging.changed(good, at, bytes([good[at] ^ 1]))
    read, _, notes = _read("PNG", changed)
    np.testing.assert_array_equal(read, expected)
    assert [note for note in notes if "was changed after it was made" in note] == notes
    assert len(notes) == is_said


def test_damaged_profiles_never_give_another_picture_without_a_word():
  for index in range(80):
    case = mutated_profiles.case(index)
    assert judging.outcome(case) != judging.OUTCOMES[3], (index, case.kind, case.container)
