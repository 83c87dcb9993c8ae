"""Converted models against CompressAI's own results; see compressai/make.py."""

import dataclasses
import pathlib
import sys
import types

import numpy as np
import pytest
import tensorflow as tf

import bmshj_minnen
from bmshj_minnen import config
from bmshj_minnen.compressai import checkpoint, conversion
from bmshj_minnen.model_files import model_directory, weights
from experiments.compressai import comparison
from tests import codecs, programs

_FOLDER = pathlib.Path(__file__).parent / "compressai"
_PRIORS = {
  "bmshj2018-factorized": "factorized",
  "bmshj2018-hyperprior": "scale_hyperprior",
  "mbt2018-mean": "mean_scale_hyperprior",
  "mbt2018": "joint",
}
_N, _M = 3, 6


def _load(name):
  """The state, and CompressAI's results."""
  with np.load(_FOLDER / f"{name}.npz") as arrays:
    state = {k[len("state/") :]: v for k, v in arrays.items() if k.startswith("state/")}
    return state, {k: v for k, v in arrays.items() if not k.startswith("state/")}


@pytest.fixture(scope="module", params=_PRIORS)
def case(request):
  """The name, CompressAI's results, and the model with its weights."""
  state, oracle = _load(request.param)
  model_config, arrays = conversion.convert(state)
  model = bmshj_minnen.Model(model_config)
  weights.assign(model, arrays)
  return request.param, oracle, model


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
  """The directory that the program makes from mbt2018."""
  folder = tmp_path_factory.mktemp("converted")
  np.savez(folder / "mbt2018.npz", **_load("mbt2018")[0])
  source, output = folder / "mbt2018.npz", folder / "mbt2018"
  result = programs.run("convert", f"--from_compressai={source}", f"--output={output}")
  assert result.returncode == 0, result.stderr
  assert result.stdout == f"mbt2018, N = {_N}, M = {_M}: {output}\n"
  return output


def test_the_configuration_is_read_from_the_weights(case):
  name, _, model = case
  found = model.config
  assert (found.prior, found.num_filters, found.latent_channels) == (_PRIORS[name], _N, _M)
  assert found.density_filters == (3, 3, 3, 3)
  assert conversion.name_of(found.prior) == name


def test_every_network_gives_what_compressai_gives(case):
  """y, z, the bits of both, means, scales and x̂; in mbt2018 at every position as coded, too."""
  name, oracle, model = case
  differences = comparison.differences(model, oracle)
  expected = {"y", "x_hat", "bits of y_hat"}
  if name != "bmshj2018-factorized":
    expected |= {"z", "bits of z_hat", "scale", "scale, coded"}
  if name.startswith("mbt2018"):
    expected |= {"mean", "mean, coded"}
  assert set(differences) == expected
  for quantity, value in differences.items():
    assert value < 1e-4, quantity
  # The values have signs and sizes that could be wrong.
  assert np.std(oracle["y"]) > 0.1 and np.std(oracle["x_hat"]) > 0.05


def test_files_take_the_bits_of_compressais_files(case, tmp_path):
  _, oracle, model = case
  model_directory.save(model, tmp_path, tf.constant(codecs.photograph(128, 128)[None]))
  codec = bmshj_minnen.load(tmp_path)
  file, latents = codec.compress_with_latents(oracle["image"])
  assert abs(len(file) - oracle["bytes"]) <= 0.01 * oracle["bytes"] + 32
  assert codec.latents(file).y_hat.tobytes() == latents.y_hat.tobytes()


def _assert_converts_to(found, expected):
  (config_, arrays), (expected_config, expected_arrays) = found, expected
  assert config_ == expected_config
  assert set(arrays) == set(expected_arrays)
  for name, array in expected_arrays.items():
    np.testing.assert_array_equal(arrays[name], array)


def _oldest(name):
  """Renames an array as in CompressAI's published checkpoints, from a model on several GPUs."""
  for new, old in (("matrices", "_matrices"), ("biases", "_biases"), ("factors", "_factors")):
    name = name.replace(f"entropy_bottleneck.{new}.", f"entropy_bottleneck.{old}.")
  return f"module.{name}"


def _older(name):
  for new, old in (("matrices", "_matrix"), ("biases", "_bias"), ("factors", "_factor")):
    name = name.replace(f"entropy_bottleneck.{new}.", f"entropy_bottleneck.{old}")
  return name


@pytest.mark.parametrize("rename", [_oldest, _older])
def test_old_names_mean_the_same(rename):
  state, _ = _load("mbt2018-mean")
  renamed = {rename(name): value for name, value in state.items()}
  assert set(renamed) != set(state)
  _assert_converts_to(conversion.convert(renamed), conversion.convert(state))


