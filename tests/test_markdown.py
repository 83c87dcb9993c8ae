"""Tables in Markdown."""

from bmshj_minnen.evaluation import markdown


def test_a_table_has_text_on_the_left_and_numbers_on_the_right():
  table = markdown.table(["", "bytes", "note"], [["a", "12", ""], ["b", "3", "small"]], "lrl")
  assert table == "| | bytes | note |\n|---|---:|---|\n| a | 12 | |\n| b | 3 | small |"
  assert markdown.table(["x", "y", "z"], []).splitlines()[1] == "|---|---:|---:|"


def test_cells_stay_in_their_column_and_row():
  assert markdown.table(["a|b"], [["two\nlines"]]) == "| a\\|b |\n|---|\n| two lines |"


def test_a_line_is_there_before_the_next_row_is_made():
  made = []

  def rows():
    for name in "ab":
      made.append(name)
      yield [name]

  lines = markdown.lines(["name"], rows())
  assert [next(lines), next(lines)] == ["| name |", "|---|"] and not made
  assert next(lines) == "| a |" and made == ["a"]
