"""Densities, and the range coder that codes symbols with them."""

from bmshj_minnen.entropy.conditional import Conditional
from bmshj_minnen.entropy.densities import Family, family_of, register
from bmshj_minnen.entropy.factorized import FactorizedDensity

__all__ = ["Conditional", "FactorizedDensity", "Family", "family_of", "register"]