_WRAPPERS = {
  "compiled": "_orig_mod.",
  "on several GPUs": "module.",
  "on several GPUs, compiled": "module._orig_mod.",
  "compiled, on several GPUs, twice": "_orig_mod.module.module.",
  "sharded": "_fsdp_wrapped_module._checkpoint_wrapped_module.",
  "of a Lightning module": "model.",
  "compiled, of a Lightning module": "model._orig_mod.",
  "of something in something": "codec.ema_model.module.",
}


@pytest.mark.parametrize("words", _WRAPPERS.values(), ids=_WRAPPERS)
def test_words_of_wrappers_mean_nothing(words):
  state, _ = _load("mbt2018")
  expected = conversion.convert(state)
  wrapped = {f"{words}{name}": array for name, array in state.items()}
  _assert_converts_to(conversion.convert(wrapped), expected)
  # Files may also contain counters, and other networks under their own names.
  wrapped["n_averaged"] = np.int64(7)
  if words.startswith(("model", "codec")):
    wrapped["criterion.weight"] = np.ones(3, np.float32)
  _assert_converts_to(conversion.convert(wrapped), expected)


def test_networks_may_be_wrapped_by_themselves():
  state, _ = _load("mbt2018")
  words = {"g_a.": "g_a._orig_mod.", "h_s.": "h_s.module._orig_mod."}
  wrapped = {}
  for name, array in state.items():
    part = name[: name.index(".") + 1]
    wrapped[name.replace(part, words.get(part, part), 1)] = array
  assert set(wrapped) != set(state)
  _assert_converts_to(conversion.convert(wrapped), conversion.convert(state))


def test_several_models_in_one_state_are_refused():
  state, _ = _load("mbt2018")
  for words, match in (
    (("model.", "ema."), "several models, with ema.g_a.0.weight and model.g_a.0.weight: save one"),
    (("", "ema."), "several models, with ema.g_a.0.weight and g_a.0.weight: save one"),
    (("", "module."), "several arrays that are "),
  ):
    both = {f"{word}{name}": array for word in words for name, array in state.items()}
    with pytest.raises(ValueError, match=match) as caught:
      conversion.convert(both)
    assert "\n" not in str(caught.value)


def _nested(state, other):
  """Key of the state -> files with the state and other contents."""
  rest = {"epoch": 3, "optimizer": {"state": {0: {"momentum": np.ones(2)}}, "lr": 0.1}}
  return {
    "itself": state,
    "state_dict": {**rest, "state_dict": state, "ema_state_dict": other},
    "model": {**rest, "ema": other, "model": state},
    "model.state_dict": {**rest, "model": {"name": "mbt2018", "state_dict": state}},
    "ema": {**rest, "ema": state},
  }


@pytest.mark.parametrize("key", _nested({}, {}))
def test_states_are_found_in_dictionaries(key, tmp_path, monkeypatch, caplog):
  state, _ = _load("bmshj2018-factorized")
  wrapped = {f"module.{name}": array for name, array in state.items()}
  content = _nested(wrapped, {name: array + 1 for name, array in state.items()})[key]
  torch = types.SimpleNamespace(load=lambda path, **options: content)
  monkeypatch.setitem(sys.modules, "torch", torch)
  path = tmp_path / "x.pth"
  path.write_bytes(b"")
  found = checkpoint.read(path)
  _assert_converts_to(conversion.convert(found), conversion.convert(state))
  others = [name for name in ("ema", "ema_state_dict") if name in content and name != key]
  assert [record.message for record in caplog.records] == [
    f"{path} holds {first}, {second}; {key} is taken."
    for other in others
    for first, second in [[name for name in content if name in (key, other)]]
  ]


def test_states_that_were_never_coded_with_will_do():
  state, _ = _load("mbt2018")
  expected, _ = conversion.convert(state)
  state["gaussian_conditional.scale_table"] = np.zeros(0, np.float32)
  assert conversion.convert(state)[0] == expected


@pytest.mark.parametrize(
  ("change", "match"),
  [
    ({"g_a.1.beta": None}, "hyperprior or bmshj2018-factorized: it has no g_a.1.beta"),
    ({"g_a.0.weight": None}, "it has no g_a.0.weight"),
    ({"gain.0": np.zeros(3)}, "it has gain.0"),
    ({"h_s.2.weight": np.zeros((6, 9, 3, 3))}, r"h_s.2.weight has shape \(6, 9, 3, 3\), not"),
    ({"g_a.6.weight": np.zeros(6)}, r"g_a.6.weight has shape \(6,\)"),
    ({"g_s.0.bias": np.full(3, np.nan)}, "g_s.0.bias must hold finite floating-point numbers"),
    ({"h_a.0.bias": np.zeros(3, np.int32)}, "h_a.0.bias must hold finite floating-point numbers"),
    ({"entropy_bottleneck.biases.4": None}, "it has no entropy_bottleneck.biases.4"),
    ({"entropy_bottleneck.matrices.1": np.zeros(3)}, r"matrices.1 has shape \(3,\)"),
    ({"gaussian_conditional.scale_table": np.geomspace(0.5, 64, 64)}, "scale_table is not"),
    ({"gaussian_conditional.scale_bound": np.ones(1)}, "scale_bound is"),
  ],
)
def test_other_models_are_refused(change, match):
  state = {**_load("mbt2018")[0], **change}
  state = {name: value for name, value in state.items() if value is not None}
  with pytest.raises(ValueError, match=match) as error:
    conversion.convert(state)
  assert "\n" not in str(error.value)


