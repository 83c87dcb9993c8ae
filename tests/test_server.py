"""The server: right answers, refusals in one line, bounded work, and a stop that loses nothing."""

import concurrent.futures
import contextlib
import http.client
import io
import json
import re
import signal
import socket
import struct
import threading
import time
import zlib

import numpy as np
import PIL.Image
import pytest

from bmshj_minnen import portable
from bmshj_minnen.server import calls, pool
from tests import altered, codecs, programs

uvicorn = pytest.importorskip("uvicorn")
application = pytest.importorskip("bmshj_minnen.server.application")

_LIMITS = pool.Limits(max_bytes=200_000, max_pixels=300_000, seconds=30.0)


@contextlib.contextmanager
def _serving(codec, limits):
  """Address of a server in a thread, and its `Server`."""
  server = application.Server(calls.Codecs(codec, lambda file: codec, limits.max_pixels), limits)
  config = uvicorn.Config(server.application, port=0, log_config=None, access_log=False)
  sockets = [config.bind_socket()]
  sockets[0].listen(config.backlog)  # Requests that come before the thread runs wait.
  running = uvicorn.Server(config)
  thread = threading.Thread(target=running.run, args=(sockets,))
  thread.start()
  try:
    yield sockets[0].getsockname(), server
  finally:
    running.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def codec():
  return portable.load()


@pytest.fixture(scope="module")
def address(codec):
  with _serving(codec, _LIMITS) as (address, _):
    yield address


def _ask(address, path, body=b"", method="POST", headers=()):
  connection = http.client.HTTPConnection(*address, timeout=60)
  try:
    connection.request(method, path, body, dict(headers))
    response = connection.getresponse()
    return response.status, response.read(), response
  finally:
    connection.close()


def _png(image):
  file = io.BytesIO()
  PIL.Image.fromarray(image).save(file, "PNG")
  return file.getvalue()


def _image(data):
  return np.asarray(PIL.Image.open(io.BytesIO(data))).astype(int)


def test_answers_are_those_of_the_codec(codec, address):
  image = codecs.photograph(90, 133)
  for query, asked in (("", {}), ("?quality=30", {"quality": 30}), ("?bytes=900", {"bytes": 900})):
    status, data, response = _ask(address, f"/compress{query}", _png(image))
    assert (status, data) == (200, codec.compress(image, **asked))
    assert response.headers["content-type"] == "image/x-tfci"
  status, body, response = _ask(address, "/decompress", data)
  assert status == 200 and response.headers["content-type"] == "image/png"
  np.testing.assert_array_equal(_image(body), codec.decompress(data))
  part = _image(_ask(address, "/decompress?region=5,6,50,40", data)[1])
  np.testing.assert_array_equal(part, codec.decompress(data, region=(5, 6, 50, 40)))
  small = _image(_ask(address, "/decompress?scale=1/4", data)[1])
  np.testing.assert_array_equal(small, codec.decompress(data, scale=1 / 4))
  lossy = PIL.Image.open(io.BytesIO(_ask(address, "/decompress?format=webp", data)[1]))
  assert lossy.format == "WEBP" and lossy.size == (133, 90)
  preview = PIL.Image.open(io.BytesIO(_ask(address, "/preview?size=40", data)[1]))
  assert preview.format == "JPEG" and max(preview.size) == 40
  facts = json.loads(_ask(address, "/info", data)[1])
  assert (facts["width"], facts["height"], facts["bytes"]) == (133, 90, len(data))
  assert facts["intact"] and facts["model"] == "joint-mse"


def _declaring(width, height):
  """A PNG that declares a size, and has hardly any pixels."""

  def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

  header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
  end = chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
  return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + end


