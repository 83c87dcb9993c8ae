"""Serves a codec over HTTP: `python -m bmshj_minnen.serve`.

curl --data-binary @photo.png 'localhost:8080/compress?quality=30' > photo.tfci
curl --data-binary @photo.tfci 'localhost:8080/decompress?scale=1/2' > back.png
curl --data-binary @photo.tfci 'localhost:8080/preview?size=256' > preview.jpg
"""

import logging
import socket
import sys

from absl import flags

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
from bmshj_minnen.command_line import runtimes, shared_flags
from bmshj_minnen.server.pool import Limits

_DEFAULTS = Limits()
_MODEL = shared_flags.define_model()
_HOST = flags.DEFINE_string("host", "127.0.0.1", "Address to listen at; 0.0.0.0 is all of them.")
_PORT = flags.DEFINE_integer("port", 8080, "Port; 0 takes a free one.", 0, 65535)
_JOBS = flags.DEFINE_integer(
  "jobs", _DEFAULTS.jobs, "Requests that are worked on at the same time.", 1
)
_QUEUE = flags.DEFINE_integer(
  "queue", _DEFAULTS.queue, "Requests that may wait; others get status 503.", 0
)
_SECONDS = flags.DEFINE_float("timeout", _DEFAULTS.seconds, "Seconds for a request.", 0.1, 86400.0)
_MAX_BYTES = flags.DEFINE_integer("max_bytes", _DEFAULTS.max_bytes, "Maximum bytes of a body.", 1)
_MAX_PIXELS = flags.DEFINE_integer(
  "max_pixels", _DEFAULTS.max_pixels, "Maximum pixels of a picture.", 1
)
_MEMORY = shared_flags.define_memory(1.0, "of all jobs may take; pictures are extra.")
_RUNTIME = shared_flags.define_runtime()

_GRACE = 5  # Seconds beyond the time for a request, to answer it before the server stops.
# Bytes per pixel of pictures that are worked on: the pixels, copies of them, and the latents.
_PIXEL_BYTES = 40
_BASE_BYTES = 2**29  # Bytes of the libraries and the model.


def _libraries():
  """Starlette's server and uvicorn, which are an extra."""
  try:
    import uvicorn

    from bmshj_minnen.server import application
  except ImportError as error:
    raise ValueError(f"{error.name} is not installed: pip install '.[serve]'") from error
  return uvicorn, application


def _bound(limits):
  """Bytes that the server may take, roughly."""
  networks = int(_MEMORY.value * shared_flags.GIB)
  pictures = limits.jobs * limits.max_pixels * _PIXEL_BYTES
  bodies = (limits.jobs + limits.queue) * limits.max_bytes
  return _BASE_BYTES + networks + pictures + bodies


def _listener(backlog):
  family = socket.AF_INET6 if ":" in _HOST.value else socket.AF_INET
  try:
    return socket.create_server((_HOST.value, _PORT.value), family=family, backlog=backlog)
  except OSError as error:
    cause = error.strerror.partition(" (while")[0]
    raise ValueError(
      f"cannot listen at {_HOST.value}:{_PORT.value}: {cause}: give another --host or --port"
    ) from error


def main(argv):
  """Flags -> one library call."""
  with startup.one_line_errors():
    if len(argv) > 1:
      raise ValueError(f"unknown argument {argv[1]}: pictures come by HTTP")
    uvicorn, application = _libraries()
    from bmshj_minnen.server import calls

    limits = Limits(_JOBS.value, _QUEUE.value, _SECONDS.value, _MAX_BYTES.value, _MAX_PIXELS.value)
    loader = runtimes.choose(
      _RUNTIME.value,
      _MODEL.value,
      [],
      runtimes.pixels_of_compressed,
      reports=False,
      max_pixels=limits.max_pixels,
      memory=int(_MEMORY.value * shared_flags.GIB / limits.jobs),
    )
    codec = loader.load(_MODEL.value)
    codec_of = loader.codec_of(_MODEL.value)
    server = application.Server(calls.Codecs(codec, codec_of, limits.max_pixels), limits)
    logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.WARNING, force=True)
    application.LOG.setLevel(logging.INFO)
    config = uvicorn.Config(
      server.application,
      _HOST.value,
      _PORT.value,
      log_config=None,
      access_log=False,
      timeout_graceful_shutdown=int(limits.seconds) + _GRACE,
    )
    listener = _listener(config.backlog)  # Requests may come from here on; they wait.
    print(
      f"listening at http://{_HOST.value}:{listener.getsockname()[1]}, "
      f"takes at most about {_bound(limits) / shared_flags.GIB:.1f} GiB",
      flush=True,
    )
    uvicorn.Server(config).run([listener])


def run():
  """The console entry point."""
  startup.run(main)


if __name__ == "__main__":
  run()
