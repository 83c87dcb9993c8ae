"""The machines of TF_CONFIG: parses them, and waits until all are present.

TensorFlow would wait in native code, print nothing and ignore signals; so it is started only when
all machines are present.
"""

import contextlib
import dataclasses
import json
import select
import socket
import time
from collections.abc import Iterator

from absl import logging

__all__ = ["Cluster", "Machine"]

_ROLES = ("chief", "worker")
_EXAMPLE = (
  """TF_CONFIG='{"cluster": {"worker": ["a:2222", "b:2222"]}, """
  """"task": {"type": "worker", "index": 0}}'"""
)
_PAUSE = 1.0  # Seconds between two checks of the absent machines.
_REMINDER = 30.0  # Seconds between two log lines that name them.
_CONNECTION = 3.0  # Seconds after which a machine that does not answer counts as absent.


@dataclasses.dataclass(frozen=True)
class Machine:
  """One machine of a cluster; printed as `worker 1 at b:2222`."""

  role: str
  index: int
  host: str
  port: int

  def __str__(self) -> str:
    return f"{self.role} {self.index} at {self.host}:{self.port}"

  def resolve(self) -> None:
    """Looks up the name of the host.

    Raises:
      ValueError: the host has no address.
    """
    try:
      socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
      reason = getattr(error, "strerror", None) or "not a name of a host"
      raise ValueError(f"TF_CONFIG: the host of {self} cannot be resolved: {reason}") from error

  def answers(self) -> bool:
    """Whether the port of the machine accepts connections."""
    try:
      socket.create_connection((self.host, self.port), _CONNECTION).close()
    except OSError:
      return False
    return True


@dataclasses.dataclass(frozen=True)
class Cluster:
  """All machines of a cluster, and the present one."""

  machines: tuple[Machine, ...]
  this: Machine

  @classmethod
  def parse(cls, text: str) -> "Cluster":
    """The cluster that a value of TF_CONFIG describes.

    Raises:
      ValueError: the value does not describe workers, with or without a chief; the message names
        the fault.
    """
    try:
      return _parse(text)
    except ValueError as error:
      raise ValueError(
        f"{error}; --strategy=multi_worker needs the machines and which one this is, such as "
        f"{_EXAMPLE}"
      ) from error

  def wait(self) -> None:
    """Returns when all machines are present; logs the absent ones at once and now and then.

    Raises:
      ValueError: a host cannot be resolved.
      OSError: the port of this machine is taken.
      KeyboardInterrupt: Ctrl-C.
    """
    for machine in self.machines:
      machine.resolve()
    shown, shown_at = None, 0.0
    with _listening(self.this.port) as listener:
      while True:
        absent = [str(m) for m in self.machines if m != self.this and not m.answers()]
        if not absent:
          return
        if absent != shown or time.monotonic() - shown_at >= _REMINDER:
          logging.info("Waiting for %s.", ", ".join(absent))
          shown, shown_at = absent, time.monotonic()
        _answer(listener, _PAUSE)


def _parse(text):
  if not text:
    raise ValueError("there is no TF_CONFIG")
  try:
    description = json.loads(text)
  except ValueError as error:
    raise ValueError(f"TF_CONFIG is no JSON: {error}") from error
  roles, task = (_object(description, name) for name in ("cluster", "task"))
  if "type" not in task:
    raise ValueError("TF_CONFIG's task has no type")
  for role in (*roles, task["type"]):
    if role not in _ROLES:
      raise ValueError(f"TF_CONFIG has the role {role}, but training has chief and worker alone")
  machines = {
    (role, str(index)): _machine(role, index, address)
    for role in _ROLES
    for index, address in enumerate(_addresses(roles, role))
  }
  this = task["type"], str(task.get("index"))
  if this not in machines:
    raise ValueError(f"TF_CONFIG's cluster has no {' '.join(this)}, which this machine is to be")
  return Cluster(tuple(machines.values()), machines[this])


def _object(description, name):
  value = description.get(name) if isinstance(description, dict) else None
  if not isinstance(value, dict):
    raise ValueError(f"TF_CONFIG has no {name}")
  return value


def _addresses(roles, role):
  addresses = roles.get(role, [])
  if not isinstance(addresses, list):
    raise ValueError(f"TF_CONFIG's {role} is not a list of addresses")
  return addresses


def _machine(role, index, address):
  host, _, port = str(address).rpartition(":")
  if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
    raise ValueError(f"TF_CONFIG's {role} {index} is {address!r}, not HOST:PORT")
  return Machine(role, index, host.strip("[]"), int(port))


@contextlib.contextmanager
def _listening(port) -> Iterator[socket.socket]:
  """Accepts connections in place of TensorFlow's server, which is not started yet."""
  try:
    listener = socket.create_server(("", port), backlog=128)
  except OSError as error:
    raise OSError(
      f"TF_CONFIG: port {port} of this machine cannot be used: {error.strerror}"
    ) from error
  with listener:
    listener.setblocking(False)
    yield listener


def _answer(listener, seconds):
  """Accepts connections for some seconds; with a full queue this machine would seem absent."""
  end = time.monotonic() + seconds
  while select.select([listener], [], [], max(0.0, end - time.monotonic()))[0]:
    with contextlib.suppress(BlockingIOError):
      listener.accept()[0].close()
