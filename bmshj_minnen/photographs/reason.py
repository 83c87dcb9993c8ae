"""Why a file could not be done, in a line."""

__all__ = ["reason"]


def reason(source: str, error: Exception) -> str:
  """What went wrong with a file, in a line that does not repeat its name."""
  text = str(error)
  if isinstance(error, OSError) and error.filename:
    text = f"{error.filename}: {error.strerror}"
  elif not isinstance(error, (ValueError, OSError)):
    text = f"{type(error).__name__}: {text}"
  return " ".join(text.split()).removeprefix(f"{source}: ")
