"""Cost of a million photographs at a measured speed: the arithmetic, line by line.

`python -m experiments.scaling.cost --per_second=5 --cores=2 --megapixels=0.393`
"""

from absl import app, flags

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

_PER_SECOND = flags.DEFINE_float(
  "per_second", None, "Measured photographs per second.", lower_bound=0.0, required=True
)
_CORES = flags.DEFINE_integer("cores", 2, "Cores in the measurement.", lower_bound=1)
_MEGAPIXELS = flags.DEFINE_float("megapixels", 768 * 512 / 1e6, "Size of a measured photograph.")
_TO_MEGAPIXELS = flags.DEFINE_list("to_megapixels", ["12"], "Sizes to scale to.")
# An assumption, not a quotation: roughly the price of an x86 core on demand at the large clouds
# (two hardware threads, of which one is a core here), 2023 to 2025; look up your own.
_PRICE = flags.DEFINE_float("price", 0.045, "US dollars per core and hour.", lower_bound=0.0)
_PHOTOGRAPHS = 1_000_000


def lines(per_second: float, cores: int, price: float, megapixels: float) -> list[str]:
  """The arithmetic for photographs of one size, in Markdown."""
  seconds = _PHOTOGRAPHS / per_second
  core_hours = seconds * cores / 3600
  return [
    f"{megapixels:.3g} megapixels: 1,000,000 photographs / {per_second:.4g} a second "
    f"= {seconds:,.0f} s",
    f"  x {cores} cores / 3600 = {core_hours:,.0f} core hours",
    f"  x {price:.4g} dollars = {core_hours * price:,.2f} dollars, "
    f"{1e6 * core_hours * price / _PHOTOGRAPHS / megapixels:,.2f} a million megapixels",
  ]


def main(argv):
  """Prints the lines for the measured size and for the sizes to scale to."""
  if len(argv) > 1:
    raise app.UsageError(f"unknown argument {argv[1]!r}")
  with startup.one_line_errors():
    print(*lines(_PER_SECOND.value, _CORES.value, _PRICE.value, _MEGAPIXELS.value), sep="\n")
    for size in map(float, _TO_MEGAPIXELS.value):
      # The time of the networks and the coder grows with the pixels (experiments/robustness).
      rate = _PER_SECOND.value * _MEGAPIXELS.value / size
      print(*lines(rate, _CORES.value, _PRICE.value, size), sep="\n")


if __name__ == "__main__":
  app.run(main)
