"""Maps names in a PyTorch checkpoint to CompressAI's present names.

Programs that wrap a model, or one of its networks, add words to the names of its arrays:
`torch.compile`, data-parallel training, moving averages, a Lightning module with an attribute
`model`.
"""

import re
from collections.abc import Iterable
from typing import Any

__all__ = ["canonical", "is_state"]

# Words that PyTorch adds anywhere in a name.
_WRAPPERS = {"_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
_FIRST = "g_a.0.weight"  # All four models have it.
# Old and new names of the density's parameters: `_matrices.0`, `_matrix0`, `matrices.0`.
_DENSITY = re.compile(r"entropy_bottleneck\._?(matri|bias|factor)(?:x|ces|es|s)?\.?(\d+)")
_DENSITY_NAMES = {"matri": "matrices", "bias": "biases", "factor": "factors"}


def is_state(names: Iterable[Any]) -> bool:
  """Whether these are names of the state of a model, or of a module that contains a model."""
  return bool(_places(map(_unwrapped, map(str, names))))


def canonical(state: dict[str, Any]) -> dict[str, Any]:
  """The state of a model, by CompressAI's present names.

  Args:
    state: name -> array; if the model is part of a module, other parts are left out.

  Raises:
    ValueError: the state contains several models, or two arrays with the same name.
  """
  arrays: dict[str, Any] = {}
  for name, array in state.items():
    _add(arrays, _unwrapped(name), array)
  places = _places(arrays)
  if len(places) > 1:
    listed = " and ".join(sorted(f"{place}{_FIRST}" for place in places))
    raise ValueError(f"it holds several models, with {listed}: save one by itself")
  place = places.pop() if places else ""
  result: dict[str, Any] = {}
  for name, array in arrays.items():
    if name.startswith(place):
      _add(result, _of_today(name[len(place) :]), array)
  return result


def _add(arrays, name, array):
  if name in arrays:
    raise ValueError(f"it holds several arrays that are {name}")
  arrays[name] = array


def _unwrapped(name):
  return ".".join(word for word in name.split(".") if word not in _WRAPPERS)


def _places(names):
  """Prefixes of the names of each model, which end with a point unless they are empty."""
  return {name[: -len(_FIRST)] for name in names if name == _FIRST or name.endswith(f".{_FIRST}")}


def _of_today(name):
  match = _DENSITY.fullmatch(name)
  return f"entropy_bottleneck.{_DENSITY_NAMES[match[1]]}.{match[2]}" if match else name
