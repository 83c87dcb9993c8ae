"""The server as an ASGI application."""

import asyncio
import collections
import contextlib
import functools
import json
import logging
import time
from collections.abc import Iterator
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bmshj_minnen.command_line import prometheus
from bmshj_minnen.server import calls
from bmshj_minnen.server.pool import Limits, Pool, RefusedError

__all__ = ["LOG", "Server"]

LOG = logging.getLogger(__name__)  # Each message is a line of JSON.

_CLIENT_CLOSED = 499  # As other servers log a client that has gone.


class Server:
  """Answers requests with one codec.

  POST /compress, /decompress, /preview and /info take a file as their body. GET /healthz and
  /metrics are for operators. A refusal is a line of text.

  Args:
    codecs: the codecs.
    limits: the limits.

  Attributes:
    application: the ASGI application.
    pool: its threads.
  """

  def __init__(self, codecs: calls.Codecs, limits: Limits):
    self._codecs, self._limits = codecs, limits
    self.pool = Pool(limits)
    self._requests: collections.Counter = collections.Counter()
    self._sums: collections.Counter = collections.Counter()
    self._seconds: collections.Counter = collections.Counter()
    routes = [
      Route(path, functools.partial(self._answer, path), methods=["POST"]) for path in calls.CALLS
    ]
    routes += [Route("/healthz", self._healthz), Route("/metrics", self._metrics)]
    handlers = {404: self._other, 405: self._other}
    self.application = Starlette(
      routes=routes, exception_handlers=handlers, lifespan=self._lifespan
    )

  @contextlib.asynccontextmanager
  async def _lifespan(self, application):
    yield
    self.pool.close()

  async def _answer(self, path: str, request: Request) -> Response:
    begin, facts = time.monotonic(), {"path": path}
    try:
      answer = await self._worked(path, request, begin, facts)
      facts.update(width=answer.width, height=answer.height, bytes_out=len(answer.body))
      response = Response(answer.body, media_type=answer.media_type)
    except RefusedError as error:
      response = _refusal(error.status, error)
      if error.retry_after:
        response.headers["Retry-After"] = str(error.retry_after)
    except ClientDisconnect:
      response = _refusal(_CLIENT_CLOSED, "the client has gone")
    except ValueError as error:
      response = _refusal(400, error)
    except MemoryError:
      response = _refusal(413, "the picture does not fit into memory")
    except Exception:  # A defect met by one request must not end the others.
      logging.getLogger("bmshj_minnen").exception("a defect")
      response = _refusal(500, "the server has a defect; its log shows where")
    if response.status_code >= 400:
      facts["error"] = response.body.decode().rstrip("\n")
    self._count(facts, response.status_code, time.monotonic() - begin)
    return response

  async def _worked(self, path, request, begin, facts):
    """The answer to a request; its body is read only if there is room for it."""
    deadline = begin + self._limits.seconds
    try:
      self.pool.admit()
      try:
        body = await asyncio.wait_for(self._body(request), self._limits.seconds)
        facts["bytes_in"] = len(body)
        if await request.is_disconnected():
          raise ClientDisconnect
        asked = calls.parameters(request.query_params.multi_items())
        call = functools.partial(calls.CALLS[path], self._codecs, body, asked)
      except BaseException:
        self.pool.release()
        raise
      return await self.pool.run(call, deadline)
    except asyncio.TimeoutError:
      line = f"the body took longer than {self._limits.seconds:g} seconds"
      raise RefusedError(408, line) from None
    except RefusedError as error:
      if "bytes_in" not in facts:
        # Clients read the answer only after they have sent their body; it is not kept.
        with contextlib.suppress(asyncio.TimeoutError, ClientDisconnect):
          await asyncio.wait_for(self._drained(request), min(5.0, self._limits.seconds))
      raise error

  async def _body(self, request):
    limit = self._limits.max_bytes
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > limit:
      raise RefusedError(413, f"the body has {declared} bytes, more than {limit}")
    body = bytearray()
    async for chunk in request.stream():
      body += chunk
      if len(body) > limit:
        raise RefusedError(413, f"the body has more than {limit} bytes")
    if not body:
      raise ValueError("the body is empty: send a file in it")
    return bytes(body)

  async def _drained(self, request):
    left = self._limits.max_bytes
    with contextlib.suppress(RuntimeError):  # It was read in part already.
      async for chunk in request.stream():
        left -= len(chunk)
        if left < 0:
          return

  def _count(self, facts: dict[str, Any], status: int, seconds: float) -> None:
    path = facts["path"]
    self._requests[path, str(status)] += 1
    self._seconds[path,] += seconds
    for name in ("bytes_in", "bytes_out"):
      self._sums[name] += facts.get(name, 0)
    self._sums["pixels"] += facts.get("width", 0) * facts.get("height", 0)
    line = {"time": round(time.time(), 3), **facts, "status": status, "seconds": round(seconds, 4)}
    LOG.info(json.dumps(line))

  async def _other(self, request: Request, error: Exception) -> Response:
    paths = ", ".join((*calls.CALLS, "/healthz", "/metrics"))
    line = f"there is {paths}"
    if error.status_code == 405:
      remedy = "send a file with POST" if request.url.path in calls.CALLS else "use GET"
      line = f"{request.url.path} does not take {request.method}: {remedy}"
    self._count({"path": "other", "error": line}, error.status_code, 0.0)
    return _refusal(error.status_code, line)

  async def _healthz(self, request: Request) -> Response:
    return PlainTextResponse("ok\n")

  async def _metrics(self, request: Request) -> Response:
    text = prometheus.text_of(self._figures())
    return Response(text, media_type=prometheus.CONTENT_TYPE)

  def _figures(self) -> Iterator[prometheus.Figure]:
    requests = dict(self._requests)
    labels = ("path", "status")
    yield _counter("requests", "Requests that were answered.", requests, labels)
    yield _counter("seconds", "Seconds of these requests.", dict(self._seconds), ("path",))
    for name in ("bytes_in", "bytes_out", "pixels"):
      words = f"{name.replace('_', ' ').capitalize()} of these requests."
      yield _counter(name, words, {(): self._sums[name]})
    waiting = self.pool.admitted - self.pool.running
    gauges = [
      ("running", "Requests that are worked on.", self.pool.running),
      ("waiting", "Requests that are read or wait.", waiting),
      ("jobs", "Requests that can be worked on at the same time.", self._limits.jobs),
      ("queue", "Requests that may wait.", self._limits.queue),
    ]
    for name, words, value in gauges:
      yield prometheus.Figure(f"bmshj_serve_{name}", "gauge", words, {(): value})


def _counter(name, words, values, labels=()):
  return prometheus.Figure(f"bmshj_serve_{name}_total", "counter", words, values, labels)


def _refusal(status, line):
  text = " ".join(str(line).replace("--alpha", "alpha").split())
  return PlainTextResponse(f"{text}\n", status)
