"""The flags of the processors determine the precision of `auto`."""

import pytest

import bmshj_minnen
from bmshj_minnen.runtime import precisions
from tests import codecs


@pytest.mark.parametrize(
  "cpuinfo,expected",
  [
    ("flags\t\t: fpu avx512f avx512_bf16\n" * 2, "bfloat16"),
    ("flags\t\t: fpu amx_bf16 amx_tile\n", "bfloat16"),
    ("flags\t\t: fpu avx512f avx512_vnni\n", "float32"),
    ("flags\t\t: fpu avx512_bf16\nflags\t\t: fpu\n", "float32"),
    ("model name\t: avx512_bf16\n", "float32"),
    ("", "float32"),
    (None, "float32"),
  ],
)
def test_auto_is_bfloat16_where_all_processors_have_it(cpuinfo, expected, monkeypatch, tmp_path):
  file = tmp_path / "cpuinfo"
  if cpuinfo is not None:
    file.write_text(cpuinfo)
  monkeypatch.setattr(precisions, "_CPUINFO", file)
  assert precisions.resolve("auto") == expected
  assert precisions.resolve("float32") == "float32"
  assert precisions.resolve("bfloat16") == "bfloat16"


@pytest.mark.parametrize("flag,same", [("avx512_bf16", "bfloat16"), ("avx2", "float32")])
def test_a_codec_of_auto_is_that_of_the_resolved_precision(flag, same, monkeypatch, tmp_path):
  file = tmp_path / "cpuinfo"
  file.write_text(f"flags : {flag}\n")
  monkeypatch.setattr(precisions, "_CPUINFO", file)
  image = codecs.photograph(64, 96)
  files = {
    p: bmshj_minnen.load(precision=p).compress(image) for p in ("auto", "float32", "bfloat16")
  }
  assert files["auto"] == files[same]
  assert files["float32"] != files["bfloat16"]  # So the line above distinguishes them.
