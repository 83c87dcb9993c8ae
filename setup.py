"""Packaging of bmshj_minnen; BUILD.md explains how to set up and test."""

import pathlib
import re

from setuptools import find_packages, setup

_ROOT = pathlib.Path(__file__).parent
# Read, not imported: the package need not be importable where it is built.
(_VERSION,) = re.findall(
  r'^__version__ = "(.+)"$', (_ROOT / "bmshj_minnen/__init__.py").read_text("utf-8"), re.MULTILINE
)
# Each has a `run`, which its console command calls.
_PROGRAMS = sorted(
  path.stem
  for path in (_ROOT / "bmshj_minnen").glob("*.py")
  if "\ndef run():" in path.read_text("utf-8")
)

# TensorFlow 2.14 and tensorflow-compression have wheels for these only. Elsewhere the codec runs in
# ONNX Runtime, and nothing is trained.
_WITH_TENSORFLOW = (
  'sys_platform == "linux" and platform_machine == "x86_64" and python_version < "3.12"'
)
_ELSEWHERE = 'sys_platform != "linux" or platform_machine != "x86_64" or python_version >= "3.12"'
_TENSORFLOW = [
  # The last tensorflow-compression that has wheels, and the TensorFlow it is built against.
  "tensorflow>=2.14,<2.15",
  "tensorflow-compression==2.14.1",
  "tensorflow-datasets>=4.9.3",
  # tensorflow-datasets imports it without asking for it.
  "importlib-resources>=6.5",
  # TensorFlow 2.14 needs protobuf 4. The newest tensorflow-metadata, which tensorflow-datasets
  # imports, allows it but fails on import with it, so both are bounded. The lower bound gives
  # Python 3.10 the protobuf of the others; without it, pip would go back to protobuf 3.
  "tensorflow-metadata>=1.13.1,<1.17",
  "protobuf>=4.25,<5",
  # TensorFlow 2.14 is compiled against numpy 1.
  "numpy>=1.26,<2",
  # These two carry the sample photographs of the default training.
  "scikit-image>=0.24",
  "scikit-learn>=1.6",
  # TensorBoard 2.14 imports pkg_resources, which newer ones no longer have.
  "setuptools>=64,<81",
]

setup(
  name="bmshj_minnen",
  version=_VERSION,
  description=(
    "Reference implementation of Minnen, Ballé, Toderici: Joint Autoregressive and Hierarchical "
    "Priors for Learned Image Compression (NeurIPS 2018)"
  ),
  long_description=(_ROOT / "README.md").read_text("utf-8"),
  long_description_content_type="text/markdown",
  license="Apache-2.0",
  packages=find_packages(include=["bmshj_minnen", "bmshj_minnen.*"]),
  package_data={
    "bmshj_minnen": [
      "README.md",
      "evaluation/page/*",
      "evaluation/published_points/*",
      "pretrained/**/*",
      "web/*.json",
      "web/*/*",
    ]
  },
  entry_points={
    "console_scripts": [
      f"bmshj-{name.replace('_', '-')} = bmshj_minnen.{name}:run" for name in _PROGRAMS
    ]
  },
  python_requires=">=3.9",
  # Lower bounds without a reason are the oldest versions in requirements.lock.
  install_requires=[
    "absl-py>=1.4",
    "pillow>=11.3",
    "tqdm",
    # The newest that has wheels for Python 3.9.
    "onnxruntime>=1.19",
    f"numpy>=1.26; {_ELSEWHERE}",
    *(f"{requirement}; {_WITH_TENSORFLOW}" for requirement in _TENSORFLOW),
  ],
  extras_require={
    "beam": ["apache-beam>=2.69"],
    # A cluster for `beam`; of older Pythons neither has the versions that were tried.
    "dask": ['apache-beam[dask]>=2.77; python_version >= "3.10"'],
    # pillow-heif carries x265, for HEVC; Pillow carries AVIF from 11.3 on.
    "evaluation": ["bjontegaard>=1.3", "matplotlib>=3.9", "pillow>=11.3", "pillow-heif>=1.1"],
    # More columns of `evaluate`; both are BSD-3-Clause.
    "perceptual": ["flip-evaluator>=1.6", "ssimulacra2>=0.3"],
    # More codecs of `evaluate`. imageio-ffmpeg carries FFmpeg with libjxl, libaom and, from 0.6 on,
    # VVenC; pyvips-binary carries libvips with MozJPEG.
    "codecs": ["imageio-ffmpeg>=0.6", "pyjpegli>=0.3", "pyvips>=3.0", "pyvips-binary>=8.16"],
    # Plotly's script goes into the page of `evaluate --report`.
    "report": ["bjontegaard>=1.3", "plotly>=6.0"],
    # Reads the checkpoints that CompressAI publishes.
    "compressai": ["torch>=2.0"],
    # The messages of warm-up requests; it needs a TensorFlow of its version.
    "serving": ["tensorflow-serving-api>=2.14,<2.15"],
    # The last ones for Python 3.9 are within these ranges.
    "serve": ["starlette>=0.49,<1", "uvicorn>=0.39,<1"],
    # Writes ONNX graphs. The only tf2onnx that takes the protobuf of TensorFlow 2.14, and an onnx
    # that does.
    "onnx": [
      f'{name}>=1.17,<1.18; python_version >= "3.10" and {_WITH_TENSORFLOW}'
      for name in ("onnx", "tf2onnx")
    ],
    # Runs the notebooks in experiments.
    "tour": ["ipykernel", "matplotlib>=3.9", "nbclient"],
    "test": [
      *("jsonschema>=4.17", "pytest", "pytest-xdist", "ruff"),
      # Independent values, and TIFF files of all kinds; for tests that need TensorFlow.
      *(f"{name}; {_WITH_TENSORFLOW}" for name in ("scipy>=1.11", "tifffile>=2024.8.30")),
    ],
  },
)
