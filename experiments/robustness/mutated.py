"""Reads pictures with damaged colour profiles and damaged AVIF and HEIC files, and counts outcomes.

`python -m experiments.robustness.mutated --files=200`
"""

import collections
import importlib.util
from typing import Optional

import numpy as np
from absl import app, flags

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
import tensorflow as tf

from bmshj_minnen.photographs import images
from bmshj_minnen.serving import photographs
from experiments.robustness import mutations

_FILES = flags.DEFINE_integer("files", 200, "Of each of the two kinds.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Another seed makes other files.", lower_bound=0)
_CLOSE = 2  # Levels: the same picture.
_OUTCOMES = ("control's picture", "a note", "refused", "another picture without a word")
_SERVED = ("the same picture", "refused", "another picture")


def read(content: bytes) -> tuple[Optional[np.ndarray], list[str]]:
  """A picture, or none where it is refused; and what is said."""
  said = []
  try:
    return images.read_image("x", note=said.append, content=content), said
  except images.ImageError as error:
    return None, [str(error)]


def outcome(case: mutations.Case) -> str:
  """One of `_OUTCOMES`."""
  picture, said = read(case.content)
  if any("\n" in line for line in said):
    raise ValueError(f"{case}: not one line: {said}")
  if picture is None:
    return "refused"
  if said:
    return "a note"
  control, _ = read(case.control)
  return _OUTCOMES[0 if _is_close(picture, control) else 3]


def _is_close(one, two):
  if one is None or two is None or one.shape != two.shape:
    return False
  return np.abs(one.astype(int) - two).max() <= _CLOSE


@tf.function(input_signature=[tf.TensorSpec([], tf.string)])
def _read_in_graph(content):
  return photographs.read(content, "", 2**20)


def served_outcome(case: mutations.Case) -> str:
  """One of `_SERVED`: of a model that is served, against the library."""
  try:
    picture = _read_in_graph(tf.constant(case.content)).numpy()
  except tf.errors.InvalidArgumentError:
    return "refused"
  return _SERVED[0 if _is_close(picture, read(case.content)[0]) else 2]


def _table(rows, outcomes):
  """Counts in Markdown."""
  yield "| | " + " | ".join(outcomes) + " |"
  yield "|---|" + "---:|" * len(outcomes)
  total = collections.Counter()
  for name, counts in rows.items():
    total.update(counts)
    yield f"| {name} | " + " | ".join(str(counts[one]) for one in outcomes) + " |"
  yield "| all | " + " | ".join(str(total[one]) for one in outcomes) + " |\n"


def main(_) -> int:
  """Reads all files, prints the tables; 1 if there is another picture."""
  with startup.one_line_errors():
    formats = ("AVIF", "HEIF") if importlib.util.find_spec("pillow_heif") else ("AVIF",)
    of_profiles, of_boxes, served, bad = ({}, {}, {}, [])
    for index in range(_FILES.value):
      for rows, case in (
        (of_profiles, mutations.profile_case(index, _SEED.value)),
        (of_boxes, mutations.box_case(index, formats, _SEED.value)),
      ):
        result = outcome(case)
        rows.setdefault(case.kind, collections.Counter())[result] += 1
        if result == _OUTCOMES[3]:
          bad.append(f"case {index}: {case.container}, {case.kind}")
        if case.container in ("PNG", "JPEG"):
          result = served_outcome(case)
          served.setdefault(case.container, collections.Counter())[result] += 1
          if result == _SERVED[2]:
            bad.append(f"case {index}, served: {case.container}, {case.kind}")
    for rows, outcomes in ((of_profiles, _OUTCOMES), (of_boxes, _OUTCOMES), (served, _SERVED)):
      print("\n".join(_table(rows, outcomes)))
    print("\n".join(bad))
    return int(bool(bad))


if __name__ == "__main__":
  app.run(main)
