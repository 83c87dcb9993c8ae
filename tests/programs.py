"""Runs the command line programs in forks of one process that has imported TensorFlow.

Each fork imports the program and what it is made of anew, and is a process of its own; only the
seconds that importing TensorFlow takes are spent once. What a start itself must do, such as to
silence TensorFlow, is for tests that start a new Python.
"""

import atexit
import contextlib
import functools
import json
import os
import pathlib
import runpy
import socket
import subprocess
import sys
import tempfile
from typing import Any

_ROOT = pathlib.Path(__file__).parent.parent


@functools.cache
def _server():
  """The socket of this process's server."""
  ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
  with theirs:
    subprocess.Popen(
      [sys.executable, "-m", "tests.programs", str(theirs.fileno())],
      cwd=_ROOT,
      env={**os.environ, "PYTHONPATH": str(_ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
      pass_fds=[theirs.fileno()],
    )
  atexit.register(ours.close)  # Which ends the server.
  return ours


def run(program: str, *args: Any, cwd: Any = _ROOT) -> subprocess.CompletedProcess:
  """As `subprocess.run` of `python -m bmshj_minnen.PROGRAM ARGS`, with what it printed as text."""
  with contextlib.ExitStack() as stack:
    stdin = stack.enter_context(open(os.devnull))
    files = [stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(2)]
    request = {"program": f"bmshj_minnen.{program}", "args": [*map(str, args)], "cwd": str(cwd)}
    numbers = [file.fileno() for file in (stdin, *files)]
    socket.send_fds(_server(), [json.dumps(request).encode()], numbers)
    answer = _server().recv(100)
    assert answer, "the server has ended"
    texts = []
    for file in files:
      file.seek(0)
      texts.append(file.read())
  return subprocess.CompletedProcess([program, *args], int(answer), *texts)


def _serve(connection):
  """Returns in each fork, with what it shall run; ends with the connection."""
  while True:
    message, numbers, _, _ = socket.recv_fds(connection, 2**16, 3)
    if not message:
      os._exit(0)
    pid = os.fork()
    if pid == 0:
      for target, number in enumerate(numbers):
        os.dup2(number, target)
        os.close(number)
      connection.close()
      return json.loads(message)
    for number in numbers:
      os.close(number)
    _, status = os.waitpid(pid, 0)
    connection.send(str(os.waitstatus_to_exitcode(status)).encode())


def _main():
  import tensorflow as tf  # noqa: F401
  import tensorflow_compression as tfc  # noqa: F401
  from tensorflow.python.eager import context

  assert context._context is None  # A context that is in use does not survive forks.
  request = _serve(socket.socket(fileno=int(sys.argv[1])))
  os.chdir(request["cwd"])
  sys.argv = [request["program"], *request["args"]]
  runpy.run_module(request["program"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
  _main()
