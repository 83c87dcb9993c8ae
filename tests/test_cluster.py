"""Machines that train together: valid values of TF_CONFIG, and waiting for each other."""

import json
import logging
import pathlib
import signal
import socket
import threading
import time

import pytest

import bmshj_minnen
from bmshj_minnen import config
from bmshj_minnen.training import cluster, loop
from experiments.reliability import local_cluster as local
from tests import programs


def _text(roles, **task):
  return json.dumps({"cluster": roles, "task": task})


_ONE = {"worker": ["localhost:1"]}


@pytest.mark.parametrize(
  ("text", "match"),
  [
    ("", "there is no TF_CONFIG"),
    ("{", "TF_CONFIG is no JSON"),
    ("[]", "TF_CONFIG has no cluster"),
    ("{}", "TF_CONFIG has no cluster"),
    ('{"cluster": 3}', "TF_CONFIG has no cluster"),
    (json.dumps({"cluster": _ONE}), "TF_CONFIG has no task"),
    (_text(_ONE, index=0), "task has no type"),
    (_text(_ONE, type="worker"), "cluster has no worker None"),
    (_text(_ONE, type="worker", index=1), "cluster has no worker 1"),
    (_text(_ONE, type="worker", index=-1), "cluster has no worker -1"),
    (_text(_ONE, type="chief", index=0), "cluster has no chief 0"),
    (_text(_ONE, type="evaluator", index=0), "the role evaluator, but training has chief and"),
    (_text(_ONE, type="ps", index=0), "the role ps, but"),
    (_text({**_ONE, "ps": ["a:1"]}, type="worker", index=0), "the role ps, but"),
    (_text({"worker": "a:1"}, type="worker", index=0), "worker is not a list of addresses"),
    (_text({"worker": ["a"]}, type="worker", index=0), "worker 0 is 'a', not HOST:PORT"),
    (_text({"worker": [":1"]}, type="worker", index=0), "worker 0 is ':1', not HOST:PORT"),
    (_text({"worker": ["a:70000"]}, type="worker", index=0), "'a:70000', not HOST:PORT"),
  ],
)
def test_a_cluster_that_is_none_is_refused_in_one_line(text, match, tmp_path, monkeypatch):
  monkeypatch.setenv("TF_CONFIG", text)
  train = bmshj_minnen.TrainConfig(model_dir=str(tmp_path), strategy="multi_worker")
  with pytest.raises(ValueError, match=match) as caught:
    loop.train(config.ModelConfig(), train)
  words = str(caught.value)
  assert "\n" not in words
  example = words.partition("such as TF_CONFIG='")[2].removesuffix("'")
  assert len(cluster.Cluster.parse(example).machines) == 2  # The advised value is right.


def test_a_cluster_is_what_its_text_says():
  roles = {"worker": ["a:1", "[::1]:2"], "chief": ["c.example:3"]}
  for index in (1, "1"):  # TensorFlow takes both.
    found = cluster.Cluster.parse(_text(roles, type="worker", index=index))
    assert [str(machine) for machine in found.machines] == [
      "chief 0 at c.example:3",
      "worker 0 at a:1",
      "worker 1 at ::1:2",
    ]
    assert found.this == found.machines[2]


def _free_port():
  with socket.create_server(("127.0.0.1", 0)) as found:
    return found.getsockname()[1]


def test_a_host_without_an_address_is_named_at_once(tmp_path, monkeypatch):
  def look_up(host, *args, **options):
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

  monkeypatch.setattr(socket, "getaddrinfo", look_up)
  roles = {"worker": ["nowhere.example:2222", "localhost:1"]}
  monkeypatch.setenv("TF_CONFIG", _text(roles, type="worker", index=1))
  train = bmshj_minnen.TrainConfig(model_dir=str(tmp_path), strategy="multi_worker")
  with pytest.raises(ValueError) as caught:
    loop.train(config.ModelConfig(), train)
  assert str(caught.value) == (
    "TF_CONFIG: the host of worker 0 at nowhere.example:2222 cannot be resolved: "
    "Name or service not known"
  )


def test_a_port_that_is_taken_is_named():
  with socket.create_server(("", 0)) as other:
    port = other.getsockname()[1]
    found = cluster.Cluster.parse(_text({"worker": [f"localhost:{port}"]}, type="worker", index=0))
    with pytest.raises(OSError, match=f"port {port} of this machine cannot be used: Address"):
      found.wait()


def test_machines_wait_until_all_are_there_and_name_those_that_are_not(monkeypatch, caplog):
  monkeypatch.setattr(cluster, "_PAUSE", 0.05)
  caplog.set_level(logging.INFO, "absl")
  addresses = [f"127.0.0.1:{_free_port()}" for _ in range(3)]
  roles, gone = {"worker": addresses}, []

  def wait(index):
    cluster.Cluster.parse(_text(roles, type="worker", index=index)).wait()
    gone.append(index)
    # A socket in place of TensorFlow's server.
    with socket.create_server(("127.0.0.1", int(addresses[index].rpartition(":")[2]))):
      finished.wait(60)

  finished = threading.Event()
  threads = [threading.Thread(target=wait, args=[index]) for index in range(3)]
  try:
    for thread in threads[:2]:
      thread.start()
    while f"Waiting for worker 2 at {addresses[2]}." not in caplog.messages:
      time.sleep(0.01)
    assert not gone
    threads[2].start()
    while len(gone) < 3:
      time.sleep(0.01)
  finally:
    finished.set()
    for thread in threads:
      thread.join()
  assert sorted(gone) == [0, 1, 2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_the_wait_for_a_machine_that_is_absent(number, tmp_path):
  environment = local.environments(2)[0]
  absent = json.loads(environment["TF_CONFIG"])["cluster"]["worker"][1]
  errors = tmp_path / "errors"
  flags = ["--strategy=multi_worker", f"--model_dir={tmp_path}/model"]
  with open(errors, "wb") as stderr:
    process = programs.start("train", *flags, environment=environment, stderr=stderr)
  try:
    while "Waiting for" not in errors.read_text():
      assert process.poll() is None, errors.read_text()
      time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(60) == 130
  finally:
    process.kill()
  waiting, *others = errors.read_text().splitlines()
  assert waiting.endswith(f"Waiting for worker 1 at {absent}.") and others == ["interrupted"]
  assert not pathlib.Path(tmp_path / "model").exists()
