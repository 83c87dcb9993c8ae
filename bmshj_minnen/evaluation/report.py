"""Writes an evaluation as a page: `index.html` and a folder of pictures beside it.

The page opens from disk, without server or network. `page/` contains its parts; Plotly draws the
plots, and its script is included in the page.
"""

import html
import itertools
import json
import math
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from bmshj_minnen.evaluation import cautions, classical, curves, measurements, rate_tables, viewer
from bmshj_minnen.evaluation.line_styles import appearances
from bmshj_minnen.evaluation.pictures import KeptFiles, Pictures, levels
from bmshj_minnen.evaluation.subjects import Contender, Photograph
from bmshj_minnen.file_tools import outputs

__all__ = ["refuse_other", "write"]

_PARTS = pathlib.Path(__file__).parent / "page"
_CHOICES = '<fieldset class="choice" id="level"><legend>Bytes, about</legend></fieldset>'
_NOTE = (
  "The original is lossless; decoded pictures are shown as AVIF 4:4:4 of high quality, which adds "
  "a little to differences; figures are measured on the decoded pictures themselves."
)
_PAGE, _PICTURES = "index.html", "pictures"
_FIGURES = (
  *("codec", "setting", "bytes", "bpp", "psnr_db", "ms_ssim", "ms_ssim_db"),
  *("encode_s", "decode_s"),
)
_DASHES = {"-": "solid", "--": "dash", "-.": "dashdot", ":": "dot"}
_SYMBOLS = {"o": "circle", "s": "square", "^": "triangle-up", "D": "diamond"}
_SYMBOLS |= {"v": "triangle-down", "x": "x"}


def write(
  rows: Sequence[measurements.Row],
  contenders: Sequence[Contender],
  photographs: Sequence[Photograph],
  folder: pathlib.Path,
  kept: KeptFiles = lambda contender, photograph: None,
) -> pathlib.Path:
  """Writes the page and its missing pictures.

  Args:
    rows: rows of the curves and tables.
    contenders: codecs of the pictures, measured on all photographs; models first.
    photographs: photographs of the pictures.
    folder: folder of the page; created if it is missing.
    kept: see `Pictures`.

  Returns:
    The path of the page.

  Raises:
    ValueError: a package is not installed, or the folder contains another page.
  """
  refuse_other(folder)
  script = _plotly()
  codecs = dict.fromkeys(c.codec for c in contenders) | dict.fromkeys(row.codec for row in rows)
  codecs = sorted(codecs, key=lambda codec: codec in classical.FORMATS)  # Models first.
  pictures = Pictures(folder / _PICTURES, kept)
  parts = {
    "title": f"Evaluation over {_count(rows)}",
    "cautions": "".join(map(_note, cautions.of_averages(rows))),
    "rates_psnr": _rates(rows, codecs, "psnr"),
    "rates_ms_ssim": _rates(rows, codecs, "ms_ssim"),
    "viewer": viewer.markup(_CHOICES, _NOTE),
    "style": viewer.style() + (_PARTS / "report.css").read_text("utf-8"),
    "plotly": script,
    "data": _json(_data(rows, codecs, contenders, photographs, pictures)),
    "script": viewer.script() + (_PARTS / "report.js").read_text("utf-8"),
  }
  text = viewer.filled(_template(), parts)
  path = folder / _PAGE
  outputs.write_atomically(str(path), text.encode())
  return path


def refuse_other(folder: pathlib.Path) -> None:
  """Raises ValueError if the page would replace a page that is not a report."""
  path = folder / _PAGE
  head = _template().partition("{{")[0].encode()  # The beginning of every report.
  if path.exists() and path.read_bytes()[: len(head)] != head:
    raise ValueError(f"{path} is there already, and no report: give another folder")


def _template():
  return (_PARTS / "report.html").read_text("utf-8")


def _plotly():
  try:
    from plotly import offline
  except ImportError as error:
    remedy = "pip install 'bmshj_minnen[report]'"
    raise ValueError(f"a report needs Plotly: {remedy}") from error
  return offline.get_plotlyjs()


def _count(rows):
  count = len({row.image for row in rows})
  return f"{count} photograph{'s' if count > 1 else ''}"


def _json(value):
  """JSON that can be embedded in a script element."""
  text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
  return text.replace("<", "\\u003c")


