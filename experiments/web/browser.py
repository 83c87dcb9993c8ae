"""Headless Chromium with the pages of sites, by `browser.mjs`."""

import json
import pathlib
import shutil
import subprocess
from typing import Any

__all__ = ["PACKAGES", "Browser"]

_ROOT = pathlib.Path(__file__).parents[2]
PACKAGES = _ROOT / ".node"  # The npm packages, with playwright-core and onnxruntime-web.


def _path(program: str) -> str:
  """The path of a program that the study needs.

  Raises:
    FileNotFoundError: there is no such program.
  """
  path = shutil.which(program)
  if path is None:
    raise FileNotFoundError(f"The study needs {program}: install it, and run the study again.")
  return path


class Browser:
  """A browser; a context that ends it."""

  def __enter__(self) -> "Browser":
    script = pathlib.Path(__file__).with_name("browser.mjs")
    node, chromium = map(_path, ("node", "chromium"))
    self._process = subprocess.Popen(
      [node, str(script), str(PACKAGES), chromium],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
    )
    return self

  def __exit__(self, *_):
    self._process.stdin.close()
    self._process.wait()

  def call(self, operation: str, **fields: Any) -> dict[str, Any]:
    """Calls one of the operations of `browser.mjs`, and returns its answer.

    Raises:
      RuntimeError: it fails.
    """
    self._process.stdin.write(json.dumps({"operation": operation, **fields}) + "\n")
    self._process.stdin.flush()
    answer = json.loads(self._process.stdout.readline())
    if "failed" in answer:
      raise RuntimeError(f"{operation}: {answer['failed']}")
    return answer
