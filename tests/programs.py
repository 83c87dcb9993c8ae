"""Runs programs in forks of one process that has imported TensorFlow.

Each fork imports the program and what it is made of anew, and is a process of its own, with its own
arguments, directory, environment and streams; only the seconds that importing TensorFlow takes are
spent once. What a start itself must do, such as to silence TensorFlow or to rest the garbage
collector, is for tests that start a new Python.
"""

import atexit
import contextlib
import functools
import gc
import json
import os
import pathlib
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from typing import Any, Optional, Union

_ROOT = pathlib.Path(__file__).parent.parent


class Process:
  """A fork that runs, with some of what `subprocess.Popen` has."""

  def __init__(self, connection: socket.socket):
    self._connection = connection
    self.pid = int(connection.recv(100))
    self.returncode = None

  def poll(self) -> Optional[int]:
    """The exit status, or None while it runs."""
    with contextlib.suppress(BlockingIOError):
      self._receive(socket.MSG_DONTWAIT)
    return self.returncode

  def wait(self, timeout: Optional[float] = None) -> int:
    """The exit status; TimeoutError after so many seconds."""
    self._connection.settimeout(timeout)
    self._receive()
    return self.returncode

  def send_signal(self, number: int) -> None:
    if self.poll() is None:
      os.kill(self.pid, number)

  def kill(self) -> None:
    self.send_signal(signal.SIGKILL)

  def _receive(self, flags=0):
    if self.returncode is None:
      answer = self._connection.recv(100, flags)
      assert answer, "the server has ended"
      self.returncode = int(answer)
      self._connection.close()


def start(
  program: str,
  *args: Any,
  cwd: Any = _ROOT,
  environment: Optional[dict[str, str]] = None,
  stdin: Any = None,
  stdout: Any = None,
  stderr: Any = None,
) -> Process:
  """As `subprocess.Popen` of `python -m bmshj_minnen.PROGRAM ARGS`, or `python -c PROGRAM ARGS`.

  Args:
    program: of the package; or Python itself, which is told by its newline.
    args: are passed as text.
    cwd: its directory.
    environment: what is added to that of this process.
    stdin: and the next two: files; nothing is read, and what is printed goes nowhere, by default.
    stdout: see stdin.
    stderr: see stdin.
  """
  request = {
    "program": program,
    "args": [*map(str, args)],
    "cwd": str(cwd),
    "environment": {**os.environ, **(environment or {})},
  }
  ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
  with theirs, open(os.devnull, "r+b") as nothing:
    files = [file or nothing for file in (stdin, stdout, stderr)]
    numbers = [file.fileno() for file in (*files, theirs)]
    socket.send_fds(_server(), [json.dumps(request).encode()], numbers)
  return Process(ours)


def run(
  program: str, *args: Any, input: Union[str, bytes] = "", text: bool = True, **options: Any
) -> subprocess.CompletedProcess:
  """As `subprocess.run` that captures the output; with the arguments of `start`."""
  with contextlib.ExitStack() as stack:
    stdin, *outputs = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(3))
    stdin.write(input if isinstance(input, bytes) else input.encode())
    stdin.seek(0)
    streams = {"stdin": stdin, "stdout": outputs[0], "stderr": outputs[1], **options}
    status = start(program, *args, **streams).wait()
    for output in outputs:
      output.seek(0)
    texts = [output.read().decode() if text else output.read() for output in outputs]
  return subprocess.CompletedProcess([program, *args], status, *texts)


@functools.cache
def _server():
  """The socket of this process's server."""
  ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
  with theirs:
    process = subprocess.Popen(
      [sys.executable, "-m", "tests.programs", str(theirs.fileno())],
      cwd=_ROOT,
      env={**os.environ, "PYTHONPATH": str(_ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
      pass_fds=[theirs.fileno()],
    )
  atexit.register(process.wait)
  atexit.register(ours.close)  # Which ends the server.
  return ours


def _serve(connection):
  """Returns in each fork, with what it shall run; ends with the connection."""
  while True:
    message, numbers, _, _ = socket.recv_fds(connection, 2**20, 4)
    if not message:
      os._exit(0)
    keeper = os.fork()
    if keeper == 0:
      connection.close()
      _keep(numbers.pop())
      for target, number in enumerate(numbers):
        os.dup2(number, target)
        os.close(number)
      return json.loads(message)
    for number in numbers:
      os.close(number)
    with contextlib.suppress(ChildProcessError):
      while os.waitpid(-1, os.WNOHANG)[0]:
        pass


def _keep(number):
  """Returns in a fork, whose process number and exit status it sends."""
  pid = os.fork()
  if pid:
    with socket.socket(fileno=number) as status:
      status.send(str(pid).encode())
      _, code = os.waitpid(pid, 0)
      with contextlib.suppress(BrokenPipeError):  # Nobody waits for it any more.
        status.send(str(os.waitstatus_to_exitcode(code)).encode())
    os._exit(0)
  os.close(number)


def _main():
  gc.disable()  # As `startup` has it, and for the same reason.
  import tensorflow as tf  # noqa: F401
  import tensorflow_compression as tfc  # noqa: F401
  from tensorflow.python.eager import context

  assert not context.context()._initialized  # Its threads would not survive a fork.
  gc.freeze()  # Or each fork would go through all that was imported, and so copy it.
  gc.enable()
  request = _serve(socket.socket(fileno=int(sys.argv[1])))
  signal.signal(signal.SIGINT, signal.default_int_handler)  # Jobs of a shell's background lack it.
  os.chdir(request["cwd"])
  os.environ.clear()
  os.environ.update(request["environment"])
  program = request["program"]
  if "\n" in program:
    sys.argv = ["-c", *request["args"]]
    # As another Python has it, where what is defined is found, too.
    exec(compile(program, "<string>", "exec"), sys.modules["__main__"].__dict__)
  else:
    sys.argv = [program, *request["args"]]
    runpy.run_module(f"bmshj_minnen.{program}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
  _main()
