"""Forks of a process that has imported TensorFlow behave like a new Python."""

import os
import signal
import time

from tests import programs


def test_a_fork_has_its_own_arguments_directory_environment_and_streams(tmp_path):
  code = """
import os, sys
print(sys.argv[1:], os.getcwd(), os.environ["A"], sys.stdin.read())
print("err", file=sys.stderr)
"""
  result = programs.run(code, 1, "b", cwd=tmp_path, environment={"A": "a"}, input="in")
  assert (result.returncode, result.stderr) == (0, "err\n")
  assert result.stdout == f"['1', 'b'] {os.path.realpath(tmp_path)} a in\n"
  assert os.environ.get("A") is None


def test_exit_statuses_are_those_of_python():
  for code, status, error in (
    ("import sys\nsys.exit(3)", 3, ""),
    ("import sys\nsys.exit('error')", 1, "error\n"),
    ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, ""),
  ):
    result = programs.run(code)
    assert (result.returncode, result.stderr) == (status, error)
  result = programs.run("\n1 / 0")
  assert result.returncode == 1 and "ZeroDivisionError" in result.stderr
  result = programs.run("\nraise KeyboardInterrupt")
  assert result.returncode == -signal.SIGINT and "KeyboardInterrupt" in result.stderr


def test_forks_compute_with_threads_of_their_own():
  code = """
import os, tensorflow as tf
print(os.getpid(), tf.reduce_sum(tf.matmul(tf.ones([300, 300]), tf.ones([300, 300]))).numpy())
print(len(tf.config.list_logical_devices()), "bmshj_minnen" in __import__("sys").modules)
"""
  results = [programs.run(code).stdout.split() for _ in "12"]
  assert [result[1:] for result in results] == 2 * [["27000000.0", "1", "False"]]
  assert results[0][0] != results[1][0]


def test_forks_run_beside_each_other_and_take_signals(tmp_path):
  code = """
import pathlib, sys, time
pathlib.Path(sys.argv[1]).touch()
time.sleep(600)
"""
  processes = [programs.start(code, tmp_path / name) for name in "ab"]
  while not all((tmp_path / name).exists() for name in "ab"):
    time.sleep(0.01)
  assert [process.poll() for process in processes] == [None, None]
  processes[0].kill()
  processes[1].send_signal(signal.SIGINT)
  assert [process.wait() for process in processes] == [-signal.SIGKILL, -signal.SIGINT]
  assert processes[0].poll() == -signal.SIGKILL


def test_a_program_is_that_of_the_package():
  result = programs.run("compress", "no.png", "x.tfci")
  assert (result.returncode, result.stdout) == (1, "")
  assert result.stderr == "error: no.png: no such file\n"
