"""Conditional densities by name: against SciPy, and in files."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats

import bmshj_minnen
from bmshj_minnen import config, entropy
from bmshj_minnen.entropy import densities
from bmshj_minnen.model_files import model_directory
from tests import codecs, variants

entropy.register(
  "test power", entropy.Family(lambda **kw: tfp.distributions.GeneralizedNormal(power=1.5, **kw))
)
_SCIPY = {
  "gaussian": stats.norm,
  "laplace": stats.laplace,
  "logistic": stats.logistic,
  "test power": stats.gennorm(1.5),
}


@pytest.mark.parametrize("name", _SCIPY)
def test_likelihoods_and_tables_are_those_of_scipy(name):
  conditional = entropy.Conditional(config.ModelConfig(density=name))
  scale, cdf = conditional.scales[[0, 20, 40]], _SCIPY[name].cdf
  y_hat = np.arange(-60, 61)[:, None]
  distance = np.abs(y_hat - 0.3)
  expected = cdf((0.5 - distance) / scale) - cdf((-0.5 - distance) / scale)
  inputs = (np.float32(x) for x in (y_hat, 0.3, scale))
  np.testing.assert_allclose(conditional.likelihood(*inputs), expected, rtol=0, atol=3e-6)
  tables = conditional.coding_tables()
  begin = 0
  for i, escape in enumerate(tables.escape):
    mass = np.diff(tables.cdf[begin + 1 : begin + escape + 3])[:-1] / 2**16
    begin += escape + 3
    edges = (np.arange(escape + 1) + tables.offset[i] - 0.5) / conditional.scales[i]
    # Each symbol of the tails has 2^-16 or more, at the cost of the likeliest.
    np.testing.assert_allclose(mass, np.diff(cdf(edges)), rtol=0, atol=1.2e-4)
  assert i == 63


@pytest.mark.parametrize(
  ("density", "prior", "fields"),
  [
    # Scales of another family have thresholds of their own.
    ("laplace", "scale_hyperprior", {"scale_output": "scale"}),
    ("test power", "autoregressive", {}),
  ],
)
def test_files_of_other_densities_are_the_models(density, prior, fields, tmp_path):
  model = variants.trained(prior, steps=75, density=density, **fields)
  data = variants.check(tmp_path, model, refines=density == "test power")
  assert model_directory.load_config(tmp_path).density == density
  other = codecs.make_model(prior, **fields)
  model_directory.save(other, tmp_path, codecs.photograph(64, 64)[None])
  with pytest.raises(bmshj_minnen.BitstreamError, match="fingerprint"):
    bmshj_minnen.load(tmp_path).decompress(data)


def test_tables_of_another_density_are_refused(build_model, monkeypatch, tmp_path):
  model = build_model("mean_scale_hyperprior", density="laplace")
  gaussian = entropy.GaussianConditional()
  monkeypatch.setattr(model.conditional, "coding_tables", gaussian.coding_tables)
  with pytest.raises(ValueError, match="tables of another density"):
    model_directory.save(model, tmp_path, tf.constant(codecs.photograph(64, 64)[None]))
  assert not list(tmp_path.iterdir())


def test_what_is_no_density_is_refused_by_name():
  with pytest.raises(ValueError, match="density 'nobodys'.*import the module"):
    bmshj_minnen.Model(bmshj_minnen.ModelConfig(density="nobodys"))
  with pytest.raises(ValueError, match="not one of gaussian, laplace, logistic.*--import=MODULE"):
    bmshj_minnen.Model(bmshj_minnen.ModelConfig(density="nobodys"))
  with pytest.raises(ValueError, match="factorized prior.*'laplace'"):
    bmshj_minnen.ModelConfig("factorized", density="laplace")
  with pytest.raises(ValueError, match="'gaussian' ships"):
    entropy.register("gaussian", densities.Family(tfp.distributions.Laplace))


def test_tails_that_no_table_can_hold_are_refused_when_the_model_is_made():
  """Student's t with 2 degrees of freedom has 6e-5 of its mass beyond 128 scales; with 3, 1e-6."""
  for name, degrees in (("test light", 3.0), ("test heavy", 2.0), ("test cauchy", 1.0)):
    family = densities.Family(
      lambda degrees=degrees, **at: tfp.distributions.StudentT(degrees, **at)
    )
    entropy.register(name, family)
    mass = 2 * stats.t.cdf(-32767 / 256, degrees)
    if mass <= 2.0**-16:
      entropy.Conditional(bmshj_minnen.ModelConfig(density=name))
    else:
      with pytest.raises(ValueError, match=f"'{name}' has too heavy tails: .* {mass:.2g} of the"):
        entropy.Conditional(bmshj_minnen.ModelConfig(density=name))
