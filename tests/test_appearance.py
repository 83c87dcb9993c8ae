"""Curves look different, and refined ones resemble their model's."""

from bmshj_minnen.evaluation.appearance import appearances


def test_refined_models_keep_their_colour_and_no_two_lines_are_alike():
  codecs = ["webp", "a", "b", "a+refine20", "a+refine50", "b+refine20", "c"]
  drawn = appearances(codecs)
  assert list(drawn) == codecs
  assert drawn["a"].colour == drawn["a+refine20"].colour == drawn["a+refine50"].colour
  assert drawn["b"].colour == drawn["b+refine20"].colour != drawn["a"].colour
  assert len({(x.colour, x.dash, x.symbol) for x in drawn.values()}) == len(codecs)
