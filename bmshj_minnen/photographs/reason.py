"""Why a file could not be done, in a line."""

__all__ = ["NotReadError", "reason"]


class NotReadError(ValueError):
  """A picture is of a kind that is not read; the message goes on from the name of its file."""


def reason(source: str, error: Exception) -> str:
  """What went wrong with a file, in a line that does not repeat its name."""
  text = str(error)
  if isinstance(error, OSError) and error.filename:
    text = f"{error.filename}: {error.strerror}"
  elif not isinstance(error, (ValueError, OSError)):
    text = f"{type(error).__name__}: {text}"
  return " ".join(text.split()).removeprefix(f"{source}: ")
