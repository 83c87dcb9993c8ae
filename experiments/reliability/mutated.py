"""Reads pictures with damaged colour profiles and damaged AVIF and HEIC files; counts outcomes.

`python -m experiments.reliability.mutated --files=200`; with `--profiles='folder/**/*.ic?'` it
reads pictures with sound profiles instead, and lists profiles that are wrongly refused.
"""

import collections
import importlib.util

from absl import app, flags

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
import tensorflow as tf

from bmshj_minnen.command_line import usage
from bmshj_minnen.data import finding
from bmshj_minnen.evaluation import markdown
from bmshj_minnen.serving import image_decoding
from experiments.reliability import mutated_boxes, mutated_profiles
from experiments.reliability.judging import OUTCOMES, SERVED, outcome, read, served_outcome

_FILES = flags.DEFINE_integer("files", 200, "Files of each of the two kinds.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Another seed makes other files.", lower_bound=0)
_PROFILES = flags.DEFINE_string("profiles", None, "A pattern of paths of sound ICC profiles.")
_MAX_PIXELS = 2**16


class _Counts:
  """Outcomes by row, and a line for each failure."""

  def __init__(self, outcomes):
    self._outcomes, self._rows, self.bad = outcomes, {}, []

  def add(self, row, result, case, index):
    """Counts one result; the last outcome is a failure."""
    self._rows.setdefault(row, collections.Counter())[result] += 1
    if result == self._outcomes[-1]:
      self.bad.append(f"case {index}, {case.container}, {case.kind}: {result}")

  def table(self):
    """All counts in Markdown."""
    rows = {**self._rows, "all": sum(self._rows.values(), collections.Counter())}
    cells = ([name, *(str(counts[k]) for k in self._outcomes)] for name, counts in rows.items())
    return markdown.table(["", *self._outcomes], cells)


def _check_sound(pattern):
  """Prints the number of applied profiles, and a line for each profile that is not applied."""
  notes = {}
  for path in finding.find_files([pattern]):
    with open(path, "rb") as file:
      content = mutated_profiles.file_with(file.read())
    if content:
      notes[path] = read(content)[1]
  bad = [f"{path}: {line}" for path, lines in notes.items() for line in lines]
  print("\n".join([*bad, f"{len(notes)} profiles, of which {len(bad)} cost a note"]))
  return int(bool(bad))


def main(argv) -> int:
  """Reads all files and prints the tables; 1 if a picture changed without a message."""
  usage.refuse_arguments(argv, has_patterns=True)
  with startup.one_line_errors():
    if _PROFILES.value:
      return _check_sound(_PROFILES.value)
    formats = ("AVIF", "HEIF") if importlib.util.find_spec("pillow_heif") else ("AVIF",)
    reader = tf.function(
      lambda content: image_decoding.read(content, "", _MAX_PIXELS), [tf.TensorSpec([], tf.string)]
    )
    counts = {"profiles": _Counts(OUTCOMES), "boxes": _Counts(OUTCOMES), "served": _Counts(SERVED)}
    for index in range(_FILES.value):
      case = mutated_profiles.case(index, _SEED.value)
      counts["profiles"].add(case.kind.partition(":")[0], outcome(case), case, index)
      if case.container in ("PNG", "JPEG"):
        counts["served"].add(case.container, served_outcome(reader, case), case, index)
      case = mutated_boxes.case(index, formats, _SEED.value)
      counts["boxes"].add(case.kind, outcome(case), case, index)
    for name, part in counts.items():
      print(f"{name}\n\n{part.table()}\n")
    bad = [line for part in counts.values() for line in part.bad]
    print("\n".join(bad))
    return int(bool(bad))


if __name__ == "__main__":
  app.run(main)