def _data(rows, codecs, contenders, photographs, pictures):
  looks = {
    codec: {
      "title": look.title,
      "colour": look.colour,
      "dash": _DASHES[look.dash],
      "symbol": _SYMBOLS[look.symbol],
    }
    for codec, look in appearances(codecs).items()
  }
  figures = (*_FIGURES, *measurements.perceptual_columns(rows))
  return {
    "codecs": looks,
    "figures": figures,
    "averages": {
      own.column: [_values(entry, figures) for entry in curves.averages(rows, metric)]
      for metric, own in curves.METRICS.items()
    },
    "images": _images(rows, contenders, photographs, pictures, figures),
  }


def _values(entry: dict[str, Any], figures: Sequence[str]) -> list[Any]:
  """Values of these figures, with None for NaN and infinity, which JSON lacks."""
  values = [entry.get(name) for name in figures]
  return [None if isinstance(v, float) and not math.isfinite(v) else v for v in values]


def _images(rows, contenders, photographs, pictures, figures):
  shown = {(c.codec, c.setting) for c in contenders}
  names = list(dict.fromkeys(c.codec for c in contenders))
  own = {p.name: [row for row in rows if row.image == p.name] for p in photographs}
  chosen = {
    name: levels([row for row in group if (row.codec, row.setting) in shown], names)
    for name, group in own.items()
  }
  files = _files(chosen, contenders, photographs, pictures)
  result = []
  for photograph in photographs:
    group = own[photograph.name]
    result.append(
      {
        "name": photograph.name,
        "width": group[0].width,
        "height": group[0].height,
        "original": f"{_PICTURES}/{pictures.original(photograph)}",
        "rows": [_values(vars(row), figures) for row in group],
        "levels": [
          {
            codec: {"row": group.index(row), **files[photograph.name, codec, row.setting]}
            for codec, row in level.items()
          }
          for level in chosen[photograph.name]
        ],
      }
    )
  return result


def _files(chosen, contenders, photographs, pictures):
  """(photograph, codec, setting) -> URLs of picture and map of bits; loads each codec once."""
  needed = {
    (name, codec, row.setting)
    for name, own in chosen.items()
    for level in own
    for codec, row in level.items()
  }
  files = {}
  for contender in contenders:
    todo = [p for p in photographs if (p.name, contender.codec, contender.setting) in needed]
    for photograph, (picture, bits) in zip(todo, pictures.decoded(contender, todo)):
      key = (photograph.name, contender.codec, contender.setting)
      files[key] = {
        "picture": f"{_PICTURES}/{picture}",
        "bits": bits and f"{_PICTURES}/{bits}",
      }
  return files


def _note(sentence):
  return f'<p class="note">{html.escape(sentence)}</p>'


def _rates(rows, codecs, metric):
  """An HTML table of rates, row against column: rates of averages, and mean rates of images."""
  named = curves.measured(rows, metric)
  named = {codec: named[codec] for codec in codecs if codec in named and len(named[codec].bpp) > 1}
  if len(named) < 2:
    return _note(cautions.too_few_curves(metric))
  images = curves.measured_by_image(rows, metric)
  titles = {codec: html.escape(look.title) for codec, look in appearances(list(named)).items()}
  lines = []
  for test in named:
    cells = [f'<th scope="row">{titles[test]}</th>']
    for anchor in named:
      each = rate_tables.image_rates(images, anchor, test)
      mean = rate_tables.per_cent(np.mean(each) if each else np.nan)
      rate = rate_tables.per_cent(curves.bd_rate(named[anchor], named[test]))
      same = test == anchor
      cells.append("<td>–</td>" if same else f"<td>{rate}<small>{mean}</small></td>")
    lines.append(f"<tr>{''.join(cells)}</tr>")
  head = "".join(f'<th scope="col">{title}</th>' for title in titles.values())
  body = "\n".join(lines)
  caution = cautions.of_rates(named, itertools.combinations(named, 2))
  return (
    f'<table class="rates"><caption>{curves.METRICS[metric].title}</caption>\n'
    f"<thead><tr><td></td>{head}</tr></thead>\n<tbody>{body}</tbody></table>\n"
    + (_note(caution) if caution else "")
  )
