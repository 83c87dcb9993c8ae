"""The server under load on this machine alone, beside a plain loop over the same requests.

`python -m experiments.reliability.server_load`

Threads send photographs of several sizes and compressed files, and one in ten is bad. Each answer
is compared with that of the codec in this process. A client that is refused with 503 waits and asks
again, as the server says.
"""

import collections
import concurrent.futures
import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import NamedTuple

import numpy as np
from absl import app, flags

from bmshj_minnen import portable
from bmshj_minnen.command_line import startup, usage
from bmshj_minnen.data import finding
from bmshj_minnen.images import image_files
from bmshj_minnen.server import calls, pool
from experiments import common

_CLIENTS = flags.DEFINE_list("clients", ["1", "8", "64", "200"], "Numbers of clients.")
_REQUESTS = flags.DEFINE_integer("requests", 60, "Good requests; many clients repeat them.", 10)
_OUTPUT = flags.DEFINE_string("output", None, "File for the results, JSON.")
_SIZES = ((64, 64), (96, 128), (192, 256), (360, 480))  # Heights and widths of the photographs.
_SHARES = (0.4, 0.3, 0.2, 0.1)
_PATIENCE = 600.0  # Seconds until a client gives up.


class Request(NamedTuple):
  """A request and its answer: a body, or the status of a refusal."""

  path: str
  body: bytes
  status: int
  answer: bytes = b""


def _good(codecs, count, random):
  """Requests that are answered, half of them to compress."""
  photographs = [image_files.read_image(path) for path in finding.bundled_photographs()]
  requests = []
  for i in range(count):
    height, width = _SIZES[random.choice(len(_SIZES), p=_SHARES)]
    photograph = photographs[random.integers(len(photographs))]
    top, left = (random.integers(s - n + 1) for s, n in zip(photograph.shape, (height, width)))
    crop = np.ascontiguousarray(photograph[top : top + height, left : left + width])
    if i % 2:
      path, body = "/compress", image_files.encode_image(crop)
    else:
      path, body = "/decompress", codecs.codec.compress(crop)
    requests.append(Request(path, body, 200, _plain(codecs, path, body)))
  return requests


def _bad(good, random):
  """A request that is refused, made from a good one."""
  kind = random.integers(5)
  pictures = [r for r in good if r.path == "/compress"]
  files = [r for r in good if r.path == "/decompress"]
  picture, file = (some[random.integers(len(some))].body for some in (pictures, files))
  flipped = bytearray(file)
  flipped[-1] ^= 1
  return [
    Request("/compress", picture[: len(picture) // 3], 400),
    Request("/decompress", bytes(flipped), 400),
    Request("/compress?quality=101", picture, 400),
    Request("/compress", bytes(pool.Limits().max_bytes + 1), 413),
    Request("/decompress", picture, 400),
  ][kind]


def _plain(codecs, path, body):
  return calls.CALLS[path](codecs, body, {}, lambda fraction: None).body


class Client:
  """Sends requests to a server and counts what comes back."""

  def __init__(self, port: int):
    self._port = port
    self.seconds: list[float] = []
    self.counts: collections.Counter = collections.Counter()

  def ask(self, request: Request) -> None:
    """Sends a request until it is not refused for lack of room."""
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
      begin = time.monotonic()
      status, answer, retry_after = self._once(request)
      if status != 503:
        break
      self.counts["503"] += 1
      self.counts["503 without Retry-After"] += not retry_after
      time.sleep(min(5.0, float(retry_after or 1)))
    if status == request.status == 200:
      self.seconds.append(time.monotonic() - begin)
      self.counts["right"] += answer == request.answer
      self.counts["wrong answers"] += answer != request.answer
    else:
      self.counts["refused rightly"] += status == request.status and answer.count(b"\n") == 1
      self.counts["refused wrongly"] += status != request.status

  def _once(self, request):
    connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_PATIENCE)
    try:
      connection.request("POST", request.path, request.body)
      response = connection.getresponse()
      return response.status, response.read(), response.headers["Retry-After"]
    except (ConnectionError, http.client.HTTPException) as error:
      self.counts[f"{type(error).__name__}"] += 1
      return 503, b"", "1"
    finally:
      connection.close()


def _processor_seconds(pid):
  fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
  return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(pid):
  """The largest resident memory so far, MiB."""
  for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
    if line.startswith("VmHWM"):
      return int(line.split()[1]) / 1024
  return 0.0


def _level(clients, good, random, server, port, codecs):
  """Figures for a number of clients; the loop runs over half of the good ones before and after.

  With many clients, each good request is sent several times.
  """
  times = -(-clients // len(good))
  requests = [*good * times, *(_bad(good, random) for _ in range(max(1, times * len(good) // 9)))]
  requests = [requests[i] for i in random.permutation(len(requests))]

  def loop(some):
    begin, processor = time.monotonic(), time.process_time()
    wrong = sum(_plain(codecs, r.path, r.body) != r.answer for r in some)
    assert not wrong
    return np.array([time.monotonic() - begin, time.process_time() - processor])

  some = good[: len(good) // 2], good[len(good) // 2 :]
  of_loop = loop(some[0])
  client, processor, begin = Client(port), _processor_seconds(server.pid), time.monotonic()
  with concurrent.futures.ThreadPoolExecutor(clients) as many:
    list(many.map(client.ask, requests))
  seconds = time.monotonic() - begin
  processor = _processor_seconds(server.pid) - processor
  of_loop += loop(some[1])
  percentiles = np.percentile(client.seconds, (50, 99))
  return {
    "clients": clients,
    "requests": len(requests),
    **client.counts,
    "seconds": round(seconds, 1),
    "seconds of the loop": round(of_loop[0], 1),
    "throughput / loop": round(times * of_loop[0] / seconds, 2),
    "processor seconds / loop": round(processor / times / of_loop[1], 2),
    "p50, s": round(percentiles[0], 2),
    "p99, s": round(percentiles[1], 2),
    "memory, MiB": round(_memory(server.pid)),
  }


def main(argv):
  """Starts a server, and runs each number of clients."""
  usage.refuse_arguments(argv)
  with startup.one_line_errors():
    random, codec = np.random.default_rng(0), portable.load()
    codecs = calls.Codecs(codec, lambda file: codec, pool.Limits().max_pixels)
    command = [sys.executable, "-m", "bmshj_minnen.serve", "--port=0", "--runtime=onnx"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
      says = server.stdout.readline()
      port = int(says.partition(",")[0].rpartition(":")[2])
      # The log must be read, or the server would wait.
      reader = concurrent.futures.ThreadPoolExecutor(1).submit(server.stdout.read)
      results = []
      for clients in map(int, _CLIENTS.value):
        good = _good(codecs, _REQUESTS.value, random)
        results.append(_level(clients, good, random, server, port, codecs))
        print(json.dumps(results[-1]), flush=True)
    finally:
      server.send_signal(signal.SIGTERM)
      status = server.wait()
    lines = [json.loads(line) for line in reader.result().splitlines()]
    results.append({"says": says.strip(), "status": status, "lines of its log": len(lines)})
    print(json.dumps(results[-1]))
    if _OUTPUT.value:
      common.write_json(_OUTPUT.value, results)


if __name__ == "__main__":
  app.run(main)
