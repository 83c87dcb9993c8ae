"""A decoder of `.tfci` files, written from FORMAT.md alone and in the order of its sections.

It is not made for speed. `read_model` reads a model directory, `decode` decodes the bytes of a
file.
"""

import hashlib
import json
import os
from bisect import bisect_left, bisect_right
from typing import NamedTuple, Optional

import numpy as np


class FormatError(ValueError):
  """A file must be refused; `reason` is a name from section 1 of FORMAT.md."""

  def __init__(self, reason: str, text: str = ""):
    super().__init__(f"{reason}: {text}" if text else reason)
    self.reason = reason


class Decoded(NamedTuple):
  """Latents and pixels of a file."""

  y: np.ndarray  # ŷ / y_step, int32 [rows, columns, M]
  z: Optional[np.ndarray]  # ẑ, int32 [rows, columns, N]; None without side information
  pixels: np.ndarray  # uint8 [height, width, 3]


def saturated(x: np.ndarray) -> np.ndarray:
  """Clips values of any shape to 16 bits."""
  return np.clip(x, -32768, 32767)


def ceil_div(a: int, b: int) -> int:
  """Rounds a quotient up."""
  return -(-a // b)


# 1. The bytes

MAGIC = b"BMM"
METADATA_MAGIC = MAGIC + bytes([4])
METADATA_HEADER = 16
HEADERS = {1: 20, 2: 21}
MAX_PIXELS = 2**28


class Picture(NamedTuple):
  """Fields of a file that passed all checks before decoding."""

  version: int
  height: int
  width: int
  quality: Optional[float]
  payload: bytes
  exif: bytes
  xmp: bytes


def read_file(data: bytes, model: "Model", max_pixels: int = MAX_PIXELS) -> Picture:
  """Parses and checks a file; the first check that fails raises FormatError."""
  exif, xmp, rest = split_metadata(data)
  if not rest:
    raise FormatError("no_picture" if data else "empty")
  if rest[:3] != MAGIC[: len(rest)]:
    raise FormatError("not_compressed")
  if len(rest) > 3 and rest[3] != model.version:
    raise FormatError("version", f"{rest[3]}, but the model's is {model.version}")
  header = HEADERS[model.version]
  if len(rest) < header:
    raise FormatError("truncated_header")
  fingerprint = rest[4:8]
  height, width = number(rest[8:10]) + 1, number(rest[10:12]) + 1
  size = number(rest[12:16])
  if len(rest) < header + size:
    raise FormatError("truncated")
  if len(rest) > header + size:
    raise FormatError("trailing_bytes")
  quality = read_quality(rest[16]) if model.version == 2 else None
  payload = rest[header:]
  if checksum(rest[: header - 4] + payload) != rest[header - 4 : header]:
    raise FormatError("checksum")
  if fingerprint != model.fingerprint:
    raise FormatError("model", f"{fingerprint.hex()}, but this is {model.fingerprint.hex()}")
  if height * width > max_pixels:
    raise FormatError("too_large", f"{height} x {width}")
  return Picture(model.version, height, width, quality, payload, exif, xmp)


def split_metadata(data: bytes) -> tuple[bytes, bytes, bytes]:
  """EXIF, XMP and the bytes behind them; EXIF and XMP are empty without a metadata part.

  Raises:
    FormatError: the metadata part is truncated or damaged.
  """
  if data[:4] != METADATA_MAGIC:
    return b"", b"", data
  if len(data) < METADATA_HEADER:
    raise FormatError("truncated_metadata")
  xmp_start = METADATA_HEADER + number(data[8:12])
  end = xmp_start + number(data[12:16])
  if len(data) < end:
    raise FormatError("truncated_metadata")
  if checksum(data[:4] + bytes(4) + data[8:end]) != data[4:8]:
    raise FormatError("damaged_metadata")
  return data[METADATA_HEADER:xmp_start], data[xmp_start:end], data[end:]


def read_quality(byte: int) -> float:
  """The quality, from 1 to 100 in halves.

  Raises:
    FormatError: the byte has no quality.
  """
  if 1 <= byte <= 100:
    return float(byte)
  if 101 <= byte <= 199:
    return byte - 99.5
  raise FormatError("quality", str(byte))


def number(data: bytes) -> int:
  """Bytes as one big-endian number."""
  return int.from_bytes(data, "big")


# 2. The checksum

WORD = 2**64 - 1
K0, K1, K2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F


def checksum(data: bytes) -> bytes:
  """The 4 bytes of a checksum, from FarmHash's 64-bit fingerprint of at least 16 bytes."""
  n = len(data)
  if n == 16:
    value = hash_16(data)
  elif n <= 32:
    value = hash_32(data)
  elif n <= 64:
    value = hash_64(data)
  else:
    value = hash_long(data)
  return (value & 0xFFFFFFFF).to_bytes(4, "little")


def word(data: bytes, i: int) -> int:
  """The word of eight bytes from byte i; a negative i counts from the end."""
  start = i if i >= 0 else len(data) + i
  return int.from_bytes(data[start : start + 8], "little")


def ror(x: int, n: int) -> int:
  """Rotates the low 64 bits of a word to the right."""
  x &= WORD
  return (x >> n) | (x << (64 - n)) & WORD


def fold(x: int) -> int:
  """Mixes the high bits of a word into its low ones."""
  x &= WORD
  return x ^ (x >> 47)


def merge(u: int, v: int, m: int) -> int:
  """Combines two words into one."""
  u, v = u & WORD, v & WORD
  a = fold((u ^ v) * m)
  return fold((v ^ a) * m) * m & WORD


def hash_16(data: bytes) -> int:
  """The hash of 16 bytes."""
  m = K2 + 2 * len(data)
  a, b = word(data, 0) + K2, word(data, -8)
  return merge(ror(b, 37) * m + a, (ror(a, 25) + b) * m, m)


def hash_32(data: bytes) -> int:
  """The hash of 17 to 32 bytes."""
  m = K2 + 2 * len(data)
  a, b, c, d = word(data, 0) * K1, word(data, 8), word(data, -8) * m, word(data, -16) * K2
  return merge(ror(a + b, 43) + ror(c, 30) + d, a + ror(b + K2, 18) + c, m)


def hash_64(data: bytes) -> int:
  """The hash of 33 to 64 bytes."""
  m = K2 + 2 * len(data)
  a, b, c, d = word(data, 0) * K2, word(data, 8), word(data, -8) * m, word(data, -16) * K2
  y = ror(a + b, 43) + ror(c, 30) + d
  z = merge(y, a + ror(b + K2, 18) + c, m)
  e, f = word(data, 16) * m, word(data, 24)
  g, h = (y + word(data, -32)) * m, (z + word(data, -24)) * m
  return merge(ror(e + f, 43) + ror(g, 30) + h, e + ror(f + a, 18) + g, m)


def hash_long(data: bytes) -> int:
  """The hash of more than 64 bytes."""
  n = len(data)
  x, y = (81 * K2 + word(data, 0)) & WORD, (81 * K1 + 113) & WORD
  z = fold(y * K2 + 113) * K2 & WORD
  state = (x, y, z, 0, 0, 0, 0)
  for block in range(ceil_div(n, 64) - 1):
    state = hash_step(data[64 * block : 64 * block + 64], K1, 1, *state)
  x, y, z, v0, v1, w0, w1 = state
  m = K1 + 2 * (z & 255)
  w0 += (n - 1) % 64
  v0 += w0
  w0 += v0
  x, y, z, v0, v1, w0, w1 = hash_step(data[-64:], m, 9, x, y, z, v0, v1, w0, w1)
  return merge(merge(v0, w0, m) + fold(y) * K0 + z, merge(v1, w1, m) + x, m)


def hash_step(
  block: bytes, m: int, k: int, x: int, y: int, z: int, v0: int, v1: int, w0: int, w1: int
) -> tuple[int, ...]:
  """Updates the state (x, y, z, v0, v1, w0, w1) with a block of 64 bytes."""
  a, b, c, d, e, f, g, h = (word(block, i) for i in range(0, 64, 8))
  x = ror(x + y + v0 + b, 37) * m & WORD
  y = ror(y + v1 + g, 42) * m
  x ^= k * w1 & WORD
  y = (y + k * v0 + f) & WORD
  z = ror(z + w0, 33) * m & WORD
  v0, v1 = hash_pair(a, b, c, d, v1 * m, x + w0)
  w0, w1 = hash_pair(e, f, g, h, z + w1, y + c)
  return z, y, x, v0, v1, w0, w1


def hash_pair(p: int, q: int, r: int, s: int, i: int, j: int) -> tuple[int, int]:
  """Two new words of the state, from four words and two words of the state."""
  i += p
  j = ror(i + j + s, 21)
  t = i
  i += q + r
  j += ror(i, 44)
  return (i + s) & WORD, (j + t) & WORD


# 3. The model

SIDE_INFORMATION = ("scale_hyperprior", "mean_scale_hyperprior", "joint")
CONTEXT = ("autoregressive", "joint")
MEANS = ("mean_scale_hyperprior", "autoregressive", "joint")
PRIORS = ("factorized", "scale_hyperprior", "mean_scale_hyperprior", "autoregressive", "joint")
DEFAULT_HYPER_LAYERS = ((5, 2), (5, 2), (3, 1))
SCALES = 64


class Config(NamedTuple):
  """The configuration in `coder.npz`."""

  prior: str
  num_filters: int
  latent_channels: int
  scale_output: str = "index"
  medians: bool = False
  gain_lambdas: Optional[list[float]] = None
  context_support: int = 5
  components: int = 1
  networks: str = "paper"

  @property
  def has_side_information(self) -> bool:
    """Whether side information ẑ precedes ŷ."""
    return self.prior in SIDE_INFORMATION

  @property
  def has_context(self) -> bool:
    """Whether latents depend on earlier latents."""
    return self.prior in CONTEXT

  @property
  def has_means(self) -> bool:
    """Whether latents have means."""
    return self.prior in MEANS


class Layer(NamedTuple):
  """An integer layer; all arrays are float64, which is exact."""

  weights: np.ndarray
  bias: np.ndarray
  scale: np.ndarray
  slope: float

  def outputs(self, sums: np.ndarray) -> np.ndarray:
    """Scales sums [..., C]; negative sums are also multiplied by the slope."""
    out = sums * self.scale
    return np.where(sums < 0, out * (self.slope / 256), out)

  def __call__(self, x: np.ndarray) -> np.ndarray:
    """Applies the layer to vectors x [..., fan_in]; outputs [..., C] are not rounded."""
    return self.outputs(x.astype(np.float64) @ self.weights + self.bias)


class Table(NamedTuple):
  """A cumulative distribution of 16 bits."""

  cdf: list[int]
  offset: int
  escape: int


class Model(NamedTuple):
  """All data that the decoder reads from a model directory."""

  config: Config
  fingerprint: bytes
  unit: int  # 1 / y_step
  hyper_layers: list[tuple[int, int]]
  thresholds: Optional[np.ndarray]
  h_s: list[Layer]
  order: Optional[np.ndarray]
  contexts: list[tuple[Layer, list[Layer]]]  # g_cm and g_ep of each slice.
  mixture: dict[str, np.ndarray]
  z_tables: list[Table]
  y_tables: list[Table]
  weights: dict[str, np.ndarray]

  @property
  def version(self) -> int:
    """The version of the model's files."""
    return 1 if self.config.gain_lambdas is None else 2


def read_model(directory: str) -> Model:
  """Reads `coder.npz` and `weights.npz` of a model directory.

  Raises:
    ValueError: the files do not belong together, or their arrays contradict the configuration.
  """
  coder = read_arrays(os.path.join(directory, "coder.npz"))
  weights = read_arrays(os.path.join(directory, "weights.npz"))
  config = read_config(str(coder["config"]))
  fingerprint = model_fingerprint(coder)
  if "coder" in weights and weights["coder"].tobytes() != fingerprint:
    raise ValueError(f"weights.npz and coder.npz of {directory} do not belong together")
  hyper_layers = coder.get("hyper_layers", np.array(DEFAULT_HYPER_LAYERS)).tolist()
  h_s = read_layers(coder, "h_s") if config.has_side_information else []
  if h_s and len(h_s) != len(hyper_layers):
    raise ValueError(f"h_s of {directory} has {len(h_s)} layers, not {len(hyper_layers)}")
  order = coder.get("order")
  slices = 1 if order is None else order.shape[2]
  contexts = []
  for at in range(slices if config.has_context else 0):
    tail = f"/{at}" if slices > 1 else ""
    contexts.append((read_layer(coder, f"g_cm{tail}"), read_layers(coder, f"g_ep{tail}")))
  tables = read_tables(coder)
  split = config.num_filters if config.has_side_information else 0
  expected = config.latent_channels if config.prior == "factorized" else SCALES
  if config.components == 1 and len(tables) != split + expected:
    raise ValueError(f"{len(tables)} tables in {directory}, not {split} + {expected}")
  return Model(
    config,
    fingerprint,
    round(1 / float(coder["y_step"])),
    hyper_layers,
    coder["thresholds"] if config.scale_output == "scale" else None,
    h_s,
    order,
    contexts,
    {name[8:]: array.astype(np.int64) for name, array in coder.items() if name[:8] == "mixture."},
    tables[:split],
    tables[split:],
    weights,
  )


def read_arrays(path: str) -> dict[str, np.ndarray]:
  """Reads the arrays of an archive, of any shapes, by their names."""
  with np.load(path, allow_pickle=False) as archive:
    return {name: archive[name] for name in archive.files}


def read_config(text: str) -> Config:
  """Reads JSON text; leaves out keys that a decoder does not need.

  Raises:
    ValueError: the prior, an option or the networks are unknown.
  """
  values = json.loads(text)
  config = Config(**{key: values[key] for key in Config._fields if key in values})
  if config.prior not in PRIORS or config.scale_output not in ("index", "scale"):
    raise ValueError(f"unknown configuration: {text}")
  if config.networks != "paper":
    raise ValueError(f"no networks but those of the paper are specified: {config.networks}")
  return config


def read_layer(coder: dict[str, np.ndarray], name: str) -> Layer:
  """Reads an integer layer by its name from the arrays of `coder.npz`."""
  weights, bias, scale, slope = (
    coder[f"{name}.{part}"].astype(np.float64) for part in ("weights", "bias", "scale", "slope")
  )
  return Layer(weights, bias, scale, float(slope))


def read_layers(coder: dict[str, np.ndarray], network: str) -> list[Layer]:
  """Reads the integer layers of a network, numbered from 0, from the arrays of `coder.npz`."""
  layers = []
  while f"{network}/{len(layers)}.weights" in coder:
    layers.append(read_layer(coder, f"{network}/{len(layers)}"))
  return layers


def read_tables(coder: dict[str, np.ndarray]) -> list[Table]:
  """Splits the tables behind each 65536; a precision of 16 bits precedes each table.

  Raises:
    ValueError: a table does not have the specified form.
  """
  numbers = coder["tables.cdf"].tolist()
  tables, start = [], 0
  for offset, escape in zip(coder["tables.offset"].tolist(), coder["tables.escape"].tolist()):
    end = numbers.index(65536, start) + 1
    precision, cdf = numbers[start], numbers[start + 1 : end]
    if precision != 16 or cdf[0] != 0 or escape != len(cdf) - 2:
      raise ValueError(f"table {len(tables)} is not as specified")
    tables.append(Table(cdf, offset, escape))
    start = end
  if start != len(numbers):
    raise ValueError("there is more behind the last table")
  return tables


def model_fingerprint(coder: dict[str, np.ndarray]) -> bytes:
  """The four bytes that identify the model that wrote a file."""
  digest = hashlib.sha256(b"1")
  for name in sorted(coder, key=lambda name: name.encode()):
    array = coder[name]
    digest.update(f"{name} {array.shape} ".encode())
    digest.update(str(array).encode() if name == "config" else array.astype("<f8").tobytes())
  return digest.digest()[:4]


# 4. The range coder

BYTE_CDF = list(range(0, 65537, 256))


class RangeDecoder:
  """The decoder's state over a payload, behind which zeros are read."""

  def __init__(self, payload: bytes):
    self.payload = payload
    self.base, self.size = 0, 2**32
    self.value, self.taken = 0, 0
    for _ in range(2):
      self._take()

  def _take(self) -> None:
    """Shifts two more bytes into the value."""
    pair = self.payload[self.taken : self.taken + 2].ljust(2, b"\0")
    self.value = (self.value << 16) % 2**32 + number(pair)
    self.taken += 2

  def symbol(self, cdf: list[int]) -> int:
    """Decodes the next symbol with a table."""
    d = (self.value - self.base) % 2**32
    # (size * c) >> 16 <= d is the same as c <= ((d + 1) * 2^16 - 1) // size.
    s = bisect_right(cdf, (((d + 1) << 16) - 1) // self.size) - 1
    low, high = self.size * cdf[s] >> 16, self.size * cdf[s + 1] >> 16
    self.base = (self.base + low) % 2**32
    self.size = high - low
    if self.size <= 2**16:
      self.base = (self.base << 16) % 2**32
      self.size <<= 16
      self._take()
    return s

  def run(self, tables: list[Table], indices: np.ndarray) -> np.ndarray:
    """Decodes a run, one int64 value for each index of a table; indices may have any shape."""
    used = [tables[i] for i in indices.ravel().tolist()]
    symbols = [self.symbol(table.cdf) for table in used]
    values = []
    for s, table in zip(symbols, used):
      if s == table.escape:
        high = self.symbol(BYTE_CDF)
        values.append(256 * high + self.symbol(BYTE_CDF) - 32768)
      else:
        values.append(s + table.offset)
    return np.array(values, np.int64).reshape(indices.shape)

  def check_end(self) -> None:
    """Checks the end of the payload.

    Raises:
      FormatError: bytes are left, or the value differs from an encoder's choice.
    """
    if self.base == 0 or self.base + self.size > 2**32:
      chosen = 0
    else:
      last = self.base + self.size - 1
      shift = 24 if (self.base - 1) >> 24 < last >> 24 else 16
      chosen = (((self.base - 1) >> shift) + 1) << shift
    if self.taken < len(self.payload) or self.value != chosen:
      raise FormatError("payload_end")


# 5. The order of symbols

STEP_POSITIONS = 2**16


def decode(data: bytes, model: Model, max_pixels: int = MAX_PIXELS) -> Decoded:
  """Latents and pixels of a file; FormatError has the reason if it must be refused."""
  picture = read_file(data, model, max_pixels)
  y, z = decode_latents(picture, model)
  pixels = synthesis(y, model, picture.quality)[: picture.height, : picture.width]
  return Decoded(y, z, pixels)


def decode_latents(picture: Picture, model: Model) -> tuple[np.ndarray, Optional[np.ndarray]]:
  """ŷ / y_step, int32 [rows, columns, M], and ẑ, int32 [rows / 4, columns / 4, N], or None.

  Raises:
    FormatError: the payload has a wrong end.
  """
  coder = RangeDecoder(picture.payload)
  rows, columns = ceil_div(picture.height, 16), ceil_div(picture.width, 16)
  z = decode_z(coder, model, rows, columns) if model.config.has_side_information else None
  hyper = None if z is None else hyper_synthesis(z, model)[:rows, :columns]
  if model.order is not None:
    y = decode_y_in_passes(coder, model, hyper, rows, columns)
  elif model.config.has_context:
    y = decode_y_with_context(coder, model, hyper, rows, columns)
  else:
    y = decode_y_without_context(coder, model, hyper, rows, columns)
  coder.check_end()
  return y.astype(np.int32), None if z is None else z.astype(np.int32)


def decode_z(coder: RangeDecoder, model: Model, rows: int, columns: int) -> np.ndarray:
  """ẑ [rows / 4, columns / 4, N], both sides rounded up, for latents of this size."""
  channels = model.config.num_filters
  shape = (ceil_div(rows, 4), ceil_div(columns, 4), channels)
  return coder.run(model.z_tables, np.broadcast_to(np.arange(channels), shape))


def decode_y_without_context(
  coder: RangeDecoder, model: Model, outputs: Optional[np.ndarray], rows: int, columns: int
) -> np.ndarray:
  """Latents [rows, columns, M] in raster order; `outputs` of h_s, if any: [rows, columns, C]."""
  channels, positions = model.config.latent_channels, rows * columns
  y = np.empty((positions, channels), np.int64)
  if outputs is not None:
    outputs = outputs.reshape(positions, -1)
  for start in range(0, positions, STEP_POSITIONS):
    step = slice(start, min(start + STEP_POSITIONS, positions))
    if outputs is None:
      mean = 0
      index = np.broadcast_to(np.arange(channels), y[step].shape)
    else:
      y[step] = decode_latents_of(coder, model, outputs[step])
      continue
    y[step] = saturated(mean + coder.run(model.y_tables, index) * model.unit)
  return y.reshape(rows, columns, channels)


def decode_y_with_context(
  coder: RangeDecoder, model: Model, psi: Optional[np.ndarray], rows: int, columns: int
) -> np.ndarray:
  """Latents [rows, columns, M] in steps that depend on earlier ones; psi is [rows, columns, C]."""
  support = model.config.context_support
  lead, margin = support // 2 + 1, support // 2
  padded = np.zeros((rows + margin, columns + 2 * margin, model.config.latent_channels), np.int64)
  if psi is not None:
    psi = activations(psi)
  for t in range(columns + lead * (rows - 1)):
    i = np.arange(rows)
    j = t - lead * i
    i, j = i[(j >= 0) & (j < columns)], j[(j >= 0) & (j < columns)]
    if not i.size:
      continue
    outputs = context_outputs(padded, model, None if psi is None else psi[i, j], i, j)
    padded[i + margin, j + margin] = decode_latents_of(coder, model, outputs)
  return padded[margin:, margin : margin + columns]


PASS_STEP_POSITIONS = 2**11


def decode_y_in_passes(
  coder: RangeDecoder, model: Model, psi: Optional[np.ndarray], rows: int, columns: int
) -> np.ndarray:
  """Latents [rows, columns, M] in the passes of `order`; psi is [rows, columns, C]."""
  height, width, slices = model.order.shape
  y = np.zeros((rows, columns, model.config.latent_channels), np.int64)
  by_slice = y.reshape(rows, columns, slices, -1)
  psi = np.zeros((rows, columns, 0)) if psi is None else activations(psi)
  for number in range(model.order.max() + 1):
    (at,) = np.unique(np.argwhere(model.order == number)[:, 2])
    g_cm, g_ep = model.contexts[at]
    taps = earlier_taps(model, at)
    turns = model.order[np.arange(rows)[:, None] % height, np.arange(columns) % width, at]
    positions = np.argwhere(turns == number)
    for start in range(0, len(positions), PASS_STEP_POSITIONS):
      step = positions[start : start + PASS_STEP_POSITIONS]
      x = np.stack([seen_at(model, by_slice, taps, i, j, number) for i, j in step])
      features = np.concatenate([psi[tuple(step.T)], activations(g_cm(x))], axis=-1)
      for layer in g_ep[:-1]:
        features = activations(layer(features))
      by_slice[(*step.T, at)] = decode_latents_of(coder, model, g_ep[-1](features))
  return y


def earlier_taps(model: Model, at: int) -> list[tuple[int, int, int]]:
  """The taps (a, b, slice) of a slice: earlier for some position in the pattern."""
  height, width, slices = model.order.shape
  support = model.config.context_support
  places = [(i, j) for i in range(height) for j in range(width)]
  return [
    (a, b, other)
    for a in range(support)
    for b in range(support)
    for other in range(slices)
    if any(turn(model, i, j, a, b, other) < model.order[i, j, at] for i, j in places)
  ]


def turn(model: Model, i: int, j: int, a: int, b: int, at: int) -> int:
  """The pass of a slice at place (a, b) of the kernel around (i, j)."""
  height, width, _ = model.order.shape
  half = model.config.context_support // 2
  return model.order[(i + a - half) % height, (j + b - half) % width, at]


def seen_at(
  model: Model, y: np.ndarray, taps: list[tuple[int, int, int]], i: int, j: int, number: int
) -> np.ndarray:
  """Inputs of g_cm at (i, j) in a pass; y is [rows, columns, slices, M / slices]."""
  half, none = model.config.context_support // 2, np.zeros(y.shape[3])
  found = [np.zeros(0)]
  for a, b, at in taps:
    row, column = i + a - half, j + b - half
    is_seen = 0 <= row < y.shape[0] and 0 <= column < y.shape[1]
    is_seen = is_seen and turn(model, i, j, a, b, at) < number
    found.append(y[row, column, at] if is_seen else none)
  return np.concatenate(found)


# 6. Integer networks


def activations(out: np.ndarray) -> np.ndarray:
  """Rounds, then saturates, outputs [..., C] of an integer layer that feed the next one."""
  return saturated(np.rint(out))


def hyper_synthesis(z: np.ndarray, model: Model) -> np.ndarray:
  """ẑ [h, w, N] -> outputs [4 h, 4 w, C] of the last layer of h_s, neither rounded nor cropped."""
  x = z.astype(np.float64)
  if model.config.medians:
    x = np.concatenate([x, np.ones(x.shape[:2] + (1,))], axis=-1)
  for at, (layer, (side, stride)) in enumerate(zip(model.h_s, model.hyper_layers)):
    if at:
      x = activations(x)
    x = hyper_layer(x, layer, side, stride)
  return x


def hyper_layer(x: np.ndarray, layer: Layer, side: int, stride: int) -> np.ndarray:
  """A layer of h_s with a kernel of this side: [h, w, C] -> [stride * h, stride * w, C']."""
  rows, columns, channels = x.shape
  reach = ceil_div(side // 2, stride)
  width = 2 * reach + 1
  padded = np.pad(x, ((reach, reach), (reach, reach), (0, 0)))
  taps = layer.weights.reshape(width, width, channels, -1)
  sums = np.zeros((rows, columns, taps.shape[-1])) + layer.bias
  for a in range(width):
    for b in range(width):
      sums += padded[a : a + rows, b : b + columns] @ taps[a, b]
  out = layer.outputs(sums).reshape(rows, columns, stride, stride, -1)
  return out.transpose(0, 2, 1, 3, 4).reshape(rows * stride, columns * stride, -1)


def context_outputs(
  padded: np.ndarray, model: Model, psi: Optional[np.ndarray], i: np.ndarray, j: np.ndarray
) -> np.ndarray:
  """Outputs [n, C] of g_ep at n positions (i, j).

  `padded` is ŷ [rows, columns, M] with a margin of zeros above and at both sides; psi is [n, C'].
  """
  support = model.config.context_support
  taps = [(a, b) for a in range(support // 2 + 1) for b in range(support)]
  taps = taps[: (support**2 - 1) // 2]
  x = np.concatenate([padded[i + a, j + b] for a, b in taps], axis=-1)
  ((g_cm, g_ep),) = model.contexts
  x = activations(g_cm(x))
  if psi is not None:
    x = np.concatenate([psi, x], axis=-1)
  for layer in g_ep[:-1]:
    x = activations(layer(x))
  return g_ep[-1](x)


def entropy_parameters(outputs: np.ndarray, model: Model) -> tuple[np.ndarray, np.ndarray]:
  """Outputs [..., C] of the last layer -> means, in units of y_step, and table indices [..., M]."""
  channels = model.config.latent_channels // (1 if model.order is None else model.order.shape[2])
  mean = np.zeros(outputs.shape[:-1] + (channels,), np.int64)
  if model.config.has_means:
    mean = saturated(np.rint(outputs[..., :channels])).astype(np.int64)
  scale = np.rint(outputs[..., -channels:])
  if model.config.scale_output == "scale":
    # The index is the number of smaller thresholds.
    return mean, np.searchsorted(np.sort(model.thresholds), scale, side="left")
  return mean, np.clip(scale, 0, SCALES - 1).astype(np.int64)


def decode_latents_of(coder: RangeDecoder, model: Model, outputs: np.ndarray) -> np.ndarray:
  """The latents [n, channels], in units of y_step, of a step; outputs of the last layer [n, C]."""
  if model.config.components > 1:
    return saturated(decode_mixtures(coder, model, outputs) * model.unit)
  mean, index = entropy_parameters(outputs, model)
  return saturated(mean + coder.run(model.y_tables, index) * model.unit)


def decode_mixtures(coder: RangeDecoder, model: Model, outputs: np.ndarray) -> np.ndarray:
  """The whole numbers [n, channels] of the latents of a step."""
  components = model.config.components
  groups = saturated(np.rint(outputs)).astype(np.int64).reshape(len(outputs), 3, components, -1)
  logits, means, scales = groups.transpose(1, 0, 3, 2).reshape(3, -1, components).tolist()
  zeros = [table.cdf[1] for table in model.y_tables]
  halves = [(one + other) // 2 for one, other in zip(zeros, zeros[1:])]  # They increase.
  latents = [MixedLatent(model, halves, *of) for of in zip(logits, means, scales)]
  while any(latent.is_open for latent in latents):
    still = [latent for latent in latents if latent.is_open]
    tables = np.array([latent.table() for latent in still])
    for latent, value in zip(still, coder.run(model.y_tables, tables).tolist()):
      latent.take(value)
  return np.array([latent.low for latent in latents]).reshape(len(outputs), -1)


class MixedLatent:
  """A latent whose number is asked for."""

  def __init__(
    self,
    model: Model,
    halves: list[int],
    logits: list[int],
    means: list[int],
    scales: list[int],
  ):
    exponentials, inverse = model.mixture["exponentials"], model.mixture["inverse_scales"]
    self.weights = [int(exponentials[min(max(logits) - logit, 1024)]) for logit in logits]
    self.means, self.halves = means, halves
    self.inverse = [int(inverse[min(max(scale, 0), SCALES - 1)]) for scale in scales]
    self.cumulative, self.unit = model.mixture["cumulative"], model.unit
    total = sum(self.weights)
    mean = 2 * sum(w * m for w, m in zip(self.weights, means)) + self.unit * total
    self.center = min(max(mean // (2 * self.unit * total), -32766), 32767)
    self.low, self.high = -32767, 32768

  @property
  def is_open(self) -> bool:
    """Whether there is another question."""
    return self.high - self.low > 1

  def below(self, n: int) -> int:
    """The mass below n - ½."""
    total = 0
    for weight, mean, inverse in zip(self.weights, self.means, self.inverse):
      p = (((2 * n - 1) * self.unit - 2 * mean) * inverse >> 12) + 1024 * 256
      p = min(max(p, 0), 2048 * 256 - 1)
      here, there = (int(self.cumulative[(p >> 8) + i]) for i in (0, 1))
      total += weight * (here * 256 + (there - here) * (p & 255) >> 8)
    return total

  @property
  def middle(self) -> int:
    """The number of the next question."""
    if self.low == -32767 and self.high == 32768:
      return self.center
    if self.high == 32768:
      return min(2 * self.low - self.center + 1, 32767)
    if self.low == -32767:
      return max(2 * self.high - self.center - 1, -32766)
    return (self.low + self.high) // 2

  def table(self) -> int:
    """The index of the next table."""
    below = self.below(self.low)
    whole, part = self.below(self.high) - below, self.below(self.middle) - below
    q = part * 65536 // whole if whole else 32768
    return bisect_left(self.halves, q)

  def take(self, value: int) -> None:
    """Takes an answer."""
    if value >= 1:
      self.low = self.middle
    else:
      self.high = self.middle


# 7. Pixels


def synthesis(y: np.ndarray, model: Model, quality: Optional[float]) -> np.ndarray:
  """ŷ / y_step [rows, columns, M] -> pixels [16 rows, 16 columns, 3] uint8, not yet cropped.

  Float32 would be enough, but in float64 latents beyond all tables do not overflow either.
  """
  weights = model.weights
  x = y / model.unit
  if quality is not None:
    x = x * inverse_gain(model, quality)
  if model.config.prior == "factorized" and model.config.medians:
    x = x + weights["y_density/median"].astype(np.float64)
  for i in range(4):
    kernel, bias = weights[f"g_s/{i}/kernel"], weights[f"g_s/{i}/bias"]
    x = upsample(x, kernel.astype(np.float64), bias.astype(np.float64))
    if i < 3:
      beta, gamma = weights[f"g_s/{i}/beta"], weights[f"g_s/{i}/gamma"]
      x = x * np.sqrt(beta.astype(np.float64) + x**2 @ gamma.astype(np.float64))
  return np.clip(np.rint(x * 255), 0, 255).astype(np.uint8)


def inverse_gain(model: Model, quality: float) -> np.ndarray:
  """Factors [M] of the channels at a quality."""
  log_lambdas = np.log(model.config.gain_lambdas)
  at = log_lambdas[0] + (log_lambdas[-1] - log_lambdas[0]) * (quality - 1) / 99
  log_inverse = model.weights["gains/log_inverse"].astype(np.float64)
  return np.exp([np.interp(at, log_lambdas, channel) for channel in log_inverse.T])


def upsample(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
  """A layer of g_s: x [h, w, C], kernel [5, 5, C, C'] and bias [C'] -> [2 h, 2 w, C']."""
  rows, columns = x.shape[:2]
  result = np.zeros((2 * rows + 3, 2 * columns + 3, kernel.shape[-1]))
  for a in range(5):
    for b in range(5):
      result[a : a + 2 * rows : 2, b : b + 2 * columns : 2] += x @ kernel[a, b]
  return result[2:-1, 2:-1] + bias
