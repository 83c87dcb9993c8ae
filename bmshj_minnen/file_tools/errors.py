"""Reasons why a file could not be processed, in one line."""

__all__ = ["UnsupportedImageError", "reason"]


class UnsupportedImageError(ValueError):
  """A kind of picture is not supported; the message continues the name of the file."""


def reason(source: str, error: Exception) -> str:
  """The reason of an error in one line, without the name of the file."""
  text = str(error)
  if isinstance(error, OSError) and error.filename:
    text = f"{error.filename}: {error.strerror}"
  elif not isinstance(error, (ValueError, OSError)):
    text = f"{type(error).__name__}: {text}"
  return " ".join(text.split()).removeprefix(f"{source}: ")
