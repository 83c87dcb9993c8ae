"""Compares the SavedModels, in their own processes, with the command line and the Keras model."""

import contextlib
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import PIL.Image
import tensorflow as tf

import bmshj_minnen
from bmshj_minnen import config
from bmshj_minnen.data import finding
from bmshj_minnen.images import image_files
from bmshj_minnen.model_files import model_directory
from experiments.reliability import hostile

__all__ = [
  "CodecWorker",
  "build_client",
  "check_client",
  "check_codec",
  "check_refusals",
  "check_stock",
  "escaped",
  "make_photographs",
  "op_library",
  "package_program",
  "run",
]

_FOLDER = pathlib.Path(__file__).parent
_ROOT = _FOLDER.parents[1]


def op_library() -> pathlib.Path:
  """tensorflow-compression's shared library of ops."""
  site_packages = pathlib.Path(tf.sysconfig.get_lib()).parent
  return site_packages / "tensorflow_compression" / "cc" / "libtensorflow_compression.so"


def run(*command: object) -> str:
  """Runs a program outside of the tree, so that it cannot import the package by chance.

  Returns:
    The program's output.

  Raises:
    ValueError: the program failed.
  """
  words = [str(word) for word in command]
  done = subprocess.run(words, capture_output=True, check=False, **_outside())
  if done.returncode:
    raise ValueError(f"{' '.join(words)} failed: {done.stdout} {done.stderr}")
  return done.stdout


def _outside():
  """Options of a process that cannot import the package by chance."""
  environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": ""}
  return {"text": True, "env": environment, "cwd": "/"}


class CodecWorker:
  """The process of `codec_worker.py`, which lives until the end of a `with` statement.

  Args:
    saved_model: the codec's SavedModel.
  """

  def __init__(self, saved_model: pathlib.Path):
    command = [sys.executable, _FOLDER / "codec_worker.py", op_library(), saved_model]
    words = [str(word) for word in command]
    self._errors = tempfile.TemporaryFile("w+")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._errors}
    self._process = subprocess.Popen(words, **pipes, **_outside())

  def __enter__(self):
    return self

  def __exit__(self, *_):
    with contextlib.suppress(BrokenPipeError):
      self._process.stdin.close()
    self._process.wait()
    self._process.stdout.close()
    self._errors.close()

  def do(self, task: str, source: pathlib.Path, target: pathlib.Path) -> str:
    """Does a task, see `codec_worker.py`, and returns its output.

    Raises:
      ValueError: the task failed.
    """
    with contextlib.suppress(BrokenPipeError):
      print(json.dumps([task, str(source), str(target)]), file=self._process.stdin, flush=True)
    line = self._process.stdout.readline()
    if not line:
      self._errors.seek(0)
      raise ValueError(f"{task} of {source} failed: {self._errors.read()}")
    return json.loads(line)


def package_program(name: str, *arguments: object) -> None:
  """Runs `python -m bmshj_minnen.NAME`."""
  command = [sys.executable, "-m", f"bmshj_minnen.{name}", *map(str, arguments)]
  subprocess.run(command, check=True, cwd=_ROOT, stdout=subprocess.DEVNULL)


def make_photographs(folder: pathlib.Path, count: int, smallest: int = 61) -> None:
  """Writes parts of the bundled photographs, all of different sizes; every second as a JPEG."""
  folder.mkdir()
  sources = [image_files.read_image(path) for path in finding.bundled_photographs()]
  for i in range(count):
    part = sources[i % len(sources)][: smallest + 37 * i, : smallest + 20 + 29 * i]
    name = folder / f"{i:02d}.{('png', 'jpg')[i % 2]}"
    PIL.Image.fromarray(part).save(name)


def check_codec(worker: CodecWorker, model: str, folder: pathlib.Path) -> int:
  """Compares files and pixels of both sides, for the photographs in `folder`/photographs.

  Args:
    worker: a process with the codec's SavedModel.
    model: a model directory, or the name of a shipped model.
    folder: a folder that gets the files of both sides.

  Returns:
    The number of files that were the same in three ways.

  Raises:
    ValueError: a file or a pixel differs.
  """
  photographs, files, ours = folder / "photographs", folder / "files", folder / "ours"
  flags = [f"--model={model}", "--runtime=tensorflow"]  # Sums of another runtime round otherwise.
  worker.do("compress", photographs, files)
  package_program("compress", *flags, f"--output_dir={ours}", photographs)
  paths = sorted(ours.iterdir())
  for path in paths:
    for kind in ("single", "batched"):
      (theirs,) = (files / kind).glob(f"{path.stem}.*")
      if theirs.read_bytes() != path.read_bytes():
        raise ValueError(f"{theirs} and {path} differ")
  worker.do("decompress_png", ours, folder / "theirs_back")
  # The command line recognises files by their names.
  for path in (files / "single").iterdir():
    path.rename(path.with_suffix(".tfci"))
  back = folder / "ours_back"
  package_program("decompress", *flags, f"--output_dir={back}", files / "single")
  for path in sorted(back.iterdir()):
    for kind in ("single", "batched"):
      (theirs,) = (folder / "theirs_back" / kind).glob(f"{path.stem}.*")
      if not np.array_equal(np.asarray(PIL.Image.open(theirs)), image_files.read_image(str(path))):
        raise ValueError(f"pixels of {theirs} and {path} differ")
  return len(paths)


