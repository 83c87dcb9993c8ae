"""Effort: a number of steps under another name, in every entrance."""

import io

import numpy as np
import PIL.Image
import pytest

import bmshj_minnen
import bmshj_minnen.pillow
from bmshj_minnen import effort, portable
from tests import codecs, programs

# One small picture, for which tracing a refinement takes longer than its steps.
pytestmark = pytest.mark.usefixtures("module_eagerly")
_IMAGE = codecs.photograph(32, 48)


@pytest.fixture(scope="module")
def refined():
  return bmshj_minnen.load(refine=effort.STEPS[1]).compress(_IMAGE)


def test_more_effort_means_more_steps_and_none_means_none():
  assert effort.STEPS[0] == 0 and len(effort.STEPS) == effort.MAX_EFFORT + 1 == 10
  assert list(effort.STEPS) == sorted(set(effort.STEPS))
  assert [effort.steps_of(number) for number in range(10)] == list(effort.STEPS)
  assert effort.steps_of(0, 17) == 17
  assert effort.steps_of(np.int64(3)) == effort.STEPS[3]


@pytest.mark.parametrize(
  "arguments, error, match",
  [
    ({"effort": 10}, ValueError, "effort must be 0 to 9, not 10"),
    ({"effort": -1}, ValueError, "effort must be 0 to 9, not -1"),
    ({"effort": 2.5}, TypeError, "effort must be a whole number, not 2.5"),
    ({"effort": True}, TypeError, "effort must be a whole number, not True"),
    ({"effort": "4"}, TypeError, "effort must be a whole number, not '4'"),
    ({"refine": -1}, ValueError, "refine must be at least 0, not -1"),
    ({"refine": 2.5}, TypeError, "refine must be a whole number"),
    ({"effort": 4, "refine": 20}, ValueError, "either an effort or a number of steps: effort 4 me"),
  ],
)
def test_wrong_efforts_are_refused(arguments, error, match):
  with pytest.raises(error, match=match):
    bmshj_minnen.load(**arguments)


def test_the_library_takes_an_effort(refined):
  plain = bmshj_minnen.load().compress(_IMAGE)
  assert bmshj_minnen.load(effort=1).compress(_IMAGE) == refined != plain
  assert bmshj_minnen.load(effort=0).compress(_IMAGE) == plain


def test_pillow_takes_an_effort(refined):
  def saved(**options):
    buffer = io.BytesIO()
    PIL.Image.fromarray(_IMAGE).save(buffer, "TFCI", **options)
    return buffer.getvalue()

  assert saved(effort=1) == refined != saved(effort=0)
  for wrong in (10, -1, 1.5, True, "1"):
    with pytest.raises(ValueError, match="effort must be a whole number, 0 to 9, not"):
      saved(effort=wrong)
  with pytest.raises(ValueError, match=r"give the codec its own, load\(effort=...\)"):
    saved(effort=1, codec=bmshj_minnen.load())
  with pytest.raises(ValueError, match="give no target"):
    saved(effort=1, bpp=1)


def test_compress_takes_an_effort(refined, tmp_path):
  bmshj_minnen.write_image(str(tmp_path / "in.png"), _IMAGE)
  result = programs.run("compress", "--effort=1", "in.png", "x.tfci", cwd=tmp_path, eager=True)
  assert result.returncode == 0, result.stderr
  assert (tmp_path / "x.tfci").read_bytes() == refined


def test_without_tensorflow_only_no_effort_is_possible():
  portable.load(effort=0)
  with pytest.raises(ValueError, match="effort needs TensorFlow"):
    portable.load(effort=1)
