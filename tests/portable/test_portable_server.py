"""The server without TensorFlow."""

import http.client
import io
import pathlib
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

from bmshj_minnen import portable

pytest.importorskip("uvicorn")

_ROOT = pathlib.Path(__file__).parent.parent.parent
_PROGRAM = """
import sys
sys.modules["tensorflow"] = None
from bmshj_minnen import serve
serve.run()
"""


def _ask(port, path, body):
  connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
  connection.request("POST", path, body)
  return connection.getresponse().read()


def test_it_answers_as_the_codec_does():
  command = [sys.executable, "-c", _PROGRAM, "--port=0"]
  with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=_ROOT) as process:
    try:
      port = int(process.stdout.readline().partition(",")[0].rpartition(":")[2])
      codec, image = portable.load(), np.tile(np.arange(90, dtype=np.uint8), (70, 3, 1))
      image = np.ascontiguousarray(image.transpose(0, 2, 1))
      file = io.BytesIO()
      PIL.Image.fromarray(image).save(file, "PNG")
      data = _ask(port, "/compress?quality=30", file.getvalue())
      assert data == codec.compress(image, quality=30)
      assert _ask(port, "/decompress", data).startswith(b"\x89PNG")
    finally:
      process.terminate()
