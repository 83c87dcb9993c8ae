"""A headless Chromium that tests use as a person would, by its debugging protocol over pipes."""

import base64
import json
import os
import pathlib
import shutil
import subprocess
import time
from typing import Any, Optional

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_PATIENCE = 60.0  # Seconds.
_NO_GPU = "No available adapters."  # Chromium's warning about a question for a GPU.

KEYS = {"ArrowLeft": 37, "ArrowRight": 39, "Tab": 9, "End": 35, "Home": 36}


def find() -> Optional[str]:
  """The path of the program, or None."""
  return next(filter(None, map(shutil.which, _NAMES)), None)


class Page:
  """One page; `errors` has the errors on its console, and requests beyond the site it visits."""

  def __init__(self, folder: pathlib.Path, width: int = 1440, height: int = 900):
    self.errors: list[str] = []
    self._next = 0
    from_us, to_browser = os.pipe()
    from_browser, to_us = os.pipe()
    # The protocol uses descriptors 3 and 4.
    script = f'exec "$@" 3<&{from_us} 4>&{to_us}'
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    options += ["--remote-debugging-pipe", f"--user-data-dir={folder}", "--hide-scrollbars"]
    self._process = subprocess.Popen(
      ["bash", "-c", script, "bash", find(), *options, "about:blank"],
      pass_fds=(from_us, to_us),
      stderr=subprocess.DEVNULL,
    )
    os.close(from_us)
    os.close(to_us)
    self._write, self._read = to_browser, from_browser
    os.set_blocking(from_browser, False)
    self._received = b""
    target = self._call("Target.createTarget", {"url": "about:blank"})["targetId"]
    attached = self._call("Target.attachToTarget", {"targetId": target, "flatten": True})
    self._session = attached["sessionId"]
    for domain in ("Page", "Runtime", "Log", "Network"):
      self.call(f"{domain}.enable")
    self.resize(width, height)

  _session = ""
  _site = "file:"

  def call(self, method: str, **parameters) -> dict[str, Any]:
    """Calls a method of the protocol and returns its result."""
    return self._call(method, parameters)

  def _call(self, method, parameters):
    self._next += 1
    message = {"id": self._next, "method": method, "params": parameters}
    if self._session:
      message["sessionId"] = self._session
    os.write(self._write, json.dumps(message).encode() + b"\0")
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
      answer = self._receive()
      if answer is None:
        time.sleep(0.005)
      elif answer.get("id") == self._next:
        if "error" in answer:
          raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]
      else:
        self._note(answer)
    raise TimeoutError(method)

  def _receive(self):
    try:
      self._received += os.read(self._read, 1 << 20)
    except BlockingIOError:
      pass
    message, end, rest = self._received.partition(b"\0")
    if not end:
      return None
    self._received = rest
    return json.loads(message)

  def _note(self, event):
    kind, details = event.get("method"), event.get("params", {})
    if kind == "Runtime.exceptionThrown":
      self.errors.append(json.dumps(details["exceptionDetails"]))
    elif kind == "Log.entryAdded" and details["entry"]["level"] in ("error", "warning"):
      if details["entry"]["text"] == _NO_GPU:
        return
      self.errors.append(f"{details['entry']['text']} {details['entry'].get('url')}")
    elif kind == "Runtime.consoleAPICalled" and details["type"] in ("error", "warning"):
      self.errors.append(json.dumps(details["args"]))
    elif kind == "Network.requestWillBeSent":
      url = details["request"]["url"]
      if not url.startswith(("file:", "data:", "blob:", self._site)):
        self.errors.append(f"asked the network for {url}")

  def resize(self, width: int, height: int) -> None:
    """Sets the size of the window; below 600 pixels it counts as a phone."""
    self.call(
      "Emulation.setDeviceMetricsOverride",
      width=width,
      height=height,
      deviceScaleFactor=1,
      mobile=width < 600,
    )

  def open(self, path: pathlib.Path) -> float:
    """Opens a file from disk; returns the seconds until the page and all pictures are drawn."""
    start = time.perf_counter()
    self.call("Page.navigate", url=path.resolve().as_uri())
    self.wait(
      "document.readyState === 'complete' && location.protocol === 'file:' && "
      "[...document.images].every((image) => !image.src || image.complete)"
    )
    self.evaluate(
      "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))"
    )
    return time.perf_counter() - start

  def visit(self, address: str) -> None:
    """Opens a page of a server, whose other files may be fetched, too."""
    self._site = address
    self.call("Page.navigate", url=address)
    self.wait(f"document.readyState === 'complete' && location.href === {json.dumps(address)}")

  def choose(self, selector: str, path: pathlib.Path) -> None:
    """Chooses a file in an input element."""
    root = self.call("DOM.getDocument")["root"]["nodeId"]
    found = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
    self.call("DOM.setFileInputFiles", files=[str(path)], nodeId=found)

  def evaluate(self, expression: str) -> Any:
    """The value of an expression of JavaScript; waits for promises.

    Raises:
      RuntimeError: the expression throws an exception.
    """
    answer = self.call(
      "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
    )
    if "exceptionDetails" in answer:
      raise RuntimeError(json.dumps(answer["exceptionDetails"]))
    return answer["result"].get("value")

  def wait(self, expression: str) -> None:
    """Waits until an expression is true.

    Raises:
      TimeoutError: it is still false after `_PATIENCE`.
    """
    deadline = time.monotonic() + _PATIENCE
    while not self.evaluate(expression):
      if time.monotonic() > deadline:
        raise TimeoutError(expression)
      time.sleep(0.02)

  def box(self, selector: str) -> tuple[float, float, float, float]:
    """Left, top, width and height of an element, which is scrolled into the window."""
    element = f"document.querySelector({json.dumps(selector)})"
    self.evaluate(f"{element}.scrollIntoView({{block: 'center'}})")
    return tuple(
      self.evaluate(
        f"(({{left, top, width, height}}) => [left, top, width, height])"
        f"({element}.getBoundingClientRect())"
      )
    )

  def mouse(self, kind: str, x: float, y: float, pressed: bool = False) -> None:
    """Sends mouseMoved, mousePressed or mouseReleased; `pressed` is the left button."""
    button = {"button": "left", "buttons": 1, "clickCount": 1} if pressed else {}
    self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button)

  def key(self, name: str) -> None:
    """Presses one of `KEYS`, or a character, where the focus is."""
    event = {"key": name, "code": name}
    if name in KEYS:
      event["windowsVirtualKeyCode"] = KEYS[name]
    else:
      event = {"key": name, "text": name}
    self.call("Input.dispatchKeyEvent", type="keyDown", **event)
    self.call("Input.dispatchKeyEvent", type="keyUp", **event)

  def screenshot(self, path: pathlib.Path, whole: bool = True) -> None:
    """Writes a PNG of the page, or of the window."""
    options = {"captureBeyondViewport": True} if whole else {}
    if whole:
      size = self.call("Page.getLayoutMetrics")["cssContentSize"]
      options["clip"] = {**size, "x": 0, "y": 0, "scale": 1}
    data = self.call("Page.captureScreenshot", format="png", **options)["data"]
    path.write_bytes(base64.b64decode(data))

  def close(self) -> None:
    """Ends the browser."""
    self._session = ""
    try:
      self._call("Browser.close", {})
      self._process.wait(timeout=20)
    finally:
      self._process.kill()
      self._process.wait()
      os.close(self._write)
      os.close(self._read)
