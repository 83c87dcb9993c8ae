"""The command line: its output, its exit status, and its files on disk."""

import io
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

import bmshj_minnen
from bmshj_minnen import portable
from bmshj_minnen.command_line import startup, verbose
from experiments.reliability import sample_files
from tests import codecs, programs

_ROOT = pathlib.Path(__file__).parent.parent
_ONNX = "--runtime=onnx"  # The shipped models start at once.


def _run_anew(program, *args):
  """Runs a program in a new Python, which has not imported TensorFlow yet."""
  environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
  # The binaries silence TensorFlow's start-up notices by themselves.
  environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
  return subprocess.run(
    [sys.executable, "-m", f"bmshj_minnen.{program}", *map(str, args)],
    cwd=_ROOT,
    env=environment,
    check=False,
    capture_output=True,
    text=True,
  )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp("binaries")
  # Commands do not depend on the prior, and these two are quick.
  for name, prior in (("model", "scale_hyperprior"), ("other", "factorized")):
    codecs.save_model(prior, folder / name)
  bmshj_minnen.write_image(str(folder / "in.png"), codecs.photograph(180, 200))
  exif = PIL.Image.Exif()
  exif[0x010F] = "Maker"
  PIL.Image.fromarray(codecs.photograph(20, 30)).save(folder / "exif.png", exif=exif)
  result = _run_anew("compress", f"--model={folder}/model", folder / "in.png", folder / "good.tfci")
  assert (result.returncode, result.stderr) == (0, "")
  return folder


@pytest.fixture(scope="module")
def codec(folder):
  return bmshj_minnen.load(folder / "model")


def test_the_command_line_writes_what_the_library_returns(folder, codec):
  data = codec.compress(codecs.photograph(180, 200))
  assert (folder / "good.tfci").read_bytes() == data


@pytest.mark.parametrize("shape", [(21, 30, 3), (1, 1, 3)])
def test_an_original_of_another_size_is_told(shape):
  decoded = np.zeros((20, 30, 3), np.uint8)
  size = f"{shape[1]}x{shape[0]}"
  with pytest.raises(ValueError, match=f"^the original is {size}, the file 30x20$"):
    verbose.lines(np.zeros(shape, np.uint8), decoded, 5, {})


def test_photographs_too_small_for_ms_ssim_are_told():
  image = np.zeros((160, 200, 3), np.uint8)
  assert "MS-SSIM          none of sides below 161" in verbose.lines(image, image, 5, {})


