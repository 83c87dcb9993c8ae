"""The errors of files that are refused."""

import enum

__all__ = ["BitstreamError", "Problem"]


class Problem(enum.Enum):
  """The checks of a reader, in the order in which they are made, and their messages."""

  TRUNCATED_METADATA = "truncated metadata, or damaged length"
  DAMAGED_METADATA = "damaged metadata: wrong checksum"
  EMPTY = "the file is empty"
  NO_PICTURE = "no picture behind the metadata"
  NOT_COMPRESSED = "not a compressed image"
  VERSION = "another format version, or damage"
  TRUNCATED_HEADER = "truncated header"
  TRUNCATED = "truncated, or damaged length"
  TRAILING_BYTES = "trailing bytes, or damaged length"
  QUALITY = "no such quality, or damage"
  CHECKSUM = "damaged: wrong checksum"
  MODEL = "compressed with another model"
  TOO_LARGE = "image too large"
  PAYLOAD_END = "the payload does not end where its symbols do"


class BitstreamError(ValueError):
  """Bytes are not a file of this format, or not whole; the message is one line.

  Attributes:
    problem: the check that failed.
    offset: the byte at which the problem shows.
    expected, found: the content that should be there, and the content that is.
  """

  def __init__(self, problem: Problem, offset: int, expected: object, found: object):
    super().__init__(f"{problem.value} at byte {offset}: expected {expected}, found {found}")
    self.problem, self.offset, self.expected, self.found = problem, offset, expected, found

  def __reduce__(self):
    return type(self), (self.problem, self.offset, self.expected, self.found), vars(self)
