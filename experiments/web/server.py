"""Serves folders on loopback, with or without cross-origin isolation.

python -m experiments.web.server SITE [PORT]
"""

import collections
import contextlib
import functools
import http.server
import sys
import threading
from collections.abc import Iterator

__all__ = ["ISOLATION", "SENT", "Handler", "serving"]

# With these headers a page is isolated from others, and may use threads.
ISOLATION = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
}

SENT: collections.Counter[str] = collections.Counter()  # Address -> bytes of files that were sent.


class Handler(http.server.SimpleHTTPRequestHandler):
  """A handler of static files, which logs nothing.

  Attributes:
    isolated: whether pages are isolated.
    extensions_map: types of files by ending; browsers run modules of no other type.
  """

  isolated = True
  extensions_map = {
    **http.server.SimpleHTTPRequestHandler.extensions_map,
    ".js": "text/javascript",
    ".wasm": "application/wasm",
  }

  def end_headers(self):
    for name, value in ISOLATION.items() if self.isolated else ():
      self.send_header(name, value)
    super().end_headers()

  def copyfile(self, source, outputfile):
    data = source.read()
    SENT[_address(self.server)] += len(data)
    outputfile.write(data)

  def log_message(self, *_):
    pass


class _Plain(Handler):
  isolated = False


def _address(server):
  return f"http://127.0.0.1:{server.server_address[1]}/"


@contextlib.contextmanager
def serving(folder: str, isolated: bool = True, port: int = 0) -> Iterator[str]:
  """Serves a folder while the context lasts; yields its address.

  Args:
    folder: the folder.
    isolated: whether pages are isolated.
    port: on loopback; 0: a free one.
  """
  handler = functools.partial(Handler if isolated else _Plain, directory=folder)
  with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield _address(server)
    server.shutdown()
    thread.join()


if __name__ == "__main__":
  with serving(sys.argv[1], port=int((sys.argv[2:] or ["8000"])[0])) as address:
    print(address)
    threading.Event().wait()
