"""The SavedModels agree with the command line and the Keras model, and refuse bad input."""

import functools
import io
import shutil
import struct
import types
import zlib

import numpy as np
import PIL.Image
import PIL.ImageCms
import pytest
import tensorflow as tf

import bmshj_minnen
from bmshj_minnen.format.metadata import with_metadata
from bmshj_minnen.images import image_files
from bmshj_minnen.runtime.graph import traced
from bmshj_minnen.serving import image_decoding, profiles, saved_models
from experiments.serving import comparisons
from tests import altered, codecs, programs

_MAX_PIXELS = 2**16


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A folder with the model, its SavedModels and photographs."""
  folder = tmp_path_factory.mktemp("serving")
  codecs.save_model("joint", folder / "joint")
  with_warm_up = True
  try:
    import tensorflow_serving  # noqa: F401
  except ImportError:
    with_warm_up = False
  saved_models.export(str(folder / "joint"), folder / "served" / "1", _MAX_PIXELS, with_warm_up)
  comparisons.make_photographs(folder / "photographs", 4, 41)
  return folder


@pytest.fixture(scope="module")
def codec(folder):
  return bmshj_minnen.load(folder / "joint", _MAX_PIXELS)


@pytest.fixture(scope="module")
def served(folder):
  """The codec's SavedModel."""
  return tf.saved_model.load(str(folder / "served" / "codec" / "1"))


@pytest.fixture(scope="module")
def worker(folder):
  with comparisons.CodecWorker(folder / "served" / "codec" / "1") as worker:
    yield worker


@pytest.fixture(scope="module")
def compared(folder, worker):
  """The folder with the files of both sides, and the number of equal files."""

  def package_program(name, *arguments):
    result = programs.run(name, *arguments)
    assert result.returncode == 0, result.stderr

  with pytest.MonkeyPatch.context() as patch:
    # Its processes import TensorFlow anew.
    patch.setattr(comparisons, "package_program", package_program)
    return folder, comparisons.check_codec(worker, folder / "joint", folder)


def _status(signature, **inputs):
  with pytest.raises(tf.errors.InvalidArgumentError) as caught:
    signature(**{name: tf.constant(value) for name, value in inputs.items()})
  text = str(caught.value)
  return text[text.index("assertion failed: [") + 19 : text.rindex("]\n\t [[")]


def _encoded(image, image_format="PNG", **options):
  buffer = io.BytesIO()
  PIL.Image.fromarray(image).save(buffer, image_format, **options)
  return buffer.getvalue()


def test_stock_model_runs_in_tensorflow_alone_as_the_keras_model(folder):
  saved_model = folder / "served" / "stock" / "1"
  text = comparisons.check_stock(saved_model, folder / "joint", folder, 3)
  assert "not registered: []; foreign modules: []" in text


def test_codec_runs_with_the_op_library_alone_as_the_command_line(compared):
  _, equal = compared
  assert equal == 4


def test_bad_strings_are_refused_and_the_process_lives(compared, worker, codec):
  folder, _ = compared
  text = comparisons.check_refusals(worker, codec, folder, 60)
  assert "refused 60 of 60; a good file still decodes" in text


@pytest.mark.skipif(not shutil.which("g++"), reason="needs g++")
def test_client_in_cpp_gives_the_same(compared):
  folder, _ = compared
  text = comparisons.check_client(folder / "served" / "codec" / "1", folder, 1)
  assert [line.split()[0] for line in text.splitlines()] == ["compress", "decompress_png"]


def test_pixels(served, codec):
  image = codecs.photograph(50, 37)
  other = np.ascontiguousarray(image[:, ::-1])
  pixels = tf.constant(np.stack([image, other]))
  files = served.signatures["compress_pixels"](pixels=pixels)["file_bytes"].numpy()
  assert list(files) == [codec.compress(image), codec.compress(other)]
  back = served.signatures["decompress"](file_bytes=tf.constant(files))["pixels"].numpy()
  assert back.dtype == np.uint8
  assert np.array_equal(back, [codec.decompress(file) for file in files])


