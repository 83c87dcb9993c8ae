"""Densities, and the range coder that codes symbols with them."""

from bmshj_minnen.entropy.factorized import FactorizedDensity
from bmshj_minnen.entropy.gaussian_conditional import GaussianConditional

__all__ = ["FactorizedDensity", "GaussianConditional"]
