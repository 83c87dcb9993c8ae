"""Imports between the packages, and the public names of every module."""

import ast
import importlib
import pathlib
import re
import subprocess
import sys

import pytest

from bmshj_minnen.__main__ import PROGRAMS

_PACKAGE = "bmshj_minnen"
_ROOT = pathlib.Path(__file__).parent.parent / _PACKAGE

# Imports go from a higher floor to a lower one, or stay in one room.
_FLOORS = [
  ["checks"],
  ["config", "effort", "receptive_field", "psnr"],
  ["quality", "pixels", "runtime"],
  ["format"],
  ["targets", "kernels", "entropy", "metrics", "file_tools"],
  ["layers", "images"],
  ["data"],
  ["model"],
  ["losses"],
  ["coding"],
  ["model_files", "compressai"],
  ["portable"],
  [""],  # The public API, whose names are looked up when they are used.
  ["command_line"],
  ["training", "evaluation", "serving", "corpus", "server"],
  ["web"],
]
_FLOOR_OF_ROOM = {room: floor for floor, rooms in enumerate(_FLOORS) for room in rooms}
_BINARIES = set(PROGRAMS)
_SHARED_FLAGS = rf"{_PACKAGE}\.command_line\.[a-z]+_flags"


def _module_name(path):
  parts = path.relative_to(_ROOT).with_suffix("").parts
  return ".".join([_PACKAGE, *(part for part in parts if part != "__init__")])


_TREES = {_module_name(path): ast.parse(path.read_text()) for path in sorted(_ROOT.rglob("*.py"))}


def _imports(tree):
  """Absolute names of all imported modules and of names from them, wherever the import stands."""
  names = set()
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      names |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, "imports are absolute"
      names |= {f"{node.module}.{alias.name}" for alias in node.names}
  return names


def _imported_modules(tree):
  """The modules of the package that one of its modules imports."""
  modules = set()
  for name in _imports(tree):
    if name.split(".")[0] == _PACKAGE:
      # Either a module, or something in one.
      modules.add(name if name in _TREES else name.rpartition(".")[0])
  return modules


def _room(module):
  """`bmshj_minnen.coding.codec` is in `coding`; the package itself is in ''."""
  return (module.split(".") + [""])[1]


def _uses(module, package):
  return any(name == package or name.startswith(package + ".") for name in _imports(_TREES[module]))


def _is_binary(tree):
  """Whether the module does something as the main module."""
  return any(
    isinstance(node, ast.If) and "__main__" in ast.unparse(node.test) for node in tree.body
  )


def test_the_rooms_exist():
  """The tests below would not notice a renamed room."""
  rooms = {_room(module) for module in _TREES}
  assert set(_FLOOR_OF_ROOM) | _BINARIES <= rooms
  assert len(_TREES) > 20


def test_imports_run_one_way():
  for module, tree in _TREES.items():
    if _room(module) not in _FLOOR_OF_ROOM:
      continue
    for imported in _imported_modules(tree):
      assert _room(imported) in _FLOOR_OF_ROOM, f"{imported} is on no floor; {module} imports it"
      if _room(imported) != _room(module):
        floors = _FLOOR_OF_ROOM[_room(imported)], _FLOOR_OF_ROOM[_room(module)]
        assert floors[0] < floors[1], f"{module} imports {imported}"


def test_imports_have_no_circles():
  remaining = {module: _imported_modules(tree) for module, tree in _TREES.items()}
  while remaining:
    # Modules whose imports are all done.
    free = {module for module, imported in remaining.items() if not imported & set(remaining)}
    assert free, f"a circle within {sorted(remaining)}"
    remaining = {module: imports for module, imports in remaining.items() if module not in free}


def test_nothing_imports_a_binary():
  binaries = {module for module, tree in _TREES.items() if _is_binary(tree)}
  assert {f"{_PACKAGE}.{name}" for name in _BINARIES} <= binaries
  for module, tree in _TREES.items():
    assert not _imported_modules(tree) & binaries, module


def test_flags_are_for_binaries():
  users = {module for module in _TREES if _uses(module, "absl.flags") or _uses(module, "absl.app")}
  shared = {module for module in _TREES if re.fullmatch(_SHARED_FLAGS, module)}
  assert shared
  users |= {module for module, tree in _TREES.items() if shared & set(_imported_modules(tree))}
  assert {f"{_PACKAGE}.{name}" for name in _BINARIES} <= users
  # They run a program, and refuse its arguments, by absl.
  others = users - shared - {f"{_PACKAGE}.command_line.{name}" for name in ("startup", "usage")}
  assert all(_is_binary(_TREES[module]) for module in others), users


_WITHOUT_TENSORFLOW = """
import sys
sys.modules["tensorflow"] = None
import importlib
for name in sys.argv[1:]:
  importlib.import_module(name)
"""
# Modules that code pictures on machines without TensorFlow.
_FREE = (
  "config",
  "quality",
  "targets",
  "psnr",
  "receptive_field",
  "format",
  "coding.arrays",
  "coding.codec",
  "coding.fixed_point",
  "coding.image_transforms",
  "coding.latent_coder",
  "coding.mixture_symbols",
  "coding.networks",
  "runtime.progress",
  "coding.passes",
  "coding.prior_coder",
  "coding.symbols",
  "coding.tiling",
  "coding.autoregressive_loop",
  "model_files.array_files",
  "model_files.catalogue",
  "model_files.codec_files",
  "portable",
  "pillow",
)
# Packages of extras.
_EXTRAS = ("onnx", "onnxruntime", "starlette", "tf2onnx")
_GRAPH_MODULES = {f"{_PACKAGE}.format.graph_{name}" for name in ("reading", "writing")}


def test_files_and_models_are_read_without_tensorflow():
  free = [
    module
    for module in _TREES
    if module.startswith(tuple(f"{_PACKAGE}.{name}" for name in _FREE))
    and module not in _GRAPH_MODULES
  ]
  assert len(free) > 15
  command = [sys.executable, "-c", _WITHOUT_TENSORFLOW]
  subprocess.run([*command, _PACKAGE, *free], check=True, cwd=_ROOT.parent)
  # Otherwise the test could not fail.
  assert subprocess.run([*command, f"{_PACKAGE}.metrics"], capture_output=True).returncode
  assert {m for m in _TREES if _room(m) == "format" and _uses(m, "tensorflow")} == _GRAPH_MODULES


def test_tensorflow_compression_stays_in_its_rooms():
  users = {_room(module) for module in _TREES if _uses(module, "tensorflow_compression")}
  assert users == {"layers", "kernels", "entropy"}


@pytest.mark.parametrize("module", _TREES)
def test_every_module_says_what_it_is_and_what_it_shows(module):
  tree = _TREES[module]
  docstring = ast.get_docstring(tree)
  assert docstring and docstring.splitlines()[0].endswith((".", "`", ":")), module
  if _is_binary(tree) or len(tree.body) == 1:  # Programs, and packages that are folders alone.
    return
  try:
    loaded = importlib.import_module(module)
  except ModuleNotFoundError as error:
    if error.name not in _EXTRAS:
      raise
    pytest.skip(f"needs {error.name}")
  assert loaded.__all__ == list(dict.fromkeys(loaded.__all__)), "names are listed once"
  for name in loaded.__all__:
    assert hasattr(loaded, name), name
    assert not name.startswith("_"), name
  # All public names are listed, except constants.
  public = {
    node.name
    for node in tree.body
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
  }
  assert public <= set(loaded.__all__), public - set(loaded.__all__)
