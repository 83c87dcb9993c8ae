"""Runs the codec's SavedModel in a process that has TensorFlow and the op library alone.

python experiments/serving/codec_worker.py OP_LIBRARY SAVED_MODEL compress|decompress_png IN OUT
python experiments/serving/codec_worker.py OP_LIBRARY SAVED_MODEL refuse FILE COUNT

The first form converts the files of the folder IN to OUT/single, one a call, and to OUT/batched,
all in one call. The second sends COUNT bad strings made from FILE to `decompress`.
"""

import collections
import pathlib
import random
import sys

import tensorflow as tf

_HEADER, _CHECKSUM = 20, slice(16, 20)  # Bytes; see `bmshj_minnen.format.fields`.


def _convert(signature, source, target):
  paths = sorted(pathlib.Path(source).iterdir())
  files = [path.read_bytes() for path in paths]
  single = [_call(signature, [file])[0] for file in files]
  for name, results in (("single", single), ("batched", _call(signature, files))):
    folder = pathlib.Path(target) / name
    folder.mkdir(parents=True)
    for path, result in zip(paths, results):
      (folder / path.name).write_bytes(result)


def _call(signature, files):
  (name,) = signature.structured_input_signature[1]
  (result,) = signature(**{name: tf.constant(files)}).values()
  return result.numpy()


def _signed(head, payload):
  """A file whose checksum is right."""
  digest = tf.fingerprint([head[: _CHECKSUM.start] + payload])[0, :4].numpy().tobytes()
  return head[: _CHECKSUM.start] + digest + payload


def _bad_string(file, generator):
  """A kind, and one of its bad strings."""
  head, payload = file[:_HEADER], file[_HEADER:]
  at = generator.randrange(len(file))
  junk = generator.randbytes(generator.randrange(200))
  longer = payload + bytes(2000)
  size = len(longer).to_bytes(4, "big")
  return generator.choice(
    [
      ("random", junk),
      ("random behind the magic", file[:8] + junk),
      ("truncated", file[:at]),
      ("trailing bytes", file + b"0" + junk),
      ("a flipped bit", file[:at] + bytes([file[at] ^ 1 << at % 8]) + file[at + 1 :]),
      ("signed, another model", _signed(head[:4] + b"\0\0\0\0" + head[8:], payload)),
      ("signed, 2^32 pixels", _signed(head[:8] + b"\xff" * 4 + head[12:], payload)),
      ("signed, too long a payload", _signed(head[:12] + size, longer)),
    ]
  )


def _refuse(signature, file, count):
  """Prints how many of how many were refused, and the growth of memory over the second half."""
  generator, tried, refused = random.Random(0), collections.Counter(), collections.Counter()
  for i in range(count):
    if i == count // 2:
      before = _resident()
    kind, data = _bad_string(file, generator)
    tried[kind] += 1
    try:
      signature(file_bytes=tf.constant([data]))
    except tf.errors.InvalidArgumentError as error:
      refused[kind] += "assertion failed: [file_bytes[0]: " in str(error)
  for kind, number in sorted(tried.items()):
    print(f"{refused[kind]} of {number} refused: {kind}")
  print(f"memory: {before:.0f} MB after half of them, {_resident():.0f} MB after all")
  _call(signature, [file])
  print(f"refused {sum(refused.values())} of {count}; a good file still decodes")
  sys.exit(refused != tried)


def _resident():
  pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
  return pages * 4096 / 1e6


def main():
  """Arguments -> files, or lines."""
  library, saved_model, task, first, second = sys.argv[1:]
  tf.load_op_library(library)
  model = tf.saved_model.load(saved_model)
  foreign = [name for name in sys.modules if name.startswith(("bmshj", "tensorflow_comp"))]
  assert not foreign, foreign
  if task == "refuse":
    _refuse(model.signatures["decompress"], pathlib.Path(first).read_bytes(), int(second))
  _convert(model.signatures[task], first, second)


if __name__ == "__main__":
  main()
