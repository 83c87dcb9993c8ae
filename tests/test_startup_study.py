"""The study of starts from a shell: its measurements, and its table."""

import pathlib
import sys

import pytest

from experiments.speed import starts, timing

_BLOCK = 80 * 2**20


def test_memory_is_that_of_the_process_and_not_of_the_one_that_starts_it(tmp_path):
  here = bytearray(_BLOCK)  # Every page is touched: the peak of this process.
  code = "import sys; block = bytearray(int(sys.argv[1]))"
  small, large = (
    starts.measured(sys.executable, ["-c", code, str(size)], tmp_path)[1] for size in (0, _BLOCK)
  )
  assert small < len(here) / 2**20 < large
  assert large - small == pytest.approx(80, abs=8)


def test_commands_run_in_their_tree_and_failures_are_named(tmp_path):
  code = "import pathlib; pathlib.Path('made').touch()"
  starts.measured(sys.executable, ["-c", code], tmp_path)
  assert (tmp_path / "made").exists()
  with pytest.raises(ValueError, match="no such thing"):
    starts.measured(sys.executable, ["-c", "raise SystemExit('no such thing')"], tmp_path)


def test_builds_and_runtimes_are_compared_command_by_command():
  builds = {
    "--runtime=onnx": starts.Build(flags=("--runtime=onnx",)),
    "--runtime=tensorflow": starts.Build(flags=("--runtime=tensorflow",)),
    "old": starts.Build(tree=pathlib.Path("old")),
  }
  paths = pathlib.Path("in.png"), pathlib.Path("folder")
  commands = starts.commands(builds, "default", *paths)
  for name, build in builds.items():
    tree, _, arguments = commands["compress", name]
    assert tree == build.tree and set(build.flags) <= set(arguments)
    assert arguments[-1] in commands["decompress", name][2]
  assert {name for command, name in commands if command == "info"} == {"--runtime=onnx", "old"}
  seconds = {"--runtime=onnx": (1, 2, 9), "old": (7, 8, 9)}
  samples = {
    ("compress", name): [timing.Sample(s, 0.0, 100 * s) for s in runs]
    for name, runs in seconds.items()
  }
  table = [row.split(" | ") for row in starts.rows(samples, "old")]
  assert table[2][1:] == ["--runtime=onnx", "2.00", "1.00", "9.00", "200", "0.25", "0.25 |"]