def test_signatures_are_named_and_have_a_default(served):
  assert {*served.signatures} == {
    "serving_default",
    "compress",
    "compress_pixels",
    "decompress",
    "decompress_png",
  }
  # Strings whose names end in _bytes are base64 in REST.
  for name, output in [("serving_default", "file_bytes"), ("decompress_png", "png_bytes")]:
    assert {*served.signatures[name].structured_outputs} == {output}


def _bad_files(good):
  _, payload = altered.split(good)
  longer = payload + bytes(100)
  ends_early = altered.with_field(good, "payload_size", len(longer).to_bytes(4, "big"), longer)
  return [
    b"",
    b"BM",
    b"x",
    b"x'y",
    b"\0'\"",
    b"\xff\\\n",
    altered.with_field(good, "version", b"\2"),
    altered.cut_before(good, "version") + b"\2",
    altered.cut_before(good, "width"),
    altered.cut_before(good, "width") + b"\0",
    good[:-1],
    good + b"x",
    good[:-1] + bytes([good[-1] ^ 1]),
    altered.with_field(good, "fingerprint", b"abcd"),
    altered.with_field(good, "height", b"\xff" * 4),
    ends_early,
    with_metadata(ends_early, b"exif", b"xmp"),
    with_metadata(good, b"exif", b"xmp")[:-1],
    with_metadata(good, b"exif", b"xmp")[:23],
  ]


def test_messages_are_those_of_the_command_line(served, codec):
  good = codec.compress(codecs.photograph(20, 30))
  for bad in _bad_files(good):
    with pytest.raises(bmshj_minnen.BitstreamError) as expected:
      codec.decompress(bad)
    for name in ("decompress", "decompress_png"):
      text = _status(served.signatures[name], file_bytes=[good, bad, good])
      assert text == "file_bytes[1]: " + comparisons.escaped(str(expected.value))


def test_metadata_change_no_pixels(served, codec):
  good = codec.compress(codecs.photograph(20, 30))
  files = tf.constant(
    [good, with_metadata(good, b"exif", b""), with_metadata(good, b"", b"x" * 999)]
  )
  pixels = served.signatures["decompress"](file_bytes=files)["pixels"].numpy()
  assert np.array_equal(pixels, [codec.decompress(good)] * 3)


def test_what_only_batches_can_do_wrong(served, codec):
  small, large = (codec.compress(codecs.photograph(*size)) for size in ((20, 30), (200, 300)))
  text = _status(served.signatures["decompress"], file_bytes=[small, small, large])
  assert text.startswith("file_bytes[2]: a batch must be of one size, and this is 200x300")
  text = _status(served.signatures["decompress_png"], file_bytes=[large, large])
  assert text == f"images too large together: 120000 pixels of {_MAX_PIXELS}"
  text = _status(served.signatures["compress_pixels"], pixels=np.zeros([1, 0, 5, 3], np.uint8))
  assert text == "sides must be 1 to 65536 pixels, not 0x5"
  # Without an image, so that 2^32 pixels need no memory.
  for shape in ([1, 257, 256, 3], [0, 65536, 65536, 3]):
    text = _status(served.signatures["compress_pixels"], pixels=np.zeros(shape, np.uint8))
    size = f"{shape[1]}x{shape[2]}"
    assert text == f"image too large: expected at most {_MAX_PIXELS} pixels, found {size}"


