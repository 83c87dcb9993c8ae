"""The networks of the paper's figure 1 as Keras layers."""

from bmshj_minnen.layers.entropy_parameters import EntropyParameters
from bmshj_minnen.layers.gains import Gains
from bmshj_minnen.layers.masked_conv import MaskedConv2D
from bmshj_minnen.layers.networks import Networks, networks_of, register
from bmshj_minnen.layers.per_slice import PerSlice, joined, per_slice, slices_of
from bmshj_minnen.layers.transforms import (
  analysis_transform,
  hyper_analysis_transform,
  hyper_synthesis_transform,
  synthesis_transform,
)
from bmshj_minnen.receptive_field import ReceptiveField

__all__ = [
  "EntropyParameters",
  "Gains",
  "MaskedConv2D",
  "Networks",
  "PerSlice",
  "ReceptiveField",
  "analysis_transform",
  "hyper_analysis_transform",
  "hyper_synthesis_transform",
  "joined",
  "networks_of",
  "per_slice",
  "register",
  "slices_of",
  "synthesis_transform",
]
