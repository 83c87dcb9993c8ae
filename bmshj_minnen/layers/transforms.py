"""g_a, g_s, h_a and h_s: the transforms of the paper's table 1.

Hidden layers have the precision of Keras's global policy. Layers that make or take latents are
float32, because latents may be large; so are layers that make pixels, whose levels are finer than
the digits of bfloat16.
"""

from typing import Callable, Optional

from bmshj_minnen.layers.chain import Chain
from bmshj_minnen.layers.convolutions import (
  GDN,
  Convolution,
  PolyphaseConvolution,
  TransposedConvolution,
)

__all__ = [
  "analysis_transform",
  "hyper_analysis_transform",
  "hyper_synthesis_transform",
  "synthesis_transform",
]


def analysis_transform(num_filters: int, latent_channels: int, gdn_dtype: str = "float32") -> Chain:
  """g_a: pixels [B, H, W, 3] in 0..1 -> y [B, ceil(H/16), ceil(W/16), M] float32."""
  hidden = [Convolution(num_filters, 5, 2, GDN(inverse=False, dtype=gdn_dtype)) for _ in range(3)]
  return Chain([*hidden, Convolution(latent_channels, 5, 2, dtype="float32")], name="g_a")


def synthesis_transform(num_filters: int, gdn_dtype: str = "float32") -> Chain:
  """g_s: ŷ [B, h, w, M] -> pixels [B, 16 h, 16 w, 3] float32 in about 0..1, not clipped."""
  hidden = [
    TransposedConvolution(num_filters, GDN(inverse=True, dtype=gdn_dtype), dtype)
    for dtype in ("float32", None, None)
  ]
  return Chain([*hidden, PolyphaseConvolution(3, dtype="float32")], name="g_s")


def hyper_analysis_transform(num_filters: int, activation: Callable) -> Chain:
  """h_a: y [B, h, w, M] -> z [B, ceil(h/4), ceil(w/4), N] float32."""
  return Chain(
    [
      Convolution(num_filters, 3, 1, activation, "float32"),
      Convolution(num_filters, 5, 2, activation, "float32"),
      Convolution(num_filters, 5, 2, None, "float32"),
    ],
    name="h_a",
  )


def hyper_synthesis_transform(
  hidden_channels: tuple[int, int],
  output_channels: int,
  activation: Callable,
  dtype: Optional[str] = None,
) -> Chain:
  """h_s: ẑ [B, h', w', N] -> psi [B, 4 h', 4 w', output_channels] float.

  Args:
    hidden_channels: channels of the first two layers.
    output_channels: channels of psi.
    activation: the activation behind the first two layers.
    dtype: dtype of the last layer; None: the dtype of the global policy.
  """
  return Chain(
    [
      TransposedConvolution(hidden_channels[0], activation),
      TransposedConvolution(hidden_channels[1], activation),
      Convolution(output_channels, 3, dtype=dtype),
    ],
    name="h_s",
  )
