"""Workers of a cluster on this machine."""

import json
import socket

__all__ = ["environments"]


def environments(workers: int) -> list[dict[str, str]]:
  """Environment variables for each worker; workers use free ports of 127.0.0.1."""
  sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(workers)]
  cluster = {"worker": [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]}
  for s in sockets:
    s.close()
  tasks = [{"type": "worker", "index": index} for index in range(workers)]
  return [{"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})} for task in tasks]
