"""The programs, flags and files in the commands of the READMEs exist."""

import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).parent.parent
_PAGES = [
  *(_ROOT / name for name in ("README.md", "BUILD.md", "bmshj_minnen/pretrained/README.md")),
  *sorted((_ROOT / "experiments").glob("**/*.md")),
]
# Each program is imported in a process of its own, for flags share names; and each command is
# parsed in another one, where no command before it has set flags.
_PARSE = """
import collections, gc, importlib, json, os, sys
gc.disable()  # Each fork's collector would visit, and so copy, all imported objects.
from absl import flags
import bmshj_minnen.corpus.pipeline, bmshj_minnen.evaluation.subjects
import bmshj_minnen.evaluation.report, bmshj_minnen.serving.saved_models
import bmshj_minnen.training.loop

def forked(function, *arguments):
  child = os.fork()
  if child:
    status = os.waitpid(child, 0)[1]
    assert status == 0, arguments
    return
  function(*arguments)
  os._exit(0)

def attempt(numbers, function, *arguments):
  try:
    function(*arguments)
  except BaseException as error:
    for number in numbers:
      print(number, type(error).__name__, " ".join(str(error).split()), flush=True)
    return False
  return True

def parse(module, commands):
  if attempt(commands, importlib.import_module, module):
    for number, arguments in commands.items():
      # Beam's engine takes the flags that its programs do not know.
      forked(lambda: attempt([number], flags.FLAGS, [module, *arguments], ".beam_" in module))

programs = collections.defaultdict(dict)
for number, (module, arguments) in enumerate(json.load(sys.stdin)):
  programs[module][number] = arguments
for program in programs.items():
  forked(parse, *program)
"""


def _commands(page):
  """The commands in a page's code blocks, in their order, as words."""
  text = re.sub(r"```\w*\n.*?```", "", page.read_text(), flags=re.DOTALL)
  blocks = "\n".join(line[4:] for line in text.splitlines() if line.startswith("    "))
  for line in blocks.replace("\\\n", " ").splitlines():
    try:
      words = shlex.split(line, comments=True)
    except ValueError:  # Part of a program with several lines.
      continue
    if words:
      yield words


_COMMANDS = [(page, words) for page in _PAGES for words in _commands(page)]
_PROGRAMS = [
  (page, words)
  for page, words in _COMMANDS
  if words[:2] == ["python", "-m"] and words[2].startswith(("bmshj_minnen.", "experiments."))
]


def test_the_first_commands_of_the_readme_install_and_try_it():
  """They work in this order, from a bare shell."""
  (first, *others) = [words for page, words in _COMMANDS if page == _ROOT / "README.md"]
  assert first == ["make", "demo"]
  programs = [words[0] for words in others]
  activate = others.index([".", ".venv/bin/activate"])
  assert activate < programs.index("python")
  assert ["python", "-m", "pip", "install", "-c", "requirements.lock", "."] in others


def test_all_programs_are_met():
  """The tests below would not notice a page whose commands are not found."""
  named = {words[2] for page, words in _PROGRAMS if page == _ROOT / "README.md"}
  parts = ("compress", "decompress", "info", "train", "prepare", "evaluate", "export", "convert")
  assert {f"bmshj_minnen.{part}" for part in parts} <= named
  assert len(_PROGRAMS) > 40


def test_flags_of_all_commands_are_those_of_their_programs():
  commands = [(words[2], [w.replace("=RATE", "=1") for w in words[3:]]) for _, words in _PROGRAMS]
  environment = {**os.environ, "PYTHONPATH": str(_ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
  result = subprocess.run(
    [sys.executable, "-c", _PARSE],
    input=json.dumps(commands),
    cwd=_ROOT,
    env=environment,
    capture_output=True,
    text=True,
    check=True,
  )
  problems = [line.split(maxsplit=1) for line in result.stdout.splitlines()]
  found = [f"{text} of {' '.join(_PROGRAMS[int(number)][1])}" for number, text in problems]
  assert not found, "\n".join(found)


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: str(page.relative_to(_ROOT)))
def test_targets_files_and_extras_exist(page):
  targets = re.findall(r"^(\w+):", (_ROOT / "Makefile").read_text(), re.MULTILINE)
  extras = re.findall(r'^    "(\w+)": \[', (_ROOT / "setup.py").read_text(), re.MULTILINE)
  for words in _commands(page):
    if words[0] == "make":
      assert set(words[1:]) <= set(targets), words
    if "pip" in words and "install" in words:
      for word in words:
        assert set(re.findall(r"\.\[(\w+)\]", word)) <= set(extras), words
        assert not word.endswith((".lock", ".txt")) or (_ROOT / word).exists(), words
    if words[0] == "python" and words[1:2] == ["-m"]:
      module = words[2].replace(".", "/")
      if module.partition("/")[0] in ("bmshj_minnen", "experiments"):
        assert (_ROOT / f"{module}.py").exists() or (_ROOT / module / "__main__.py").exists(), words
