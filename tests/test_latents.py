"""The study of latents: its results for a prior, its numbers and its figure, against NumPy."""

import numpy as np
import pytest
from scipy import stats

import bmshj_minnen
from experiments.latents import anatomy, figure, statistics
from tests import codecs, programs

_PRIORS = ("joint", "scale_hyperprior", "factorized")


@pytest.fixture(scope="module")
def subjects(tmp_path_factory):
  folder = tmp_path_factory.mktemp("latents")
  for prior in _PRIORS:
    codecs.make_codec(prior, folder)
  return folder


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("prior", _PRIORS)
def test_anatomy_is_that_of_the_latents_of_the_file(subjects, reference, prior):
  subject = anatomy.Subject(str(subjects / prior), quality=50)  # It has one rate: no quality.
  image = codecs.photograph(70, 100)
  one = anatomy.dissect(subject, image)

  file = subject.codec.compress(image)
  assert one.file_bytes == len(file) and one.pixels == 7000
  y_hat, z_hat = subject.codec.latents(file)
  assert np.array_equal(one.y_hat, y_hat)

  model = codecs.make_model(prior)
  independent = reference(model)
  if prior == "factorized":
    support = np.repeat(np.arange(-400.0, 401)[:, None], codecs.M, 1)
    mass = independent.factorized_mass(model.y_density, support)
    mean = (support * mass).sum(0)
    scale = np.sqrt(((support - mean) ** 2 * mass).sum(0))
    bits = independent.bits(independent.factorized_mass(model.y_density, y_hat))
    z_bits = 0
  else:
    mean, scale = independent.mean_and_scale(y_hat, z_hat)
    bits = independent.bits(independent.normal_mass(y_hat, mean, scale))
    z_bits = independent.bits(independent.factorized_mass(model.z_density, z_hat)).sum()
  np.testing.assert_allclose(one.mean, np.broadcast_to(mean, y_hat.shape), atol=2e-3)
  np.testing.assert_allclose(one.scale, np.broadcast_to(scale, y_hat.shape), rtol=2e-3)
  np.testing.assert_allclose(one.bits, bits, rtol=5e-3, atol=5e-3)
  assert one.z_bits == pytest.approx(z_bits, rel=1e-3, abs=1e-3)
  np.testing.assert_allclose(one.normalized * one.scale, one.error, atol=1e-5)
  assert np.array_equal(one.error, one.y_hat - one.mean)


def _made_up(shapes, channels=5):
  """Anatomies with correlated errors; the last channel has few bits."""
  random = np.random.default_rng(0)
  result = []
  for k, (height, width) in enumerate(shapes):
    e = random.standard_t(5, (height + 1, width + 1, channels))
    e = e[1:, 1:] + 0.8 * e[1:, :-1] - 0.3 * e[:-1, 1:] + 0.2
    e[:, :, 0] += 0.7 * e[:, :, 1]
    scale = random.uniform(0.5, 2.0, e.shape)
    mean = random.normal(size=e.shape)
    bits = random.uniform(1.5, 2.5, e.shape) * np.array([1, 1, 3, 1, 0.2])
    arrays = [v.astype(np.float32) for v in (mean + e * scale, mean, scale, bits)]
    result.append(anatomy.Anatomy(*arrays, 30.0 + k, 100 + k, height * width * 256))
  return result


