"""Runs the training step of a file with JAX: `python run_step.py step.npz --train=PHOTOGRAPHS`.

`export_step` writes the file. Needs this folder, JAX, NumPy and Pillow; not TensorFlow.
"""

import argparse
import csv
import datetime
import itertools
import json
import pathlib
import signal
import sys
import time

import crops
import jax
import numpy as np
import step_file
from device_trainer import LEARNING_RATE, DeviceTrainer


def _arguments():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  add = parser.add_argument
  add("step", type=pathlib.Path, help="what export_step wrote")
  add("--train", type=pathlib.Path, required=True, help="folder of photographs, or .npy of crops")
  add("--validation", type=pathlib.Path, help="the same, to validate with")
  add("--output", type=pathlib.Path, default=pathlib.Path("run"), help="folder of the run")
  add("--steps", type=int, help="the last step; that of the exported schedule by default")
  add("--minutes", type=float, default=float("inf"), help="stop after so long")
  add(
    "--decay_minutes", type=float, default=0, help="the learning rate falls to 0 in the last ones"
  )
  add("--save_every", type=int, default=500, help="steps between checkpoints and validations")
  add("--steps_per_call", type=int, default=10, help="steps that the device does on its own")
  add("--as_is", action="store_true", help="pictures in their order, without random crops, flips")
  add("--peak", type=float, help="TFLOP/s that the device can do, to report the share of it")
  arguments = parser.parse_args()
  if min(arguments.save_every, arguments.steps_per_call) < 1:
    parser.error("--save_every and --steps_per_call must be at least 1")
  if arguments.decay_minutes and not arguments.decay_minutes <= arguments.minutes < float("inf"):
    parser.error("--decay_minutes needs --minutes, and no fewer of them")
  return arguments


def main():
  """Command line -> one run."""
  arguments = _arguments()
  try:
    _Run(arguments).run()
  except (ValueError, OSError) as error:
    sys.exit(f"error: {' '.join(str(error).split())}")