def test_files_that_are_no_checkpoints_are_refused(tmp_path, monkeypatch):
  np.savez(tmp_path / "whole.npz", **_load("mbt2018")[0])
  whole = (tmp_path / "whole.npz").read_bytes()
  for size in (0, 100, len(whole) // 2, len(whole) - 1):
    (tmp_path / "part.npz").write_bytes(whole[:size])
    with pytest.raises(ValueError, match="part.npz is damaged"):
      checkpoint.read(tmp_path / "part.npz")
  np.savez(tmp_path / "empty.npz")
  with pytest.raises(ValueError, match="holds no named arrays"):
    checkpoint.read(tmp_path / "empty.npz")
  with pytest.raises(OSError, match="nowhere"):
    checkpoint.read(tmp_path / "nowhere.pth.tar")
  monkeypatch.setitem(sys.modules, "torch", None)
  (tmp_path / "x.pth.tar").write_bytes(whole)
  with pytest.raises(ValueError, match=r"pip install 'bmshj_minnen\[compressai\]'"):
    checkpoint.read(tmp_path / "x.pth.tar")


def test_the_program_fails_in_one_line_and_leaves_nothing(tmp_path, directory):
  state, _ = _load("mbt2018")
  del state["h_a.2.weight"]
  np.savez(tmp_path / "foreign.npz", **state)
  source, output = tmp_path / "foreign.npz", tmp_path / "out"
  result = programs.run("convert", f"--from_compressai={source}", f"--output={output}")
  assert result.returncode == 1
  assert result.stderr == (
    f"error: {source}: not a checkpoint of CompressAI's mbt2018, mbt2018-mean, "
    "bmshj2018-hyperprior or bmshj2018-factorized: it has no h_a.2.weight\n"
  )
  assert not output.exists()
  result = programs.run("convert", f"--from_compressai={source}", f"--output={directory}")
  assert result.returncode == 1
  assert result.stderr == f"error: {directory} exists; give another --output\n"
  assert bmshj_minnen.load(directory).config.prior == "joint"


def test_converted_models_compress(directory):
  codec, model = bmshj_minnen.load(directory), bmshj_minnen.load_model(directory)
  data, latents = codec.compress_with_latents(codecs.photograph(97, 131))
  expected = np.clip(np.round(model.synthesis(latents.y_hat[None])[0, :97, :131]), 0, 255)
  assert np.abs(codec.decompress(data) - expected).max() <= 1


def test_converted_models_are_fine_tuned(directory, tmp_path):
  flags = ["--steps=1", "--crop=64", "--batch=1", "--learning_rate=1e-9", f"--model_dir={tmp_path}"]
  result = programs.run("train", f"--init_from={directory}", *flags, eager=True)
  assert result.returncode == 0, result.stderr
  before, after = (bmshj_minnen.load_model(path) for path in (directory, tmp_path))
  assert after.config == before.config == config.ModelConfig.load(directory / "config.json")
  found = weights.to_arrays(after)
  for name, value in weights.to_arrays(before).items():
    np.testing.assert_allclose(found[name], value, atol=1e-5, err_msg=name)
  result = programs.run("train", f"--init_from={directory}", "--num_filters=4", *flags)
  assert result.returncode == 1 and "another" in result.stderr


def test_what_is_not_by_default_alone_is_written(tmp_path):
  """This keeps directories and files of models that were trained here unchanged."""
  plain = config.ModelConfig("joint", 8, 12)
  assert plain.to_json() == (
    '{\n  "prior": "joint",\n  "num_filters": 8,\n  "latent_channels": 12\n}\n'
  )
  for changes in ({"leaky_slope": 0.01}, {"density_filters": (3, 4, 5)}, codecs.CONVERTED):
    changed = dataclasses.replace(plain, **changes)
    (tmp_path / "changed.json").write_text(changed.to_json())
    assert config.ModelConfig.load(tmp_path / "changed.json") == changed
    assert set(changed.fields()) - set(plain.fields()) == set(changes)
  with pytest.raises(ValueError, match="index, scale"):
    config.ModelConfig(scale_output="variance")
