"""Lists the programs: `python -m bmshj_minnen`; with `--version`, prints the version."""

import ast
import pathlib
import sys

import bmshj_minnen

__all__ = ["PROGRAMS"]

PROGRAMS = (
  "compress",
  "decompress",
  "info",
  "verify",
  "serve",
  "train",
  "prepare",
  "evaluate",
  "export",
  "convert",
  "beam_compress",
  "beam_decompress",
)
_WITHOUT_TENSORFLOW = ("compress", "decompress", "info", "verify", "serve")


def _summary(program):
  """The first line of a program's docstring; an import would take TensorFlow's seconds."""
  source = pathlib.Path(__file__).with_name(f"{program}.py").read_text("utf-8")
  line = ast.get_docstring(ast.parse(source)).splitlines()[0]
  return line.split(": `")[0].rstrip(".") + "."


def main(arguments: list[str]) -> int:
  """Returns the exit status: 0, or 1 if an argument is unknown."""
  if arguments == ["--version"]:
    print(bmshj_minnen.__version__)
    return 0
  if arguments and arguments not in (["--help"], ["-h"]):
    print(
      f"error: no program {arguments[0]!r} here; python -m bmshj_minnen lists them",
      file=sys.stderr,
    )
    return 1
  print("python -m bmshj_minnen.PROGRAM, --help for its flags; * needs TensorFlow:")
  for program in PROGRAMS:
    mark = " " if program in _WITHOUT_TENSORFLOW else "*"
    print(f"  {program:<16} {mark} {_summary(program)}")
  return 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
