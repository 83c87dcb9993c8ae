"""The start of programs: their imports, and the state of the garbage collector."""

import os
import pathlib
import subprocess
import sys

_ROOT = pathlib.Path(__file__).parent.parent


def _run(code):
  environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
  environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
  result = subprocess.run(
    [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
  )
  assert (result.returncode, result.stderr) == (0, "")
  return result.stdout.split()


def test_info_and_the_overview_need_no_tensorflow():
  code = "import sys, bmshj_minnen.info, bmshj_minnen.__main__; print('tensorflow' in sys.modules)"
  assert _run(code) == ["False"]


def test_the_collector_rests_until_the_work_begins():
  code = """
import gc
from bmshj_minnen.command_line import startup
print(gc.isenabled(), gc.get_freeze_count())
with startup.one_line_errors():
  print(gc.isenabled(), gc.get_freeze_count() > 1000)
print(gc.isenabled())
"""
  assert _run(code) == ["False", "0", "True", "True", "True"]


def test_the_collector_is_left_alone_where_tensorflow_is_there_already():
  code = """
import gc, sys
sys.modules["tensorflow"] = sys
from bmshj_minnen.command_line import startup
print(gc.isenabled())
with startup.one_line_errors():
  print(gc.isenabled(), gc.get_freeze_count())
"""
  assert _run(code) == ["True", "True", "0"]
