"""The refusal of arguments that a program does not take."""

from collections.abc import Sequence

from absl import app

__all__ = ["refuse_arguments"]


def refuse_arguments(argv: Sequence[str], has_patterns: bool = False) -> None:
  """Refuses arguments that are not flags.

  Args:
    argv: the name of the program, and the arguments that are not its flags.
    has_patterns: whether the program has flags for patterns. Without quotes the shell expands a
      pattern, and files beyond the first become arguments.

  Raises:
    app.UsageError: there is an argument.
  """
  if len(argv) > 1:
    remedy = "; patterns need quotes" if has_patterns else ""
    raise app.UsageError(f"unknown argument {argv[1]!r}{remedy}")
