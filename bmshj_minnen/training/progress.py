"""Progress of a run: decides where and how often it is shown."""

import contextlib
import math
import time
from collections.abc import Iterator

import tensorflow as tf
import tqdm
from absl import logging

__all__ = ["ProgressCallback", "shown"]

# Choices of this project; the paper has none.
_FIRST = 10  # Steps of a run after which the first numbers are shown.
_PATIENCE = 60.0  # Seconds between further numbers.
_PEAK = 255.0


@contextlib.contextmanager
def shown() -> Iterator[None]:
  """Shows log lines of training, also in Python, where absl by default shows only warnings.

  For fewer lines, a caller sets a lower verbosity: `absl.logging.set_verbosity("error")`.
  TensorFlow's notices are off meanwhile, because several machines would print hundreds.
  """
  verbosity, tensorflows_level = logging.get_verbosity(), tf.get_logger().level
  if verbosity == logging.WARNING:
    logging.set_verbosity(logging.INFO)
  tf.get_logger().setLevel("WARNING")
  try:
    yield
  finally:
    logging.set_verbosity(verbosity)
    tf.get_logger().setLevel(tensorflows_level)


class ProgressCallback(tf.keras.callbacks.Callback):
  """Shows the progress of the whole run and the remaining time; a context that closes the bar.

  Progress is a bar on a terminal, else a line after the first few steps, after every save, and
  every minute.
  """

  def __init__(self, first_step: int, steps: int, distortion: str):
    """Starts the bar.

    Args:
      first_step: first step of the run.
      steps: step at which the run ends.
      distortion: one of `config.DISTORTIONS`.
    """
    super().__init__()
    self._first, self._last, self._distortion = first_step, steps, distortion
    self._step = first_step
    self._start = self._line_at = time.monotonic()
    self._timed_from = first_step
    # disable=None: shown on a terminal only. smoothing=0: includes the time of saves.
    self._bar = tqdm.tqdm(
      total=steps, initial=first_step, unit="step", disable=None, smoothing=0, dynamic_ncols=True
    )

  def __enter__(self):
    return self

  def __exit__(self, *error):
    self._bar.close()

  def on_train_batch_end(self, batch, logs=None):
    self._step += 1
    if self._step == self._first + 1:  # This one was traced, too, which takes far longer.
      self._first_took = time.monotonic() - self._start
      self._start, self._timed_from = time.monotonic(), self._step
    self._bar.set_postfix_str(self._numbers(logs), refresh=False)
    self._bar.update()
    is_first = self._step == self._first + _FIRST
    if is_first or time.monotonic() - self._line_at >= _PATIENCE:
      self._log(logs)

  def on_epoch_end(self, epoch, logs=None):
    self._log(logs)

  def _log(self, logs):
    self._line_at = time.monotonic()
    if self._bar.disable:
      timed = self._step - self._timed_from
      a_step = (self._line_at - self._start) / timed if timed else self._first_took
      left = tqdm.tqdm.format_interval(a_step * (self._last - self._step))
      logging.info(
        "Step %d of %d, %.3g s each, %s left: %s",
        self._step,
        self._last,
        a_step,
        left,
        self._numbers(logs),
      )

  def _numbers(self, logs):
    shown_logs = []
    for prefix in ("", "val_"):
      for name in ("loss", "bpp"):
        if prefix + name in logs:
          shown_logs.append(f"{prefix}{name} {float(logs[prefix + name]):.4g}")
      if logs.get(prefix + "distortion"):  # 0 on stored latents, which are not reconstructed.
        shown_logs.append(prefix + self._picture(float(logs[prefix + "distortion"])))
    return ", ".join(shown_logs)

  def _picture(self, distortion):
    """Image quality as text: PSNR of the mean squared error in dB, or MS-SSIM."""
    if self._distortion == "ms_ssim":
      return f"ms_ssim {1 - distortion:.4f}"
    return f"psnr {10 * math.log10(_PEAK**2 / distortion):.2f}"
