"""Runs programs in forks of one process that has imported TensorFlow.

Each fork imports the program and its modules anew, and is a separate process, with its own
arguments, directory, environment and streams; only the imports of other packages are shared. Tests
of the start itself, such as silencing TensorFlow or pausing the garbage collector, start a new
Python. So do tests of its end: a fork leaves without taking the imported packages apart, which
would take as long as many programs.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import pathlib
import re
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from typing import Any, Optional, Union

_ROOT = pathlib.Path(__file__).parent.parent
# Packages that most programs import; and those of some programs, for these alone.
_PACKAGES = ("PIL.Image", "keras", "onnxruntime", "tensorflow_compression", "tqdm.contrib.logging")
_BEAM = ("apache_beam",)
_PACKAGES_OF = {"beam_compress": _BEAM, "beam_decompress": _BEAM}
_PROGRESS = re.compile(r"^\d+ of \d+ files, .* each, .* left\n", re.MULTILINE)


class Process:
  """A running fork, with some methods of `subprocess.Popen`."""

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
    """Waits for the exit status; raises TimeoutError after this number of seconds."""
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
  eager: bool = False,
) -> Process:
  """Starts `python -m bmshj_minnen.PROGRAM ARGS`, or `python -c PROGRAM ARGS`, in a fork.

  Args:
    program: a program of the package; or Python code, recognised by its newline.
    args: arguments, passed as text.
    cwd: working directory.
    environment: variables in addition to this process's.
    stdin: a file to read; by default empty.
    stdout: a file for the output; by default discarded.
    stderr: a file for the errors; by default discarded.
    eager: whether functions run eagerly, see `execution.eagerly`.
  """
  request = {
    "program": program,
    "args": [*map(str, args)],
    "cwd": str(cwd),
    "environment": {**os.environ, **(environment or {})},
    "eager": eager,
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
  """Runs a program to its end and captures the output; for other arguments see `start`.

  Text leaves out the lines of progress, which slow machines alone print.
  """
  with contextlib.ExitStack() as stack:
    stdin, *outputs = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(3))
    stdin.write(input if isinstance(input, bytes) else input.encode())
    stdin.seek(0)
    streams = {"stdin": stdin, "stdout": outputs[0], "stderr": outputs[1], **options}
    status = start(program, *args, **streams).wait()
    for output in outputs:
      output.seek(0)
    texts = [output.read() for output in outputs]
  if text:
    texts = [_PROGRESS.sub("", output.decode()) for output in texts]
  return subprocess.CompletedProcess([program, *args], status, *texts)


@functools.cache
def _server():
  """The socket of this process's server, which is started on the first call."""
  ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
  bytecode = tempfile.mkdtemp(prefix="bytecode")
  with theirs:
    process = subprocess.Popen(
      [sys.executable, "-m", "tests.programs", str(theirs.fileno()), bytecode],
      cwd=_ROOT,
      env={**os.environ, "PYTHONPATH": str(_ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
      pass_fds=[theirs.fileno()],
    )
  atexit.register(shutil.rmtree, bytecode, ignore_errors=True)
  atexit.register(process.wait)
  atexit.register(ours.close)  # Closing ends the server.
  return ours


def _serve(connection):
  """Returns in each fork, with the program to run; ends with the connection."""
  statuses = {}  # Number of a fork -> the socket that gets its exit status.
  ends, wake = socket.socketpair()  # Gets a byte whenever a fork ends.
  for end in (ends, wake):
    end.setblocking(False)
  signal.signal(signal.SIGCHLD, lambda *_: None)  # Else the signal would be ignored.
  signal.set_wakeup_fd(wake.fileno())
  while True:
    ready, _, _ = select.select([connection, ends], [], [])
    if ends in ready:
      ends.recv(2**10)
      for pid in list(statuses):
        ended, code = os.waitpid(pid, os.WNOHANG)
        if ended:
          with statuses.pop(pid) as status, contextlib.suppress(BrokenPipeError):
            status.send(str(os.waitstatus_to_exitcode(code)).encode())  # Perhaps nobody waits.
    if connection not in ready:
      continue
    message, numbers, _, _ = socket.recv_fds(connection, 2**20, 4)
    if not message:
      os._exit(0)
    request = json.loads(message)
    _import(_PACKAGES_OF.get(request["program"], ()))
    status = socket.socket(fileno=numbers.pop())
    pid = os.fork()
    if pid == 0:
      signal.set_wakeup_fd(-1)
      signal.signal(signal.SIGCHLD, signal.SIG_DFL)
      for other in (connection, status, ends, wake, *statuses.values()):
        other.close()
      for target, number in enumerate(numbers):
        os.dup2(number, target)
        os.close(number)
      return request
    status.send(str(pid).encode())
    statuses[pid] = status
    for number in numbers:
      os.close(number)


def _import(packages):
  """Imports those that are installed."""
  gc.disable()  # For the same reason as in `startup`.
  for name in packages:
    with contextlib.suppress(ImportError):
      importlib.import_module(name)
  gc.freeze()  # Otherwise each fork's collector would visit, and so copy, all imported objects.
  gc.enable()


def _run(program, args):
  """Runs a program; returns the exit status, or the signal, negative, that ends the process."""
  try:
    if "\n" in program:
      sys.argv = ["-c", *args]
      # Run it in `__main__`, as Python does, so that its definitions are found.
      exec(compile(program, "<string>", "exec"), sys.modules["__main__"].__dict__)
    else:
      sys.argv = [program, *args]
      runpy.run_module(f"bmshj_minnen.{program}", run_name="__main__", alter_sys=True)
  except SystemExit as end:
    if end.code is None or isinstance(end.code, int):
      return end.code or 0
    print(end.code, file=sys.stderr)
    return 1
  except BaseException as error:
    sys.excepthook(*sys.exc_info())
    return -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
  return 0


def _leave(status):
  """Ends a fork as Python does, but for taking all modules apart."""
  threading._shutdown()
  atexit._run_exitfuncs()
  try:
    sys.stdout.flush()
    sys.stderr.flush()
  except OSError:
    status = 120  # Python's, for streams that cannot be written.
  if status < 0:
    signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
  os._exit(status)


def _main():
  _import(("tensorflow", *_PACKAGES))
  import tensorflow as tf
  from tensorflow.python.eager import context

  assert not context.context()._initialized  # Its threads would not survive a fork.
  # Where Python may write no bytecode, each fork would compile the package anew.
  if sys.dont_write_bytecode:
    sys.dont_write_bytecode, sys.pycache_prefix = False, sys.argv[2]
  request = _serve(socket.socket(fileno=int(sys.argv[1])))
  signal.signal(signal.SIGINT, signal.default_int_handler)  # A shell's background jobs lack it.
  os.chdir(request["cwd"])
  os.environ.clear()
  os.environ.update(request["environment"])
  tf.config.run_functions_eagerly(request["eager"])
  _leave(_run(request["program"], request["args"]))


if __name__ == "__main__":
  _main()