def check_stock(saved_model: pathlib.Path, model: str, folder: pathlib.Path, count: int) -> str:
  """Compares `reconstruct` with the Keras model, for some photographs in `folder`/photographs.

  Returns:
    The worker's output.

  Raises:
    ValueError: pixels or bits differ, or an op is unknown.
  """
  paths = sorted((folder / "photographs").iterdir())[:count]
  pictures = {path.stem: image_files.read_image(str(path)) for path in paths}
  np.savez(folder / "in.npz", **pictures)
  worker = _FOLDER / "stock_worker.py"
  text = run(sys.executable, worker, saved_model, folder / "in.npz", folder / "out.npz")
  keras = model_directory.load_model(model)
  with np.load(folder / "out.npz") as results:
    for name, image in pictures.items():
      (height, width), stride = image.shape[:2], config.LATENT_STRIDE
      padding = [(0, -height % stride), (0, -width % stride), (0, 0)]
      x_hat, rate = keras.forward_rounded(tf.constant(np.pad(image, padding, "edge")[None]))
      pixels = np.clip(np.round(x_hat[0, :height, :width]), 0, 255)
      bits = float(rate.y_bits[0] + rate.z_bits[0])
      if not np.array_equal(results[f"{name}.pixels"], pixels):
        raise ValueError(f"pixels of {name} differ from the Keras model's")
      if not np.isclose(results[f"{name}.bits_per_pixel"] * height * width, bits, rtol=1e-6):
        raise ValueError(f"bits of {name} differ from the Keras model's")
  return text


def check_refusals(
  worker: CodecWorker, codec: bmshj_minnen.Codec, folder: pathlib.Path, count: int
) -> str:
  """Sends bad files, which must get the messages of a codec of the same model.

  Args:
    worker: a process with the codec's SavedModel.
    codec: a codec with the `max_pixels` of the SavedModel.
    folder: the folder of `check_codec`.
    count: number of files, of all kinds in `robustness.hostile`.

  Returns:
    The worker's output.

  Raises:
    ValueError: a file is not refused, or is refused with another message.
  """
  photograph = image_files.read_image(finding.bundled_photographs()[0])
  forge = hostile.Forge(codec, photograph)
  cases = list(itertools.islice(_refused(codec, forge), count))
  (folder / "bad.json").write_text(json.dumps(cases))
  return worker.do("refuse", folder / "bad.json", sorted((folder / "ours").iterdir())[0])


def _refused(codec, forge):
  """Yields hostile files without end, with the reasons for refusal; omits files that decode."""
  for seed in itertools.count():
    for kind in hostile.KINDS:
      case = forge.make(kind, np.random.default_rng(seed))
      outcome = hostile.decode(codec, case)
      if outcome.name == "other":
        raise ValueError(f"{kind}, seed {seed}: {outcome.detail}")
      if outcome.name == "refused":
        yield {"kind": kind, "file": case.data.hex(), "message": escaped(outcome.detail)}


def escaped(message: str) -> str:
  """Escapes a message as TensorFlow does in a status."""
  return message.replace("\\", "\\\\").replace("'", "\\'").replace('"', '\\"')


def build_client(folder: pathlib.Path) -> pathlib.Path:
  """Builds the C++ client into a folder.

  Raises:
    ValueError: the client does not compile.
  """
  client = folder / "client"
  run(_FOLDER / "build.sh", sys.executable, client)
  return client


def check_client(saved_model: pathlib.Path, folder: pathlib.Path, runs: int) -> str:
  """Builds the C++ client and compares its results with the results of `check_codec`.

  Returns:
    The client's output.

  Raises:
    ValueError: the client does not build or run, or files or pixels differ.
  """
  client = build_client(folder)
  photograph = sorted((folder / "photographs").iterdir())[-1]
  file, back = folder / "client.tfci", folder / "client.png"
  text = run(client, op_library(), saved_model, runs, photograph, file, back)
  if file.read_bytes() != (folder / "ours" / f"{photograph.stem}.tfci").read_bytes():
    raise ValueError("the client's file differs")
  pixels = image_files.read_image(str(folder / "ours_back" / f"{photograph.stem}.png"))
  if not np.array_equal(image_files.read_image(str(back)), pixels):
    raise ValueError("the client's pixels differ")
  return text
