"""A training step on JAX's device: the state stays there, and a call runs several steps."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import programs
import step_file

__all__ = ["LEARNING_RATE", "DeviceTrainer"]

LEARNING_RATE = "learning_rate"  # In the state, if the schedule is constant.

jax.config.update("jax_enable_x64", True)  # The step counter has 64 bits.


class DeviceTrainer:
  """Runs the programs of a step file.

  Attributes:
    losses: names of the losses that `train` returns.
    validation_losses: names of the losses that `validate` returns.
    state: variable -> array on the device.
  """

  def __init__(self, step: step_file.StepFile, state: dict[str, np.ndarray]):
    config = step.description["train"]
    self._crops = (config["batch"], config["crop"], config["crop"], 3)
    self.losses = [name for name in step.programs["train"].results if name not in state]
    self.validation_losses = step.programs["validate"].results
    self.state = jax.device_put(state)
    self._like = jax.tree.map(_like, state)
    self._step = self._function(step.programs["train"])
    self._validate = jax.jit(self._function(step.programs["validate"]))
    self._compiled = {}

  def _function(self, program):
    """(state, crops) -> (state, losses)."""
    run = programs.from_hlo(program.hlo)

    def function(state, x):
      results = run(*(x if name == "x" else state[name] for name in program.arguments))
      named = dict(zip(program.results, results))
      losses = jnp.stack([named.pop(name) for name in program.results if name not in state])
      return {**state, **named}, losses

    return function

  def compile(self, steps: int) -> None:
    """Compiles `train` for this number of steps per call."""
    x = jax.ShapeDtypeStruct((steps, *self._crops), np.uint8)
    scan = jax.jit(lambda state, x: jax.lax.scan(self._step, state, x), donate_argnums=0)
    self._compiled[steps] = scan.lower(self._like, x).compile()

  def flops(self) -> float:
    """Floating-point operations of one step, counted by XLA; 0 if it does not count them."""
    x = jax.ShapeDtypeStruct(self._crops, np.uint8)
    cost = jax.jit(self._step).lower(self._like, x).cost_analysis()
    return (cost or {}).get("flops", 0.0)

  def train(self, x: np.ndarray) -> jax.Array:
    """Trains on [steps, batch, H, W, 3] uint8; returns [steps, losses] before it is computed."""
    if len(x) not in self._compiled:
      self.compile(len(x))
    self.state, losses = self._compiled[len(x)](self.state, jax.device_put(x))
    return losses

  def validate(self, pictures: Iterator[np.ndarray]) -> np.ndarray:
    """Averages of the losses over crops [1, H, W, 3] uint8: an array [losses]."""
    losses = [self._validate(self.state, x)[1] for x in pictures]
    return np.mean(jax.device_get(losses), axis=0, dtype=np.float64)

  def set_learning_rate(self, rate: float) -> None:
    """Sets the rate of later steps; needs a constant schedule, where the state has the rate."""
    self.state[LEARNING_RATE] = jax.device_put(np.float32(rate))

  def host_state(self) -> dict[str, np.ndarray]:
    """The state, copied from the device."""
    return jax.device_get(self.state)


def _like(array):
  return jax.ShapeDtypeStruct(array.shape, array.dtype)
