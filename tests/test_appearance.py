"""Curves look different, and refined ones resemble their model's."""

from bmshj_minnen.evaluation import classical
from bmshj_minnen.evaluation.line_styles import PUBLISHED, appearances


def test_refined_models_keep_their_colour_and_no_two_lines_are_alike():
  codecs = ["webp", "a", "b", "a+refine20", "a+refine50", "b+refine20", "c"]
  drawn = appearances(codecs)
  assert list(drawn) == codecs
  assert drawn["a"].colour == drawn["a+refine20"].colour == drawn["a+refine50"].colour
  assert drawn["b"].colour == drawn["b+refine20"].colour != drawn["a"].colour
  assert len({(x.colour, x.dash, x.symbol) for x in drawn.values()}) == len(codecs)


def test_each_method_has_one_colour():
  codecs = [*PUBLISHED, *classical.FORMATS, *"abcd", "a+refine20"]
  drawn = appearances(codecs)
  assert drawn["published jpeg420"].colour == drawn["jpeg420"].colour
  methods = [drawn[codec].colour for codec in ("jpeg420", "hevc444", "published bpg444", *"abcd")]
  methods.append(drawn["published minnen-2018-neurips-opt-mse"].colour)
  assert len(set(methods)) == len(methods)
  assert drawn["a"].colour == drawn["a+refine20"].colour
  assert len({(x.colour, x.dash, x.symbol) for x in drawn.values()}) == len(codecs)
