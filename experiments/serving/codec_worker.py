"""Runs the codec's SavedModel in a process with TensorFlow and the op library alone.

python experiments/serving/codec_worker.py OP_LIBRARY SAVED_MODEL

Each line of its input is a JSON list, a task and two paths, and gets a line, the JSON text of the
task's output:

["compress", IN, OUT], ["decompress_png", IN, OUT] convert the files of the folder IN to OUT/single,
one per call, and to OUT/batched, all in one call. ["refuse", CASES, FILE] sends `decompress` the
bad files of CASES, and then FILE, a good one.

The first task that fails ends the process.
"""

import collections
import json
import pathlib
import sys

import tensorflow as tf


def _convert(signature, source, target):
  paths = sorted(pathlib.Path(source).iterdir())
  files = [path.read_bytes() for path in paths]
  single = [_call(signature, [file])[0] for file in files]
  for name, results in (("single", single), ("batched", _call(signature, files))):
    folder = pathlib.Path(target) / name
    folder.mkdir(parents=True)
    for path, result in zip(paths, results):
      (folder / path.name).write_bytes(result)
  return ""


def _call(signature, files):
  (name,) = signature.structured_input_signature[1]
  (result,) = signature(**{name: tf.constant(files)}).values()
  return result.numpy()


def _refuse(signature, cases, good):
  """The number of bad files refused with the right message, and the growth of memory, as text.

  Args:
    signature: the signature `decompress`.
    cases: path of a JSON list of objects: "kind", "file" in hexadecimal digits, and the "message".
    good: path of a file that decodes.
  """
  cases = json.loads(pathlib.Path(cases).read_text())
  tried, refused = collections.Counter(), collections.Counter()
  for i, case in enumerate(cases):
    if i == len(cases) // 2:
      before = _resident()
    kind, data = case["kind"], bytes.fromhex(case["file"])
    tried[kind] += 1
    try:
      signature(file_bytes=tf.constant([data]))
    except tf.errors.InvalidArgumentError as error:
      refused[kind] += f"assertion failed: [file_bytes[0]: {case['message']}]" in str(error)
  lines = [f"{refused[kind]} of {number} refused: {kind}" for kind, number in sorted(tried.items())]
  lines += [f"memory: {before:.0f} MB after half of them, {_resident():.0f} MB after all"]
  _call(signature, [pathlib.Path(good).read_bytes()])
  lines += [f"refused {sum(refused.values())} of {len(cases)}; a good file still decodes"]
  text = "".join(f"{line}\n" for line in lines)
  if refused != tried:
    sys.exit(text)
  return text


def _resident():
  pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
  return pages * 4096 / 1e6


def main():
  """Tasks -> files, and a line each."""
  library, saved_model = sys.argv[1:]
  tf.load_op_library(library)
  model = tf.saved_model.load(saved_model)
  foreign = [name for name in sys.modules if name.startswith(("bmshj", "tensorflow_comp"))]
  assert not foreign, foreign
  for line in sys.stdin:
    task, first, second = json.loads(line)
    if task == "refuse":
      text = _refuse(model.signatures["decompress"], first, second)
    else:
      text = _convert(model.signatures[task], first, second)
    print(json.dumps(text), flush=True)


if __name__ == "__main__":
  main()