class _Run:
  """One run: its input, its progress, and the files in its folder."""

  def __init__(self, arguments):
    self._arguments = arguments
    step = step_file.load(arguments.step)
    self._config = step.description["train"]
    self._source = crops.open_source(arguments.train, self._config["crop"])
    self._held_out = None
    if arguments.validation:
      self._held_out = crops.open_source(arguments.validation, self._config["crop"])
    self._last = arguments.steps or self._config["steps"]
    self._state_path = arguments.output / "state.npz"
    state = step.state
    if self._state_path.exists():
      state = step_file.load_state(self._state_path, like=state)
    self._rate = step.state.get(LEARNING_RATE)
    if arguments.decay_minutes and self._rate is None:
      raise ValueError("--decay_minutes needs a step that was exported with --schedule=constant")
    self._averages = step.description.get("averages", {})
    self._first = self._step = int(state[step_file.ITERATION])
    self._trainer = DeviceTrainer(step, state)
    self._table = _Table(arguments.output / "metrics.csv")
    self._stop = ""
    self._shown = 0.0
    arguments.output.mkdir(parents=True, exist_ok=True)
    self._table.forget_after(self._first)
    self._record(step.description)
    print(f"{self._source.summary}; {jax.devices()[0].device_kind}, JAX {jax.__version__}")

  def run(self):
    """Trains until the last step, the end of the time, or a signal."""
    sizes = list(self._call_sizes())
    if not sizes:
      print(f"{self._state_path} is already trained for {self._first} steps.")
      return
    if self._first:
      print(f"Going on from step {self._first} of {self._state_path}.")
    self._warm_up(sizes[0])
    for number in (signal.SIGINT, signal.SIGTERM):
      signal.signal(number, self._on_signal)
    losses = []
    for x in self._batches(sizes):
      self._decay()
      losses.append(self._trainer.train(x))
      self._step += len(x)
      # Losses of the call before: this one is still running on the device.
      self._show(np.asarray(losses[max(0, len(losses) - 2)])[-1])
      if self._minutes() > self._arguments.minutes:
        self._stop = "The time is over"
      if self._stop or self._step % self._arguments.save_every == 0 or self._step >= self._last:
        self._save(np.concatenate(losses))
        losses = []
      if self._stop:
        break
    print(f"\n{self._stop or 'Done'}: step {self._step}; the state is {self._state_path}.")

  def _minutes(self):
    return (time.monotonic() - self._start) / 60

  def _decay(self):
    """Lowers the learning rate in the last minutes of the run, linearly in time."""
    if self._arguments.decay_minutes:
      left = (self._arguments.minutes - self._minutes()) / self._arguments.decay_minutes
      self._trainer.set_learning_rate(self._rate * min(1.0, max(0.0, left)))

  def _call_sizes(self):
    """Yields the steps of each call: `steps_per_call`, or fewer up to a checkpoint or the end."""
    step = self._first
    while step < self._last:
      every = self._arguments.save_every
      size = min(self._arguments.steps_per_call, every - step % every, self._last - step)
      yield size
      step += size

  def _batches(self, sizes):
    config = self._config
    return crops.batches(
      self._source,
      config["crop"],
      config["batch"],
      config["seed"],
      self._first,
      sizes,
      self._arguments.as_is,
    )

  def _warm_up(self, size):
    start = time.monotonic()
    self._trainer.compile(size)
    self._flops = self._trainer.flops()
    self._start = time.monotonic()
    work = f"; {self._flops / 1e9:.1f} GFLOP a step, as XLA counts" if self._flops else ""
    print(f"Compiled in {self._start - start:.0f} s{work}.")

  def _on_signal(self, *_):
    self._stop = "Interrupted"

  def _show(self, losses):
    self._check_finite("the loss", losses)
    now, live = time.monotonic(), sys.stdout.isatty()
    if now - self._shown < (1 if live else 10) and self._step < self._last:
      return
    self._shown = now
    rate = (self._step - self._first) / (now - self._start)
    values = " ".join(f"{name} {value:.4g}" for name, value in zip(self._trainer.losses, losses))
    speed = f"{rate:.3g} steps/s, {rate * self._config['batch']:.3g} images/s"
    if self._flops:
      speed += f", {rate * self._flops / 1e12:.3g} TFLOP/s"
    if self._arguments.peak:
      speed += f" ({rate * self._flops / 1e12 / self._arguments.peak:.1%} of peak)"
    left = datetime.timedelta(seconds=round((self._last - self._step) / rate))
    line = f"{self._step}/{self._last} {values} | {speed}, {left} left"
    print(f"\r{line}\033[K" if live else line, end="" if live else "\n", flush=True)

  def _check_finite(self, name, *values):
    """Raises an error unless all values are finite."""
    if not all(np.isfinite(value).all() for value in values):
      raise ValueError(
        f"{name} is not finite near step {self._step}: export with a lower --learning_rate; "
        f"{self._state_path} is from before, if there is one"
      )

  def _save(self, losses):
    """Writes the state and a row of the table: averages since the row before."""
    self._check_finite("the loss", losses)
    row = {"step": self._step, "seconds": time.monotonic() - self._start}
    row.update(zip(self._trainer.losses, losses.mean(0, dtype=np.float64)))
    state = self._trainer.host_state()
    self._check_finite("the state", *state.values())
    if self._held_out:
      names = (f"val_{name}" for name in self._trainer.validation_losses)
      row.update(zip(names, self._trainer.validate(self._pictures(self._held_out))))
      self._check_finite("the validation", *row.values())
    else:
      # Finite weights may be so large that their results are not finite.
      pictures = itertools.islice(self._pictures(self._source), 1)
      self._check_finite("what the weights give", self._trainer.validate(pictures))
    # Write the row before the state: a row without its state is removed, a missing row is lost.
    self._table.add(row)
    step_file.save_state(self._state_path, state)
    model = {
      name: state[self._averages.get(name, name)] for name in state if name.startswith("model/")
    }
    model[step_file.ITERATION] = state[step_file.ITERATION]
    step_file.save_state(self._state_path.with_name("model.npz"), step_file.to_half(model))

  def _pictures(self, source):
    return crops.central_crops(source, self._config["crop"])

  def _record(self, description):
    record = {
      **description,
      "jax": jax.__version__,
      "device": jax.devices()[0].device_kind,
      "photographs": self._source.summary,
    }
    (self._arguments.output / "run.json").write_text(json.dumps(record, indent=2) + "\n")


class _Table:
  """The table metrics.csv, with the same columns as Keras's training."""

  def __init__(self, path):
    self._path = path

  def add(self, row):
    """Appends a row."""
    with open(self._path, "a", newline="") as file:
      writer = csv.DictWriter(file, row)
      if not file.tell():  # A killed run may have left an empty file.
        writer.writeheader()
      writer.writerow(row)

  def forget_after(self, step):
    """Removes rows after a step, and a partial row, which a killed run may have left."""
    if self._path.exists():
      lines = self._path.read_text().splitlines(keepends=True)
      header, *rows = [line for line in lines if line.endswith("\n")] or [""]
      kept = [row for row in rows if int(row.split(",")[0]) <= step]
      self._path.write_text("".join([header, *kept]))


if __name__ == "__main__":
  main()
