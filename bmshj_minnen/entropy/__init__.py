"""Densities, and the range coder that codes symbols with them."""

from bmshj_minnen.entropy.conditional import Conditional
from bmshj_minnen.entropy.densities import Family, family_of, register
from bmshj_minnen.entropy.factorized import FactorizedDensity
from bmshj_minnen.entropy.gaussian_conditional import GaussianConditional
from bmshj_minnen.entropy.mixture_density import Mixture, conditional_of

__all__ = [
  "Conditional",
  "FactorizedDensity",
  "Family",
  "GaussianConditional",
  "Mixture",
  "conditional_of",
  "family_of",
  "register",
]
