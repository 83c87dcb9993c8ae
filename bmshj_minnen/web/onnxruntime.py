"""The files of onnxruntime-web that a site uses, with their hashes."""

import base64
import hashlib
import pathlib
from typing import Any, NamedTuple

__all__ = ["CDN", "FILES", "VERSION", "Pinned", "copy", "described"]

VERSION = "1.30.0"
CDN = f"https://cdn.jsdelivr.net/npm/onnxruntime-web@{VERSION}/dist/"


class Pinned(NamedTuple):
  """A file: its size in bytes, and its integrity as browsers check it."""

  size: int
  integrity: str


# Module and WebAssembly of each way to run. "suspending" needs a browser that can suspend
# WebAssembly (JSPI); "webgpu" does without, and is larger.
_WAYS = {
  "wasm": ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"),
  "webgpu": ("ort.webgpu.bundle.min.mjs", "ort-wasm-simd-threaded.asyncify.wasm"),
  "suspending": ("ort.jspi.bundle.min.mjs", "ort-wasm-simd-threaded.jspi.wasm"),
}
FILES = {
  "ort.wasm.bundle.min.mjs": Pinned(
    73054, "sha384-PLWz+nHEVHpjwBsO0YVdvQj6n5814Iv8E3b8FG0Rp/uIAtjFMCKOpP66iPzedrIG"
  ),
  "ort-wasm-simd-threaded.wasm": Pinned(
    14239897, "sha384-vjBJ1z7qrhkTyYsNqKeF6c7N+nOJSU94czEo+tvZcu8G75JparGq9kB+kTnEUNVM"
  ),
  "ort.webgpu.bundle.min.mjs": Pinned(
    117732, "sha384-1ntMeyj+z5diX6vBR5h+zlJBPc4iNvhCxE6nlammh8daBYcLBZkzrwDkuJjhwI+f"
  ),
  "ort-wasm-simd-threaded.asyncify.wasm": Pinned(
    26781914, "sha384-EPVDLTxuO663dkZO/pcKJF6vOyyfq/5z9FY1oksN0UWFX2ABH4wDDZQHeNoUleWR"
  ),
  "ort.jspi.bundle.min.mjs": Pinned(
    115872, "sha384-9RUgRCKe1ziB7Sof69RRpoybxSmnC67IsfHFamx/k+9m39GbvHvw5Sets/Xpsro+"
  ),
  "ort-wasm-simd-threaded.jspi.wasm": Pinned(
    16758545, "sha384-bMP/XSpH5FjIIaVnUc1eR3cDsGZGdO1ZPjcHGEtvMwOgZZFcOEN8VrGooR81HSFO"
  ),
}


def described(base: str) -> dict[str, Any]:
  """The files for the page: way to run -> "module" and "binary", each with address and hash.

  Args:
    base: where the files are, an address or a folder of the site, with a slash at its end.
  """

  def entry(name):
    return {"file": base + name, "bytes": FILES[name].size, "integrity": FILES[name].integrity}

  return {
    way: {"module": entry(module), "binary": entry(binary)}
    for way, (module, binary) in _WAYS.items()
  }


def copy(source: pathlib.Path, target: pathlib.Path) -> None:
  """Copies the files from a local copy, the folder `dist` of the npm package.

  Args:
    source: the folder of the files.
    target: an existing folder.

  Raises:
    ValueError: a file is missing, or it is of another version.
  """
  for name, pinned in FILES.items():
    remedy = f"give the folder `dist` of the npm package onnxruntime-web {VERSION}"
    try:
      data = (source / name).read_bytes()
    except OSError as error:
      raise ValueError(f"{source} has no {name}: {remedy}") from error
    digest = base64.b64encode(hashlib.sha384(data).digest()).decode()
    if f"sha384-{digest}" != pinned.integrity:
      raise ValueError(f"{source / name} is of another version: {remedy}")
    (target / name).write_bytes(data)
