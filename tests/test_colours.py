"""The planes of classical codecs: equations of H.273, exactness, and the loss of 4:2:0."""

import itertools

import numpy as np
import pytest

from bmshj_minnen import metrics
from bmshj_minnen.evaluation import colours
from tests import codecs


def test_444_follows_the_equations_of_h273_and_comes_back_exactly():
  levels = [0, 1, 2, 63, 64, 127, 128, 200, 253, 254, 255]
  x = np.array([*itertools.product(levels, repeat=3)], np.uint8)[:, None]
  planes = colours.to_planes(x, subsampled=False)
  for (red, green, blue), *sample in zip(x[:, 0].tolist(), *(p[:, 0] for p in planes)):
    luma = (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255
    chroma = ((blue / 255 - luma) / 1.8556, (red / 255 - luma) / 1.5748)
    wanted = [1023 * luma, *(1023 * value + 512 for value in chroma)]
    # A half is rounded up or down, and the largest sample is 1023.
    assert np.abs(np.array(sample, float) - np.minimum(wanted, 1023)).max() <= 0.5 + 1e-9
  np.testing.assert_array_equal(colours.from_planes(planes), x)


def test_colours_come_back():
  for red in (0, 1, 85, 254, 255):
    x = np.stack(np.broadcast_arrays(red, *np.ogrid[:256, :256]), -1).astype(np.uint8)
    np.testing.assert_array_equal(colours.from_planes(colours.to_planes(x, False)), x)


def test_420_keeps_greys_flat_colours_and_means():
  grey = np.repeat(codecs.photograph(64, 80)[..., :1], 3, -1)
  np.testing.assert_array_equal(colours.from_planes(colours.to_planes(grey, True)), grey)
  flat = np.full((16, 20, 3), (200, 30, 90), np.uint8)
  np.testing.assert_array_equal(colours.from_planes(colours.to_planes(flat, True)), flat)
  x = codecs.photograph(64, 80)
  x_hat = colours.from_planes(colours.to_planes(x, True))
  blocks = [p.reshape(32, 2, 40, 2, 3).mean((1, 3), dtype=float) for p in (x, x_hat)]
  assert np.abs(blocks[0] - blocks[1]).mean() < 0.3


def test_420_loses_less_than_repeated_means_and_is_centred():
  x = codecs.photograph(96, 128)
  planes = colours.to_planes(x, False)
  coarse = [planes[0]]
  for plane in planes[1:]:
    means = np.rint(plane.reshape(48, 2, 64, 2).mean((1, 3))).astype(np.uint16)
    coarse.append(means.repeat(2, 0).repeat(2, 1))
  repeated = metrics.psnr(x, colours.from_planes(coarse))

  def loss(image):
    return metrics.psnr(image, colours.from_planes(colours.to_planes(image, True)))

  assert loss(x) > repeated + 1
  # Samples that were off the centre would prefer one direction.
  assert loss(x[::-1, ::-1]) == pytest.approx(loss(x), abs=0.05)


def test_420_refuses_odd_sizes():
  with pytest.raises(ValueError, match="needs an even height and width, and the image has 31x40"):
    colours.to_planes(codecs.photograph(31, 40), True)