def test_bad_photographs_are_named(served):
  image = codecs.photograph(20, 30)
  good, jpeg = _encoded(image), _encoded(image, "JPEG")
  huge = good[:16] + b"\0\0\xff\xff" * 2 + good[24:]
  transparent = np.dstack([image, np.full_like(image[..., :1], 9)])
  for bad, problem in [
    (b"", "not a readable image (the file is empty)"),
    (b"no image", "not a readable image (neither PNG nor JPEG)"),
    (good[:50], "not a readable image (damaged, or too large"),
    (jpeg[: len(jpeg) // 2], "not a readable image (damaged, or too large"),
    (jpeg[:30], "not a readable image (damaged header)"),
    (huge, f"image too large: expected at most {_MAX_PIXELS} pixels, found 65535x65535"),
    (_encoded(transparent), "has transparency"),
    (_encoded(np.uint16(image[..., 0])), "has more than 8 bits a channel"),
    (_encoded(image, icc_profile=b"junk"), "has a colour profile other than sRGB"),
  ]:
    text = _status(served.signatures["compress"], image_bytes=[good, bad])
    assert text.startswith("image_bytes[1]: " + comparisons.escaped(problem))


@functools.cache
def reader():
  """File -> pixels, in a graph."""
  spec = [tf.TensorSpec([], tf.string)]
  return traced(lambda file: image_decoding.read(file, "", _MAX_PIXELS), spec)


@pytest.fixture(scope="module")
def read():
  return reader()


def _variants():
  """Files with different features that a reader must respect."""
  image = codecs.photograph(19, 30)
  srgb = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
  grey, palette = (PIL.Image.fromarray(image).convert(mode) for mode in "LP")
  yield "grey", _encoded(np.asarray(grey))
  yield "grey JPEG", _encoded(np.asarray(grey), "JPEG")
  yield "opaque", _encoded(np.dstack([image, np.full_like(image[..., :1], 255)]))
  yield "coarse chroma", _encoded(image, "JPEG", subsampling=2, quality=40)
  yield "progressive", _encoded(image, "JPEG", progressive=True)
  for image_format in ("PNG", "JPEG"):
    yield f"profile {image_format}", _encoded(image, image_format, icc_profile=srgb)
    for orientation in range(10):
      exif = PIL.Image.Exif()
      exif[0x010F], exif[0x0112] = "maker", orientation
      yield f"turned {image_format}", _encoded(image, image_format, exif=exif)
  big_endian = b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6" + bytes(6)
  yield "turned, big-endian", _encoded(image, "JPEG", exif=big_endian)
  for kind in (1, 4, 7):
    size = 4 if kind == 4 else 1
    value = (6).to_bytes(size, "big").ljust(4, b"\0")
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0" + bytes([kind]) + b"\0\0\0\1" + value + bytes(4)
    yield f"turned, of type {kind}", _encoded(image, "JPEG", exif=exif)
  for mode, options in (("1", {}), ("P", {}), ("P", {"bits": 4})):
    buffer = io.BytesIO()
    source = palette.quantize(8) if options else PIL.Image.fromarray(image).convert(mode)
    source.save(buffer, "PNG", **options)
    yield f"few colours {mode}", buffer.getvalue()


def test_photographs_are_read_as_by_the_command_line(read, tmp_path):
  for name, file in _variants():
    (tmp_path / "file").write_bytes(file)
    expected = image_files.read_image(str(tmp_path / "file"))
    assert np.array_equal(read(tf.constant(file)), expected), name


def _with_chunk(name, body):
  chunk = len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")
  content = _encoded(codecs.photograph(19, 30))
  return content[:33] + chunk + content[33:]


def _exif_of_colours(index, colour_space):
  part = lambda *entries: struct.pack(">H", len(entries)) + b"".join(entries) + bytes(4)  # noqa: E731
  return (
    b"Exif\0\0MM\0*\0\0\0\x08"
    + part(struct.pack(">HHII", 0x8769, 4, 1, 26))
    + part(
      struct.pack(">HHIHH", 0xA001, 3, 1, colour_space, 0), struct.pack(">HHII", 0xA005, 4, 1, 56)
    )
    + part(struct.pack(">HHI4s", 1, 2, 4, index))
  )


def test_colours_that_are_declared_without_a_profile_are_refused_unless_they_are_srgb(read):
  image = codecs.photograph(19, 30)
  places = np.array([31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000], ">u4")
  for is_srgb, file in [
    (False, _with_chunk(b"gAMA", (100000).to_bytes(4, "big"))),
    (True, _with_chunk(b"gAMA", (45455).to_bytes(4, "big"))),
    (False, _with_chunk(b"cHRM", (places + np.uint32(2000)).astype(">u4").tobytes())),
    (True, _with_chunk(b"cHRM", places.tobytes())),
    (False, _with_chunk(b"cICP", bytes([12, 13, 0, 1]))),
    (True, _with_chunk(b"cICP", bytes([1, 13, 0, 1]))),
    (False, _encoded(image, "JPEG", exif=_exif_of_colours(b"R03", 65535))),
    (False, _encoded(image, "JPEG", exif=_exif_of_colours(b"R98", 2))),
    (True, _encoded(image, "JPEG", exif=_exif_of_colours(b"R98", 1))),
  ]:
    expected = image_files.read_image("x", content=file)
    if is_srgb:
      np.testing.assert_array_equal(read(tf.constant(file)), expected)
    else:
      assert np.abs(expected.astype(int) - image).max() > 2
      with pytest.raises(tf.errors.InvalidArgumentError, match="colour profile other than sRGB"):
        read(tf.constant(file))


def test_profiles_that_are_close_to_srgb_but_mean_other_colours_are_told():
  means_srgb = traced(profiles.means_srgb, [tf.TensorSpec([], tf.string)])
  good = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
  assert means_srgb(good)
  for tag, at, unit in [(b"rXYZ", 8, 2**7), (b"gTRC", 12, 2**13), (b"bTRC", 20, 2**13)]:
    start = int.from_bytes(good[good.index(tag) + 4 :][:4], "big") + at
    changed = int.from_bytes(good[start : start + 4], "big") + unit
    assert not means_srgb(good[:start] + changed.to_bytes(4, "big") + good[start + 4 :]), tag
  assert not means_srgb(b"")


def test_warm_up_requests_are_answered(folder, served):
  pytest.importorskip("tensorflow_serving", reason="needs tensorflow-serving-api")
  from tensorflow_serving.apis import prediction_log_pb2

  stock = tf.saved_model.load(str(folder / "served" / "stock" / "1"))
  for kind, model, count in (("codec", served, 4), ("stock", stock, 3)):
    path = folder / "served" / kind / "1" / "assets.extra" / "tf_serving_warmup_requests"
    names = []
    for record in tf.data.TFRecordDataset(str(path)):
      log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
      request = log.predict_log.request
      inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
      names.append(request.model_spec.signature_name)
      model.signatures[names[-1]](**{name: tf.constant(v) for name, v in inputs.items()})
    assert len({*names}) == count
    assert {*names} == {*model.signatures} - {"serving_default"}


def test_export_refuses_what_would_break_a_server(folder):
  model = str(folder / "joint")
  with pytest.raises(ValueError, match="exists, and may be in use"):
    saved_models.export(model, folder / "served" / "1", _MAX_PIXELS, False)
  for name in ("latest", "0"):
    with pytest.raises(ValueError, match="must end in a version"):
      saved_models.export(model, folder / "served" / name, _MAX_PIXELS, False)
  with pytest.raises(ValueError, match="no model"):
    saved_models.export("nowhere", folder / "served" / "2", _MAX_PIXELS, False)
  assert [path.name for path in (folder / "served" / "codec").iterdir()] == ["1"]


def test_export_takes_no_folder_that_is_there_for_its_own(folder, tmp_path, monkeypatch):
  precious = tmp_path / "other" / "codec" / "3.tmp" / "notes"
  precious.parent.mkdir(parents=True)
  precious.write_text("not to be lost")

  def save(*args, **options):
    raise OSError("No space left on device")

  # Without tracing any signature.
  monkeypatch.setattr(saved_models, "CodecModule", lambda _: types.SimpleNamespace(signatures=dict))
  monkeypatch.setattr(tf.saved_model, "save", save)
  with pytest.raises(OSError, match="No space left"):
    saved_models.export(str(folder / "joint"), tmp_path / "other" / "3", _MAX_PIXELS, False)
  assert [path.name for path in precious.parent.parent.iterdir()] == ["3.tmp"]
  assert precious.read_text() == "not to be lost"
