"""Packaging of bmshj_minnen; BUILD.md explains how to set up and test."""

from setuptools import find_packages, setup

setup(
  name="bmshj_minnen",
  version="0.1.0",
  description=(
    "Reference implementation of Minnen, Ballé, Toderici: Joint Autoregressive and Hierarchical "
    "Priors for Learned Image Compression (NeurIPS 2018)"
  ),
  license="Apache-2.0",
  packages=find_packages(include=["bmshj_minnen", "bmshj_minnen.*"]),
  package_data={"bmshj_minnen": ["pretrained/**/*"]},
  # TensorFlow 2.14 has wheels for Python 3.9 to 3.11 only.
  python_requires=">=3.9,<3.12",
  install_requires=[
    # The last tensorflow-compression that has wheels, and the TensorFlow it is built against.
    "tensorflow>=2.14,<2.15",
    "tensorflow-compression==2.14.1",
    "tensorflow-datasets",
    # tensorflow-datasets imports it without asking for it.
    "importlib-resources",
    # TensorFlow 2.14 needs protobuf 4. The newest tensorflow-metadata, which tensorflow-datasets
    # imports, allows it but fails on import with it, so both are bounded. The lower bound gives
    # Python 3.10 the protobuf of the others; without it, pip would go back to protobuf 3.
    "tensorflow-metadata<1.17",
    "protobuf>=4.25,<5",
    # TensorFlow 2.14 is compiled against numpy 1.
    "numpy<2",
    "absl-py",
    "pillow",
    "tqdm",
    # These two carry the sample photographs of the default training.
    "scikit-image",
    "scikit-learn",
    # TensorBoard 2.14 imports pkg_resources, which newer ones no longer have.
    "setuptools<81",
  ],
  extras_require={
    "beam": ["apache-beam"],
    # pillow-heif carries x265, for HEVC; Pillow carries AVIF from 11.3 on.
    "evaluation": ["bjontegaard", "matplotlib", "pillow>=11.3", "pillow-heif"],
    # Reads the checkpoints that CompressAI publishes.
    "compressai": ["torch>=2.0"],
    # The messages of warm-up requests; it needs a TensorFlow of its version.
    "serving": ["tensorflow-serving-api>=2.14,<2.15"],
    "test": ["pytest", "pytest-xdist", "ruff"],
  },
)
