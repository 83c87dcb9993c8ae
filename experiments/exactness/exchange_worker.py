"""Writes files, or reads the files of all processes, with one runtime; see `exchange.py`."""

import json
import pathlib

from absl import app, flags

from bmshj_minnen.command_line import usage
from experiments import common
from experiments.exactness import exchanged, runtimes

_FOLDER = flags.DEFINE_string("folder", None, "Folder for files and results.", required=True)
_NAME = flags.DEFINE_string("name", None, "Name of this process.", required=True)
_RUNTIME = flags.DEFINE_enum(
  "runtime", None, runtimes.RUNTIMES, "Runtime of the codec.", required=True
)
_THREADS = flags.DEFINE_integer("threads", 1, "Threads of the runtime.", lower_bound=1)
_MODEL = flags.DEFINE_string("model", None, "A model that ships.", required=True)
_IMAGES = flags.DEFINE_string("images", None, "A pattern of photographs.", required=True)
_QUALITIES = flags.DEFINE_list("qualities", None, "Qualities of the files.", required=True)
_READ = flags.DEFINE_bool("read", False, "Read the files of all processes instead of writing.")


def main(argv):
  """Flags -> NAME.written.json or NAME.read.json in the folder."""
  usage.refuse_arguments(argv, has_patterns=True)
  runtimes.limit_threads(_RUNTIME.value, _THREADS.value)
  codec = runtimes.load(_RUNTIME.value, _MODEL.value)
  folder, paths = pathlib.Path(_FOLDER.value), common.find_images(_IMAGES.value)
  if _READ.value:
    found = {
      file: row for path in paths for file, row in exchanged.read_files(codec, path, folder).items()
    }
  else:
    qualities = [*map(float, _QUALITIES.value)]
    found = [row for path in paths for row in exchanged.write_files(codec, path, qualities, folder)]
  place = folder / f"{_NAME.value}.{'read' if _READ.value else 'written'}.json"
  place.write_text(json.dumps(found))


if __name__ == "__main__":
  app.run(main)
