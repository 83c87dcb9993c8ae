"""FORMAT.md has the same tables and constants as the code."""

import dataclasses
import json
import pathlib
import re

import numpy as np

from bmshj_minnen import config, quality
from bmshj_minnen.format import fields
from bmshj_minnen.format.errors import Problem
from bmshj_minnen.format.geometry import Reach
from bmshj_minnen.format.reading import DEFAULT_MAX_PIXELS
from bmshj_minnen.format.tables import BYTE_TABLE, MAX_VALUE, PRECISION

_TEXT = (pathlib.Path(__file__).parents[1] / "FORMAT.md").read_text()


def _rows(head):
  """The cells of the table with this head, row by row."""
  lines = _TEXT.partition(f"{head}\n")[2].splitlines()[1:]
  table = lines[: next(i for i, line in enumerate(lines) if not line.startswith("|"))]
  return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_fields_are_those_of_the_table():
  found = [row[:3] for row in _rows("| field | bytes | in version | value |")]
  expected = [
    [field.name, str(field.size), ", ".join(map(str, field.versions))] for field in fields.FIELDS
  ]
  assert found == expected
  less_one = {
    row[0] for row in _rows("| field | bytes | in version | value |") if "less 1" in row[3]
  }
  assert less_one == {field.name for field in fields.FIELDS if field.least == 1}
  assert f"`{fields.MAGIC.hex(' ').upper()}`" in _TEXT
  one, many = map(fields.header_size, (fields.ONE_RATE, fields.MANY_RATES))
  assert f"version 1 has {one} bytes and that of version 2\nhas {many}" in _TEXT
  assert "16 bytes of header" in _TEXT and fields.header_size(fields.METADATA) == 16


def test_reasons_to_refuse_are_those_of_the_reader_in_its_order():
  found = [row[0] for row in _rows("| name | condition |")]
  assert found == [problem.name.lower() for problem in Problem]
  assert f"2^{DEFAULT_MAX_PIXELS.bit_length() - 1} unless" in _TEXT


def test_qualities_are_those_of_the_bytes():
  for byte, expected in zip(quality.BYTES, quality.QUALITIES):
    assert expected == (byte if byte <= 100 else byte - 99.5)
  assert sorted(quality.BYTES) == list(range(1, 200))


def test_checksums_of_the_examples():
  (found,) = re.findall(r"give the checksums\s(`.*?)\.\n", _TEXT, re.DOTALL)
  expected = [fields.checksum(bytes(range(size))).hex(" ") for size in (16, 40, 200)]
  assert re.findall(r"`([0-9a-f ]+)`", found) == expected


def test_keys_of_the_configuration_and_priors():
  rows = _rows("| key | default | meaning |")
  given = {name: json.loads(default) for name, default, _ in rows if default != "always there"}
  defaults = {field.name: field.default for field in dataclasses.fields(config.ModelConfig)}
  assert {name: defaults[name] for name in given} == given
  left_out = re.search(r"Other keys \((.*?)\)", _TEXT)[1].split(", ")
  assert {row[0] for row in rows} | set(left_out) == set(defaults)
  head = "| prior | side information ẑ, h_s | context: g_cm, g_ep | means | tables of ŷ |"
  for name, *parts, _ in _rows(head):
    prior = config.PRIORS[name]
    assert [part == "yes" for part in parts] == [prior.hyperprior, prior.context, prior.means]
  assert len(_rows(head)) == len(config.PRIORS)


def test_constants_of_coding():
  assert "is 16 (its precision in bits)" in _TEXT and PRECISION == 16
  assert "257 numbers 0, 256, 512, …, 65536" in _TEXT
  np.testing.assert_array_equal(BYTE_TABLE.cdf, [16, *range(0, 65537, 256)])
  assert "256 · high + low - 32768" in _TEXT and MAX_VALUE == 32767
  reach = Reach(5)
  assert "for k = 5: j + 3 i" in _TEXT and reach.slope == 3
  assert "for k = 5: 12" in _TEXT and len(reach.up) == 12
