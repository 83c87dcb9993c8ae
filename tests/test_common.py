"""Parts that experiments share: files of results, images by a pattern; wrong arguments."""

import csv
import json

import pytest
from absl import app

from bmshj_minnen.command_line import usage
from bmshj_minnen.data import finding
from experiments import common


def test_rows_come_back_from_csv(tmp_path):
  rows = [{"name": 'a "quoted", word', "n": 1}, {"name": "λ\nbelow", "n": 2.5}]
  common.write_csv(tmp_path / "rows.csv", rows)
  with open(tmp_path / "rows.csv", newline="", encoding="utf-8") as file:
    head, *lines = csv.reader(file)
  assert head == ["name", "n"]
  assert lines == [[row["name"], str(row["n"])] for row in rows]
  assert common.read_csv(tmp_path / "rows.csv") == [dict(zip(head, line)) for line in lines]
  assert common.csv_text([]) == ""


def test_json_comes_back_and_ends_a_line(tmp_path):
  common.write_json(tmp_path / "value.json", {"a": [1, 2]})
  text = (tmp_path / "value.json").read_text()
  assert json.loads(text) == {"a": [1, 2]} and text.endswith("}\n")


def test_images_are_those_of_the_pattern_or_the_bundled_ones(tmp_path):
  for name in ("b.png", "a.png", "c.txt"):
    (tmp_path / name).touch()
  assert common.find_images(f"{tmp_path}/*.png") == [f"{tmp_path}/a.png", f"{tmp_path}/b.png"]
  assert common.find_images("") == common.find_images(None) == finding.bundled_photographs()
  with pytest.raises(finding.DataError, match=r"^no file matches .*/\*\.jpg$"):
    common.find_images(f"{tmp_path}/*.jpg")


def test_arguments_that_are_no_flags_are_refused():
  usage.refuse_arguments(["program"])
  with pytest.raises(app.UsageError, match="^unknown argument 'x'$"):
    usage.refuse_arguments(["program", "x", "y"])
  with pytest.raises(app.UsageError, match="^unknown argument 'x'; patterns need quotes$"):
    usage.refuse_arguments(["program", "x"], has_patterns=True)
