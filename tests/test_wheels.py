"""The table of wheels: the requirements of setup.py resolve for other systems."""

import datetime
import pathlib
import re

import pytest

pytest.importorskip("packaging")

from experiments.exactness import wheels

_README = pathlib.Path(wheels.__file__).with_name("portable.md")


def test_the_table_has_all_systems_and_pythons():
  rows = re.findall(r"^\| ([^|]+) \| (3\.\d+) \|", _README.read_text(), re.MULTILINE)
  assert rows == wheels.ROWS


def test_tensorflow_is_asked_for_where_it_has_wheels_alone():
  for system, python in wheels.ROWS:
    asked = " ".join(wheels.requirements(system, python))
    assert "tensorflow" not in asked
    assert {"onnxruntime", "numpy"} <= {name.partition(">=")[0] for name in asked.split()}
  assert "tensorflow-compression==2.14.1" in wheels.requirements("Linux, x86-64", "3.11")


def test_there_are_wheels_for_the_row_of_the_day():
  system, python = wheels.ROWS[datetime.date.today().toordinal() % len(wheels.ROWS)]
  try:
    found = wheels.resolve(system, python)
  except wheels.RegistryError as error:
    pytest.skip(str(error))
  assert {"onnxruntime", "numpy", "pillow", "absl-py", "tqdm"} <= set(found)
  assert "tensorflow" not in found
