"""Programs and the Pillow plugin where TensorFlow is missing or hidden."""

import pathlib
import shutil
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

pytest.importorskip("onnxruntime")

_ROOT = pathlib.Path(__file__).parents[2]
_HIDDEN = "import sys; sys.modules['tensorflow'] = None; "


def _python(code, *arguments):
  command = [sys.executable, "-c", code, *map(str, arguments)]
  return subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=300)


def _run(program, *arguments):
  code = (
    f"{_HIDDEN}import runpy; sys.argv[:] = sys.argv[1:]; "
    f"runpy.run_module('bmshj_minnen.{program}', run_name='__main__')"
  )
  return _python(code, program, *arguments)


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
  path = tmp_path_factory.mktemp("portable") / "photo.png"
  rows, columns = np.mgrid[:70, :90]
  waves = [np.sin(rows / period) * np.cos(columns / period) for period in (7, 8, 9)]
  PIL.Image.fromarray((128 + 80 * np.stack(waves, -1)).astype(np.uint8)).save(path)
  return path


def test_programs_and_pillow_code_without_tensorflow(photograph):
  file, back = photograph.with_suffix(".tfci"), photograph.with_name("back.png")
  done = _run("compress", "--verbose", "--quality=60", photograph, file)
  assert done.returncode == 0, done.stderr
  assert "PSNR" in done.stdout
  done = _run("decompress", file, back)
  assert done.returncode == 0, done.stderr
  assert _run("info", file).returncode == 0
  picture, original = (np.asarray(PIL.Image.open(path), np.float64) for path in (back, photograph))
  assert picture.shape == original.shape
  assert 10 * np.log10(255**2 / np.mean((picture - original) ** 2)) > 28
  code = (
    f"{_HIDDEN}import PIL.Image, numpy, bmshj_minnen.pillow; "
    "x = numpy.asarray(PIL.Image.open(sys.argv[1])); "
    "assert (x == numpy.asarray(PIL.Image.open(sys.argv[2]))).all()"
  )
  done = _python(code, file, back)
  assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
  "program, arguments",
  [
    ("train", []),
    ("evaluate", ["--codecs=jpeg420", "--images=x", "--output=x"]),
    ("export", ["--output=x"]),
    ("compress", ["--refine=5", "photo", "x.tfci"]),
    ("compress", ["--effort=1", "photo", "x.tfci"]),
    ("compress", ["--precision=bfloat16", "photo", "x.tfci"]),
  ],
)
def test_what_needs_tensorflow_says_so_in_one_line(photograph, program, arguments):
  arguments = [str(photograph) if name == "photo" else name for name in arguments]
  done = _run(program, *arguments)
  assert done.returncode == 1
  line = done.stderr.strip()
  assert "\n" not in line and "x86-64" in line and "tensorflow" in line.lower()


def test_the_rules_of_files_hold_without_tensorflow(photograph, tmp_path):
  source, out = tmp_path / "in", tmp_path / "out"
  source.mkdir()
  out.mkdir()
  for name in ("good.png", "kept.png"):
    shutil.copy(photograph, source / name)
  (source / "bad.png").write_bytes(b"x")
  (out / "kept.tfci").write_text("mine")
  made = []
  for _ in range(2):
    done = _run("compress", "--skip_existing", f"--output_dir={out}", source)
    lines = [line for line in done.stderr.splitlines() if line.startswith("error")]
    assert done.returncode == 1 and len(lines) == 2, done.stderr
    assert any(line.startswith(f"error: {source / 'bad.png'}: not a readable") for line in lines)
    assert any("kept.tfci is there already" in line for line in lines)
    made.append((out / "good.tfci").stat().st_ino)
  assert made[0] == made[1] and (out / "kept.tfci").read_text() == "mine"
  done = _run("compress", "--quality=nan", photograph, tmp_path / "x.tfci")
  assert done.returncode == 1 and not (tmp_path / "x.tfci").exists()
  assert "--quality must be above 0, not nan" in done.stderr