def test_numbers_are_those_of_all_photographs_together():
  several = _made_up([(9, 14), (12, 7), (1, 5)])
  measured = statistics.statistics(iter(several))
  pixels = sum(one.pixels for one in several)
  assert measured.photographs == 3
  assert measured.channels == 4
  assert measured.bpp == pytest.approx(8 * (100 + 101 + 102) / pixels)
  assert measured.z_bpp == pytest.approx((30 + 31 + 32) / pixels)
  assert measured.y_bpp == pytest.approx(sum(one.bits.sum() for one in several) / pixels)
  for value, arrays in (
    (measured.error, [np.abs(one.y_hat - one.mean) for one in several]),
    (measured.scale, [one.scale for one in several]),
  ):
    assert value == pytest.approx(np.mean(np.concatenate([np.ravel(v) for v in arrays])), rel=1e-5)

  es = [np.float64(one.y_hat - one.mean) / one.scale for one in several]

  def correlation(pairs):
    """The correlation of all pairs by channel, averaged over four channels."""
    own = [
      [np.concatenate([np.ravel(v[..., c]) for v in side]) for side in pairs] for c in range(4)
    ]
    return np.mean([np.corrcoef(*sides)[0, 1] for sides in own])

  right = [e[:, :-1] for e in es], [e[:, 1:] for e in es]
  below = [e[:-1] for e in es], [e[1:] for e in es]
  assert measured.horizontal == pytest.approx(correlation(right), rel=1e-4)
  assert measured.vertical == pytest.approx(correlation(below), rel=1e-4)
  assert measured.horizontal > 0.2 > -0.05 > measured.vertical

  flat = np.concatenate([e.reshape(-1, 5) for e in es])[:, :4]
  matrix = np.corrcoef(flat.T)
  pairs = [abs(matrix[c, d]) for c in range(4) for d in range(c)]
  assert measured.across == pytest.approx(np.mean(pairs), rel=1e-4)
  assert measured.kurtosis == pytest.approx(stats.kurtosis(flat, fisher=False).mean(), rel=1e-4)
  assert measured.deviation == pytest.approx(np.sqrt(np.mean(flat**2)), rel=1e-4)


def test_noise_has_no_structure():
  random = np.random.default_rng(1)
  e = random.normal(size=(60, 80, 12)).astype(np.float32)
  ones = np.ones_like(e)
  measured = statistics.statistics([anatomy.Anatomy(e, 0 * ones, ones, 2 * ones, 0.0, 1, 1)])
  assert measured.across == pytest.approx(measured.across_floor, rel=0.3)
  assert abs(measured.horizontal) < 0.02 and abs(measured.vertical) < 0.02
  assert measured.kurtosis == pytest.approx(3, abs=0.1)
  assert measured.deviation == pytest.approx(1, abs=0.02)


def test_without_a_channel_that_has_bits_there_are_no_correlations():
  ones = np.ones((4, 4, 3), np.float32)
  measured = statistics.statistics([anatomy.Anatomy(ones, ones, ones, 0.5 * ones, 0.0, 1, 1)])
  assert measured.channels == 0 and measured.error == 0 and measured.scale == 1
  assert np.isnan(
    [measured.horizontal, measured.vertical, measured.across, measured.kurtosis]
  ).all()


def test_the_figure_shows_the_fullest_channel_on_one_scale_a_column():
  rows = dict(zip(["first", "second"], _made_up([(9, 14), (9, 14)])))
  axes = np.array(figure.plot(rows).axes[:12]).reshape(2, 6)
  for line, (name, one) in zip(axes, rows.items()):
    assert f"{name}\nchannel 2" in line[0].get_ylabel()
    assert f"{one.bits[:, :, 2].mean():.2f} bits" in line[0].get_ylabel()
    error = one.y_hat - one.mean
    shown = (one.y_hat, one.mean, error, one.scale, error / one.scale, one.bits)
    for place, array in zip(line, shown):
      assert np.array_equal(place.images[0].get_array(), array[:, :, 2])
  for column in axes.T:
    first, second = (place.images[0].get_clim() for place in column)
    assert first == second
  assert axes[0, 0].images[0].get_clim() == axes[0, 2].images[0].get_clim()


_COMMAND = """
import runpy
runpy.run_module("experiments.latents.run", run_name="__main__", alter_sys=True)
"""


def test_the_command_takes_any_number_of_models(subjects, tmp_path):
  bmshj_minnen.write_image(str(tmp_path / "photo.png"), codecs.photograph(64, 96))
  flags = [f"--models={subjects}/[fs]*", f"--images={tmp_path}/*.png"]
  flags += [f"--image={tmp_path}/photo.png", "--output=out"]
  run = programs.run(_COMMAND, *flags, cwd=tmp_path, eager=True)
  assert run.returncode == 0, run.stderr
  table = (tmp_path / "out" / "table.md").read_text()
  assert table in run.stdout
  lines = [line.split("|")[1:3] for line in table.splitlines()[2:]]
  expected = [["factorized", "1"], ["scale_hyperprior", "1"]]
  assert [[cell.strip() for cell in line] for line in lines] == expected
  assert (tmp_path / "out" / "latents.png").read_bytes().startswith(b"\x89PNG")
