"""Requests that TensorFlow Serving runs when it loads a model, before it is ready."""

import pathlib

import numpy as np
import tensorflow as tf

__all__ = ["write"]

# Path at which TensorFlow Serving finds the requests.
_FOLDER = "assets.extra"
_FILE = "tf_serving_warmup_requests"


def write(saved_model: pathlib.Path, requests: dict[str, dict[str, np.ndarray]]) -> None:
  """Adds one request per signature to a SavedModel.

  Args:
    saved_model: directory of the SavedModel.
    requests: signature -> input -> batch.

  Raises:
    ValueError: tensorflow-serving-api is not installed.
  """
  try:
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
  except ImportError as error:
    raise ValueError(
      "warm-up requests need tensorflow-serving-api: pip install '.[serving]' in a clone, "
      "or give --nowarm_up"
    ) from error
  folder = saved_model / _FOLDER
  folder.mkdir()
  with tf.io.TFRecordWriter(str(folder / _FILE)) as writer:
    for signature, inputs in requests.items():
      request = predict_pb2.PredictRequest()
      request.model_spec.signature_name = signature
      for name, batch in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(batch))
      log = prediction_log_pb2.PredictLog(request=request)
      writer.write(prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString())