_DAMAGE = {
  "empty": (lambda data: b"", "empty"),
  "truncated": (lambda data: data[: len(data) // 2], "truncated"),
  "flipped": (lambda data: data[:-3] + bytes([data[-3] ^ 8]) + data[-2:], "checksum"),
  "trailing": (lambda data: data + b"\x00", "trailing"),
  "png": (lambda data: b"\x89PNG\r\n\x1a\n" + data, "not a compressed image"),
}


@pytest.fixture(scope="module")
def damaged(folder, tmp_path_factory):
  """The results of decompressing a folder with damaged files and a good one."""
  damaged = tmp_path_factory.mktemp("damaged")
  data = (folder / "good.tfci").read_bytes()
  for name, (change, _) in _DAMAGE.items():
    (damaged / f"{name}.tfci").write_bytes(change(data))
  (damaged / "good.tfci").write_bytes(data)
  model = f"--model={folder}/model"
  return damaged, programs.run("decompress", model, f"--output_dir={damaged}/out", damaged)


@pytest.mark.parametrize("name", _DAMAGE)
def test_each_bad_file_costs_one_line(name, damaged):
  folder, result = damaged
  (line,) = [line for line in result.stderr.splitlines() if f"{name}.tfci" in line]
  assert line.startswith(f"error: {folder}/{name}.tfci: ") and _DAMAGE[name][1] in line


def test_bad_files_cost_the_good_ones_nothing(damaged):
  folder, result = damaged
  assert result.returncode == 1
  assert len(result.stderr.splitlines()) == len(_DAMAGE)
  assert result.stdout.startswith("decompressed 1 of 6 files")
  assert result.stdout.endswith("5 failed\n")
  assert [path.name for path in (folder / "out").iterdir()] == ["good.png"]


def test_one_bad_file_gives_one_line_and_nothing_else(folder, tmp_path):
  model, source = f"--model={folder}/other", folder / "good.tfci"
  result = programs.run("decompress", model, source, tmp_path / "back.png")
  assert result.returncode == 1
  assert result.stdout == ""
  assert result.stderr.count("\n") == 1 and "another model" in result.stderr
  assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def kinds_of_files(folder, tmp_path_factory):
  """The results of compressing a folder with one file of each kind."""
  source = tmp_path_factory.mktemp("kinds")
  sample_files.make_files(source)
  target = tmp_path_factory.mktemp("results")
  model = f"--model={folder}/model"
  return source, target, programs.run("compress", model, f"--output_dir={target}", source)


@pytest.mark.parametrize("name", sample_files.GOOD)
def test_good_kinds_become_what_the_library_returns(name, codec, kinds_of_files):
  source, target, _ = kinds_of_files
  data = codec.compress(bmshj_minnen.read_image(source / name))
  assert (target / name).with_suffix(".tfci").read_bytes() == data


@pytest.mark.parametrize("name", sample_files.BAD)
def test_bad_kinds_are_refused_in_one_line(name, kinds_of_files):
  source, target, result = kinds_of_files
  (line,) = [line for line in result.stderr.splitlines() if f"/{name}:" in line]
  assert line.startswith(f"error: {source}/{name}: ") and sample_files.BAD[name] in line
  assert not (target / name).with_suffix(".tfci").exists()


def test_a_model_that_ships_takes_and_refuses_the_same_kinds(kinds_of_files, tmp_path):
  """Where TensorFlow is not imported, the pixels that sources declare choose its runtime."""
  source, target, own = kinds_of_files
  command = [sys.executable, "-m", "bmshj_minnen.compress", f"--output_dir={tmp_path}", source]
  result = subprocess.run(command, capture_output=True, text=True, check=False)
  assert result.returncode == own.returncode
  errors = [
    sorted(line for line in run.stderr.splitlines() if line.startswith("error: "))
    for run in (result, own)
  ]
  assert errors[0] == errors[1]
  assert {path.name for path in tmp_path.iterdir()} == {path.name for path in target.iterdir()}


def test_every_line_and_every_result_belongs_to_a_kind(kinds_of_files):
  _, target, result = kinds_of_files
  assert result.returncode == 1
  # A slow run also prints an estimate of its time.
  others = re.compile(r"note: .*|\d+ of \d+ files, .* left")
  errors = [line for line in result.stderr.splitlines() if not others.fullmatch(line)]
  assert len(errors) == len(sample_files.BAD)
  assert len(list(target.iterdir())) == len(sample_files.GOOD)
  count = len(sample_files.GOOD) + len(sample_files.BAD)
  assert result.stdout.startswith(f"compressed {len(sample_files.GOOD)} of {count} files")


def test_what_was_killed_is_finished_by_the_next_run(folder, tmp_path):
  (tmp_path / "in" / "deeper").mkdir(parents=True)
  source = (folder / "in.png").read_bytes()
  names = [f"{'deeper/' * (i % 2)}{i}" for i in range(40)]
  for name in names:
    (tmp_path / "in" / f"{name}.png").write_bytes(source)
  out = tmp_path / "out"
  args = [f"--model={folder}/model", f"--output_dir={out}", "--recursive", "--skip_existing"]
  process = programs.start("compress", *args, tmp_path / "in")
  while len(list(out.glob("**/*.tfci"))) < 3:
    assert process.poll() is None
    time.sleep(0.002)
  process.kill()
  assert process.wait() == -signal.SIGKILL
  # A run that is killed during a write would leave this file.
  (out / ".4711.tmp").write_bytes(b"half")
  good = (folder / "good.tfci").read_bytes()
  first = {path: path.stat().st_ino for path in out.glob("**/*.tfci")}
  assert 3 <= len(first) < len(names)
  assert all(path.read_bytes() == good for path in first)
  damaged = sorted(first)[:2]  # Damaged files that other programs may have left.
  damaged[0].write_bytes(b"")
  damaged[1].write_bytes(good[:-7])
  result = programs.run("compress", *args, tmp_path / "in")
  assert result.returncode == 0, result.stderr
  assert result.stderr == ""
  assert f"{len(first) - 2} more were there already" in result.stdout
  assert all((out / f"{name}.tfci").read_bytes() == good for name in names)
  kept = {path: path.stat().st_ino for path in first if path not in damaged}
  assert kept == {path: inode for path, inode in first.items() if path not in damaged}


@pytest.mark.parametrize(
  ("args", "match"),
  [
    (["--model=nowhere", "in.png", "x.tfci"], "no model nowhere"),
    (["--quality=101", "in.png", "x.tfci"], "the quality must be 1 to 100"),
    (["--quality=37", "--bytes=900", "in.png", "x.tfci"], "only one of --quality, --bytes"),
    (["--bpp=-1", "in.png", "x.tfci"], "--bpp must be above 0"),
    (["--psnr=nan", "in.png", "x.tfci"], "--psnr must be above 0, not nan"),
    (["--bpp=inf", "in.png", "x.tfci"], "--bpp must be above 0, not inf"),
    (["--quality=nan", "in.png", "x.tfci"], "--quality must be above 0, not nan"),
    (["--psnr=30", "--model=model", "in.png", "x.tfci"], "this model has one rate"),
    ([_ONNX, "--bytes=30", "in.png", "x.tfci"], "30 bytes are too few: the lowest quality takes"),
    (
      [_ONNX, "--bytes=30", "--metadata", "exif.png", "x.tfci"],
      "30 bytes are too few: the metadata alone",
    ),
    ([_ONNX, "--psnr=99", "in.png", "x.tfci"], "99 dB are too much: the highest quality gives"),
    (
      ["--bpp=1", "--refine=1", "in.png", "x.tfci"],
      "--bpp is a target, and --effort is for a given quality: leave one out",
    ),
    (
      ["--effort=2", "--refine=8", "in.png", "x.tfci"],
      "give either an effort or a number of steps",
    ),
    (["--effort=10", "in.png", "x.tfci"], "effort.*9"),
    (["--quality=1", "--model=model", "in.png", "x.tfci"], "this model has one rate"),
    (["--lambda=0.01", "in.png", "x.tfci"], "--lambda is for --effort: give --effort=4"),
    (["--model=model", "--refine=1", "in.png", "x.tfci"], "has no train.json that says for which"),
    (["in.png", "no/such/folder/x.tfci"], "No such file"),
    (["in.png", "second.jpx"], "second.jpx would be overwritten"),
    (["in.png", "second.raw"], "second.raw is there already.*--overwrite"),
  ],
)
def test_bad_arguments_of_compress(args, match, folder):
  precious = [folder / "second.jpx", folder / "second.raw"]
  for path in precious:
    path.write_bytes(b"a photograph")
  result = programs.run("compress", *args, cwd=folder)
  assert result.returncode == 1
  assert result.stderr.count("\n") == 1 and re.search(match, result.stderr)
  assert not (folder / "x.tfci").exists()
  assert all(path.read_bytes() == b"a photograph" for path in precious)


@pytest.mark.parametrize(
  ("program", "args", "line"),
  [
    ("compress", ["--bytes=4e4", "in.png", "x"], "flag --bytes=4e4: give a whole number"),
    ("compress", ["--psnr=a", "in.png", "x"], "flag --psnr=a: give a number"),
    ("compress", ["--log=no/x", "in.png", "x"], "no/x: No such file or directory"),
    (
      "decompress",
      ["--region=0,0,64", "good.tfci", "x"],
      "flag --region=0,0,64: give left, top, width and height, such as 0,0,64,64",
    ),
    ("info", [], "give one or more compressed files; - is standard input"),
    ("evaluate", [], "give --images; give --output"),
    (
      "evaluate",
      ["--images=in.png", "--output=x", "y"],
      "unknown argument 'y'; patterns need quotes",
    ),
    ("convert", ["--from_compressai=no.pth", "--output=x"], "no.pth: No such file or directory"),
  ],
)
def test_wrong_arguments_are_one_line_with_a_remedy(program, args, line, folder):
  result = programs.run(program, *args, cwd=folder)
  assert (result.returncode, result.stdout, result.stderr) == (1, "", f"error: {line}\n")
  assert not (folder / "x").exists()


def test_with_a_folder_a_wrong_flag_has_the_status_of_nothing_done(folder):
  for flag in ("--qualty=3", "--quality=30.3", "--jobs=0"):
    result = programs.run("compress", flag, "--output_dir=x", "in.png", cwd=folder)
    assert result.returncode == 2 and result.stderr.count("\n") == 1


@pytest.mark.parametrize("program", ["compress", "decompress", "beam_compress", "beam_decompress"])
def test_memory_is_a_number(program, folder):
  files = ["--input=in.png", "--output=x"] if "beam" in program else ["in.png", "x"]
  for value in ("inf", "1e+300"):
    result = programs.run(program, f"--memory={value}", *files, cwd=folder)
    assert result.returncode == 1
    assert f"--memory={value}" in result.stderr and "give a number" in result.stderr
    assert "Traceback" not in result.stderr and not (folder / "x").exists()


def test_metadata_travel_if_asked_and_pictures_are_of_the_kind_that_is_named(folder, tmp_path):
  exif = PIL.Image.Exif()
  exif[0x010F], exif[0x0112] = "Maker", 6
  (tmp_path / "in").mkdir()
  photograph = PIL.Image.fromarray(codecs.photograph(40, 50))
  photograph.save(tmp_path / "in" / "a.png", exif=exif)
  photograph.save(tmp_path / "in" / "b.png")
  model = f"--model={folder}/model"
  plain, kept = tmp_path / "plain", tmp_path / "kept"
  shutil.copytree(tmp_path / "in", kept)
  for target, options in ((plain, []), (kept, ["--metadata"])):
    command = ["compress", model, *options, f"--output_dir={target}", tmp_path / "in"]
    result = programs.run(*command, eager=True)
    assert result.returncode == 0, result.stderr
  assert (plain / "b.tfci").read_bytes() == (kept / "b.tfci").read_bytes()
  data = (kept / "a.tfci").read_bytes()
  assert data.endswith((plain / "a.tfci").read_bytes()) and b"Maker" in data
  args = ["--skip_existing", "--metadata", f"--output_dir={plain}", tmp_path / "in"]
  result = programs.run("compress", model, *args, eager=True)
  assert result.returncode == 0 and "1 more were there already" in result.stdout
  assert (plain / "a.tfci").read_bytes() == data
  args = ["--format=jpg", "--output_quality=80", f"--output_dir={tmp_path}/back", kept]
  result = programs.run("decompress", model, *args, eager=True)
  assert result.returncode == 0 and result.stderr == ""
  with PIL.Image.open(tmp_path / "back" / "a.jpg") as image:
    assert (image.format, image.size) == ("JPEG", (40, 50))
    assert dict(image.getexif()) == {0x010F: "Maker", 0x0112: 1}
  result = programs.run("decompress", model, kept / "a.tfci", tmp_path / "a.bmp", eager=True)
  assert result.returncode == 0
  (line,) = result.stderr.splitlines()
  assert line.startswith(f"note: {kept}/a.tfci: BMP holds no EXIF")
  result = programs.run("decompress", model, kept / "a.tfci", tmp_path / "a.jxl")
  assert result.returncode == 1 and not (tmp_path / "a.jxl").exists()
  assert result.stderr.count("\n") == 1 and "one of .png, .ppm" in result.stderr


def test_originals_are_kept_and_results_of_another_model_made_again(folder, tmp_path):
  original = (folder / "in.png").read_bytes()
  for name in ("a.png", "b.png"):
    (tmp_path / name).write_bytes(original)
  args = [f"--output_dir={tmp_path}", tmp_path]
  other = programs.run(
    "compress", f"--model={folder}/other", folder / "in.png", tmp_path / "a.tfci"
  )
  assert other.returncode == 0, other.stderr
  # Two jobs, whose estimates build the Keras model, without terminals to write to.
  model = f"--model={folder}/model"
  result = programs.run("compress", model, "--verbose", "--skip_existing", *args)
  assert result.stderr == ""
  assert result.returncode == 0
  assert result.stdout.count("estimated bits") == 2
  for name in ("a.tfci", "b.tfci"):
    assert (tmp_path / name).read_bytes() == (folder / "good.tfci").read_bytes()
  result = programs.run("decompress", model, *args)
  assert result.returncode == 2 and len(result.stderr.splitlines()) == 2
  assert all("--overwrite" in line for line in result.stderr.splitlines())
  assert all((tmp_path / name).read_bytes() == original for name in ("a.png", "b.png"))


def _psnr(image, other):
  return 10 * np.log10(255**2 / np.mean((np.float64(image) - other) ** 2))


def test_only_what_answers_the_request_for_the_photograph_as_it_is_now_was_there_already(tmp_path):
  source, compressed, back = (tmp_path / name for name in ("a.png", "o/a.tfci", "back/a.png"))
  other, codec = tmp_path / "older.png", portable.load()
  bmshj_minnen.write_image(str(other), codecs.photograph(48, 60)[::-1])
  bmshj_minnen.write_image(str(source), codecs.photograph(48, 60))
  os.utime(other, (10**9, 10**9))

  def run(program, *args):
    result = programs.run(program, _ONNX, *args, cwd=tmp_path)
    return result.returncode, "1 more were there already" in result.stdout, result.stderr

  compress = ["compress", "--output_dir=o", "--skip_existing", source]
  decompress = ["decompress", "--output_dir=back", "--skip_existing", compressed]
  assert run(*compress, "--quality=1") == run(*compress, "--psnr=33") == (0, False, "")
  data = compressed.read_bytes()
  assert 33 <= _psnr(codecs.photograph(48, 60), codec.decompress(data)) < 34
  assert run(*compress, "--psnr=30") == (0, True, "")
  assert run(*decompress) == (0, False, "") and run(*decompress) == (0, True, "")
  other.rename(source)  # Older than both, and of the same size.
  assert run(*compress, "--psnr=33") == (0, False, "")
  assert compressed.read_bytes() == codec.compress(codecs.photograph(48, 60)[::-1], psnr=33)
  # It cannot be known who wrote a picture, or changed it since.
  picture = back.read_bytes()
  status, _, line = run(*decompress)
  assert status == 2 and line.count("\n") == 1 and "--overwrite replaces it\n" in line
  assert back.read_bytes() == picture
  assert run(*decompress, "--overwrite") == (0, False, "")
  expected = codec.decompress(compressed.read_bytes())
  np.testing.assert_array_equal(bmshj_minnen.read_image(back), expected)


def test_verbose_standard_streams_are_sources_and_targets(folder, tmp_path, codec):
  """Pictures go to the standard output, and so the figures to the other one."""
  model, file, back = f"--model={folder}/model", tmp_path / "out.tfci", tmp_path / "back.png"
  with open(folder / "in.png", "rb") as source, open(file, "wb") as target:
    streams = {"stdin": source, "stdout": target}
    result = programs.run("compress", model, "--verbose", "-", "-", **streams)
  assert result.returncode == 0
  data = file.read_bytes()
  assert data == (folder / "good.tfci").read_bytes()
  assert f"{len(data)} ({8 * len(data) / (180 * 200):.4f} bpp)" in result.stderr
  for word in ("PSNR", "MS-SSIM", "estimated bits", "analysis", "entropy coding"):
    assert word in result.stderr
  result = programs.run("decompress", model, "-", "-", input=data, text=False)
  assert result.returncode == 0, result.stderr
  expected = codec.decompress(data)
  np.testing.assert_array_equal(np.asarray(PIL.Image.open(io.BytesIO(result.stdout))), expected)
  original = f"--original={folder}/in.png"
  result = programs.run("decompress", model, "--verbose", original, file, back)
  assert result.returncode == 0, result.stderr
  np.testing.assert_array_equal(bmshj_minnen.read_image(back), expected)
  for word in ("PSNR", "entropy decoding", "synthesis"):
    assert word in result.stdout


def test_closed_standard_streams_cost_no_file(folder, tmp_path):
  program = f"exec {sys.executable} -m bmshj_minnen.compress --model={folder}/model"
  sources = " ".join(str(tmp_path / f"{i}.png") for i in range(3))
  for path in sources.split():
    pathlib.Path(path).write_bytes((folder / "in.png").read_bytes())
  shell = f"{program} --output_dir={tmp_path}/out {sources} <&- >&- 2>&-"
  result = subprocess.run(shell, shell=True, cwd=_ROOT, check=False)
  assert result.returncode == 0
  results = [path.read_bytes() for path in (tmp_path / "out").iterdir()]
  assert results == 3 * [(folder / "good.tfci").read_bytes()]


@pytest.mark.usefixtures("eagerly")
def test_shipped_models_need_no_directory(folder, tmp_path):
  photograph, file, back = folder / "exif.png", tmp_path / "out.tfci", tmp_path / "back.png"
  assert programs.run("compress", "--quality=37.5", photograph, file, eager=True).returncode == 0
  assert programs.run("decompress", file, back, eager=True).returncode == 0
  codec = bmshj_minnen.load()
  image = bmshj_minnen.read_image(photograph)
  assert file.read_bytes() == codec.compress(image, quality=37.5)
  np.testing.assert_array_equal(bmshj_minnen.read_image(back), codec.decompress(file.read_bytes()))
  foreign = programs.run("decompress", folder / "good.tfci", tmp_path / "other.png")
  assert foreign.returncode == 1 and "give the model that wrote it" in foreign.stderr


@pytest.mark.usefixtures("eagerly")
def test_refined_files_are_what_the_library_returns(folder, tmp_path):
  args = [f"--model={folder}/model", "--refine=2", "--lambda=0.02"]
  result = programs.run("compress", *args, folder / "in.png", tmp_path / "refined.tfci", eager=True)
  assert result.returncode == 0, result.stderr
  codec = bmshj_minnen.load(folder / "model", refine=2, lmbda=0.02)
  expected = codec.compress(codecs.photograph(180, 200))
  assert (tmp_path / "refined.tfci").read_bytes() == expected
  assert expected != (folder / "good.tfci").read_bytes()


def test_train_needs_neither_photographs_nor_a_folder(tmp_path):
  flags = ["--lambda=0.02", "--steps=1", "--save_every=1", "--num_filters=4", "--prior=factorized"]
  flags += ["--latent_channels=6", "--crop=64", "--batch=1"]
  result = programs.run("train", *flags, cwd=tmp_path, eager=True)
  assert result.returncode == 0, result.stderr
  assert "Trained: models/factorized-0.02" in result.stdout
  assert "--train_glob" in result.stderr  # How to name better data.
  assert (tmp_path / "models" / "factorized-0.02" / "coder.npz").exists()


def test_train_refuses_in_one_line(tmp_path):
  result = programs.run("train", "--crop=100")
  assert result.returncode == 1
  assert result.stderr == "error: the crop must be a multiple of 64, not 100\n"
  result = programs.run("train", "--train_glob=nothing/*.png", cwd=tmp_path)
  assert result.returncode == 1
  assert result.stderr.splitlines()[-1] == "error: no file matches nothing/*.png"


def _python(code, **environment):
  return subprocess.run(
    [sys.executable, "-c", f"from bmshj_minnen.command_line import startup; {code}"],
    capture_output=True,
    text=True,
    cwd=_ROOT,
    env={**os.environ, **environment},
    check=False,
  )


def test_ctrl_c_during_the_imports_is_one_line():
  result = _python("raise KeyboardInterrupt")
  assert (result.returncode, result.stderr) == (-signal.SIGINT, "interrupted\n")
  assert "Traceback" in _python("1 / 0").stderr


def test_names_that_are_no_utf_8_can_be_printed():
  result = _python(r"print('caf\udce9')", PYTHONIOENCODING="utf-8:strict")
  assert (result.returncode, result.stdout) == (0, "caf\\udce9\n")


def test_errors_of_tensorflow_about_files_are_one_line(capsys):
  with pytest.raises(SystemExit), startup.one_line_errors():
    tf.io.write_file(f"{__file__}/below", "")
  (line,) = capsys.readouterr().err.splitlines()
  assert line.startswith("error: ") and "test_binaries.py" in line
  with pytest.raises(tf.errors.InvalidArgumentError), startup.one_line_errors():
    tf.reshape(tf.zeros(3), [2])
