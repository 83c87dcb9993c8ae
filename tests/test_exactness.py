"""A file means the same ŷ under another thread count, oneDNN setting and instruction set."""

from experiments.exactness import matrix


def test_settings_decode_each_others_files(tmp_path):
  matrix.make_models(tmp_path, channels=24, side=112)
  settings = [(2, 1, ""), (1, 0, "SSE41")]
  for decode in (False, True):
    for setting in settings:
      assert matrix.run_worker(tmp_path, *setting, decode)
