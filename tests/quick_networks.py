"""Networks whose training steps take a fraction of the time of the paper's."""

import tensorflow as tf

from bmshj_minnen import layers
from bmshj_minnen.layers.chain import Chain
from bmshj_minnen.layers.convolutions import GDN, Convolution, PolyphaseConvolution

__all__ = ["NAME"]

NAME = "test quick"


@layers.register(NAME)
class _Quick(layers.Networks):
  """Two layers each in g_a and g_s, with the paper's kinds of variables."""

  def g_a(self):
    gdn = GDN(inverse=False, dtype=self.gdn_dtype)
    hidden = Convolution(self.config.num_filters, 5, 4, gdn)
    return Chain([hidden, Convolution(self.config.latent_channels, 5, 4, dtype="float32")])

  def g_s(self):
    hidden = tf.keras.layers.Conv2DTranspose(self.config.num_filters, 8, 8, "same")
    return tf.keras.Sequential([hidden, PolyphaseConvolution(3, dtype="float32")])
