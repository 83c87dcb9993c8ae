"""A file system of Beam that seems not to be mounted: elsewhere://PATH is PATH."""

from apache_beam.io import localfilesystem
from apache_beam.io.filesystem import FileMetadata

SCHEME = "elsewhere://"


def _here(path):
  return path.removeprefix(SCHEME)


class Elsewhere(localfilesystem.LocalFileSystem):
  """Beam finds it by its scheme, once this module is imported."""

  @classmethod
  def scheme(cls):
    return "elsewhere"

  def join(self, base, *paths):
    return "/".join([base.rstrip("/"), *paths])

  def split(self, path):
    return tuple(path.rpartition("/")[::2])

  def _list(self, path):
    for found in super()._list(_here(path)):
      yield FileMetadata(SCHEME + found.path, found.size_in_bytes, found.last_updated_in_seconds)

  def _path_open(self, path, *args, **options):
    return super()._path_open(_here(path), *args, **options)

  def create(self, path, *args, **options):
    return super().create(_here(path), *args, **options)

  def rename(self, sources, targets):
    super().rename([*map(_here, sources)], [*map(_here, targets)])

  def exists(self, path):
    return super().exists(_here(path))

  def size(self, path):
    return super().size(_here(path))

  def last_updated(self, path):
    return super().last_updated(_here(path))

  def metadata(self, path):
    return super().metadata(_here(path))

  def delete(self, paths):
    super().delete([*map(_here, paths)])