def _refusals(codec):
  image = codecs.photograph(60, 60)
  png, data = _png(image), codec.compress(image)
  large = codec.compress(np.zeros((600, 501, 3), np.uint8))
  transparent = _png(np.dstack([image, np.full((60, 60), 9, np.uint8)]))
  return [
    ("/compress", b"", 400, "the body is empty"),
    ("/compress", b"no picture", 400, "not a readable image"),
    ("/compress", png[: len(png) // 2], 400, "the picture: "),
    ("/compress", transparent, 400, "transparency; choose one of alpha="),
    ("/compress?quality=0", png, 400, "quality"),
    ("/compress?quality=nan", png, 400, "quality"),
    ("/compress?quality=x", png, 400, "quality must be a number, not 'x'"),
    ("/compress?quality=5&bpp=1", png, 400, "give only one of quality, bpp"),
    ("/compress?quality=30&quality=40", png, 400, "quality is given twice"),
    ("/compress?bytes=5", png, 400, "too few"),
    ("/compress?bpp=0.0001", png, 400, "0 bytes are too few: the lowest quality takes"),
    ("/compress?bytes=inf", png, 400, "bytes"),
    ("/compress?effort=9", png, 400, "no parameter 'effort' here: it takes quality"),
    ("/compress", _declaring(9000, 9000), 413, "9000x9000 is more than 300000 pixels"),
    ("/compress", _declaring(60000, 60000), 413, "3600000000 pixels"),
    ("/compress", bytes(200_001), 413, "the body has 200001 bytes, more than 200000"),
    ("/decompress", png, 400, "not a compressed image"),
    ("/decompress", altered.flipped(data, "checksum"), 400, "checksum"),
    ("/decompress", data[:-1], 400, "truncated"),
    ("/decompress", large, 413, "501x600 is more than 300000 pixels"),
    ("/decompress?scale=1/3", data, 400, "scale is one of 1, 1/2, 1/4, 1/8"),
    ("/decompress?region=1,2", data, 400, "region is left, top, width and height"),
    ("/decompress?region=0,0,61,5", data, 400, "is not within 60x60"),
    ("/decompress?format=gif", data, 400, "format is one of png"),
    ("/decompress?output_quality=50", data, 400, "output_quality is 1 to 100, for .jpg"),
    ("/preview?size=0", data, 400, "size is 1 to 2048"),
    ("/preview?size=9&size=9", data, 400, "size is given twice"),
    ("/info?x=1", data, 400, "it takes none"),
    ("/other", data, 404, "there is /compress"),
  ]


def test_refusals_are_a_line(codec, address):
  for path, body, expected, text in _refusals(codec):
    status, answer, response = _ask(address, path, body)
    assert (status, answer.count(b"\n")) == (expected, 1), (path, answer)
    assert text in answer.decode() and answer.endswith(b"\n"), (path, answer)
    assert response.headers["content-type"].startswith("text/plain")
  # It still works.
  image = codecs.photograph(60, 60)
  assert _ask(address, "/compress", _png(image))[1] == codec.compress(image)


def test_bodies_without_a_declared_length_are_bounded(address):
  chunks = (bytes(1000) for _ in range(300))
  assert _ask(address, "/compress", chunks)[:2] == (413, b"the body has more than 200000 bytes\n")


class _Slow:
  """A codec that works until an event, and reports progress."""

  def __init__(self):
    self.started, self.go, self.ended = threading.Semaphore(0), threading.Event(), 0

  def compress(self, image, progress):
    self.started.release()
    try:
      while not self.go.wait(0.01):
        progress(0.5)
      return b"done"
    finally:
      self.ended += 1


def test_further_requests_are_refused_and_the_others_answered():
  codec, png = _Slow(), _png(codecs.photograph(20, 20))
  limits = pool.Limits(jobs=2, queue=3, seconds=30.0)
  with (
    _serving(codec, limits) as (address, server),
    concurrent.futures.ThreadPoolExecutor() as many,
  ):
    first = [many.submit(_ask, address, "/compress", png) for _ in range(5)]
    codec.started.acquire(timeout=30)
    codec.started.acquire(timeout=30)
    while server.pool.admitted < 5:
      time.sleep(0.01)
    for _ in range(4):
      status, answer, response = _ask(address, "/compress", png)
      assert status == 503 and b"3 requests wait already" in answer
      assert int(response.headers["Retry-After"]) >= 1
    text = _ask(address, "/metrics", method="GET")[1].decode()
    assert "bmshj_serve_running 2\n" in text and "bmshj_serve_waiting 3\n" in text
    assert _ask(address, "/healthz", method="GET")[:2] == (200, b"ok\n")
    codec.go.set()
    assert [future.result()[:2] for future in first] == [(200, b"done")] * 5
    text = _ask(address, "/metrics", method="GET")[1].decode()
    counts = dict(re.findall(r'requests_total\{path="/compress",status="(\d+)"\} (\d+)', text))
    assert counts == {"200": "5", "503": "4"} and server.pool.admitted == 0


def test_time_is_limited_and_the_thread_is_free_again():
  codec, png = _Slow(), _png(codecs.photograph(20, 20))
  with _serving(codec, pool.Limits(jobs=1, queue=1, seconds=0.5)) as (address, server):
    with concurrent.futures.ThreadPoolExecutor() as many:
      late = [many.submit(_ask, address, "/compress", png) for _ in range(2)]
      for future in late:
        status, answer, response = future.result()
        assert status == 503 and answer == b"this took longer than 0.5 seconds\n"
        assert "Retry-After" in response.headers
    codec.go.set()
    assert _ask(address, "/compress", png)[:2] == (200, b"done")
    assert server.pool.admitted == 0


def test_slow_and_lost_clients_cost_no_room(codec):
  with _serving(codec, pool.Limits(jobs=1, queue=0, seconds=0.5)) as (address, server):
    head = b"POST /compress HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nbegin"
    with socket.create_connection(address, 30) as connection:
      connection.sendall(head)
      response = http.client.HTTPResponse(connection)
      response.begin()
      assert response.status == 408 and b"longer than 0.5 seconds" in response.read()
    with socket.create_connection(address, 30) as connection:
      connection.sendall(head)
    until = time.monotonic() + 10
    while server.pool.admitted and time.monotonic() < until:
      time.sleep(0.01)
    assert server.pool.admitted == 0
    assert _ask(address, "/info", codec.compress(codecs.photograph(20, 20)))[0] == 200


def test_a_defect_costs_one_request(codec, capsys):
  class Defective:
    def compress(self, image, progress):
      raise ZeroDivisionError

  png = _png(codecs.photograph(20, 20))
  with _serving(Defective(), _LIMITS) as (address, _):
    assert _ask(address, "/compress", png)[:2] == (
      500,
      b"the server has a defect; its log shows where\n",
    )
    assert _ask(address, "/healthz", method="GET")[0] == 200


def test_the_program_logs_lines_of_json_and_ends_when_it_is_told(tmp_path, codec):
  image = codecs.photograph(64, 64)
  with open(tmp_path / "log", "w+b") as log:
    process = programs.start("serve", "--port=0", "--runtime=onnx", stdout=log, stderr=log)
    try:
      until, port = time.monotonic() + 60, None
      while port is None and time.monotonic() < until:
        port = re.search(rb"listening at http://127.0.0.1:(\d+)", (tmp_path / "log").read_bytes())
        time.sleep(0.05)
      address = ("127.0.0.1", int(port[1]))
      assert _ask(address, "/compress", _png(image))[1] == codec.compress(image)
      with concurrent.futures.ThreadPoolExecutor() as many:
        # Ten seconds of work at most; the stop comes while it is going on.
        slow = many.submit(_ask, address, "/compress?psnr=33", _png(codecs.photograph(300, 300)))
        while b"/metrics" not in (tmp_path / "log").read_bytes():
          text = _ask(address, "/metrics", method="GET")[1].decode()
          if "bmshj_serve_running 1\n" in text or slow.done():
            break
        process.send_signal(signal.SIGTERM)
        assert slow.result()[0] == 200
    finally:
      process.send_signal(signal.SIGTERM)
      status = process.wait(60)
  assert status in (-signal.SIGTERM, 143)
  _, *lines = (tmp_path / "log").read_text().splitlines()
  first, second = map(json.loads, lines)
  assert first["path"] == "/compress" and first["status"] == second["status"] == 200
  assert (first["width"], first["height"]) == (64, 64) and first["bytes_in"] == len(_png(image))


def test_what_is_not_installed_is_named(tmp_path):
  code = """
import sys
sys.modules["uvicorn"] = None
from bmshj_minnen import serve
serve.run()
"""
  result = programs.run(code)
  assert result.returncode == 1 and "pip install '.[serve]'" in result.stderr
  result = programs.run("serve", "photo.png")
  assert result.returncode == 1 and "unknown argument photo.png" in result.stderr


def test_a_port_in_use_is_named_with_a_remedy():
  with socket.create_server(("127.0.0.1", 0)) as busy:
    port = busy.getsockname()[1]
    result = programs.run("serve", "--runtime=onnx", f"--port={port}")
  assert (result.returncode, result.stderr.count("\n")) == (1, 1)
  assert f"cannot listen at 127.0.0.1:{port}: Address already in use: give" in result.stderr


def test_wrong_methods_are_told_the_right_one(address):
  for method, path, text in (
    ("GET", "/compress", "/compress does not take GET: send a file with POST"),
    ("POST", "/healthz", "/healthz does not take POST: use GET"),
  ):
    assert _ask(address, path, method=method)[:2] == (405, f"{text}\n".encode())
  text = _ask(address, "/metrics", method="GET")[1].decode()
  assert 'requests_total{path="other",status="405"} 2\n' in text
