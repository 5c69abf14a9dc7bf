"""Serves folders by a real TensorBoard, and reads what it serves and what event files hold."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def scalars(folder, tag):
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    accumulator.Reload()
    return [(event.step, event.value) for event in accumulator.Scalars(tag)]


@contextmanager
def dashboard(folder):
    """Serve a folder on loopback; yield the address."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", "0"]
    command += ["--host", "127.0.0.1", "--load_fast", "false", "--reload_interval", "1"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        assert server.stderr is not None
        for line in server.stderr:
            if match := re.search(r"http://127\.0\.0\.1:(\d+)/", line):
                break
        else:
            pytest.fail("TensorBoard did not start")
        yield f"http://127.0.0.1:{match[1]}"
    finally:
        server.kill()
        server.communicate()


STATUSES = ["STATUS_SUCCESS", "STATUS_UNKNOWN", "STATUS_FAILURE", "STATUS_RUNNING"]


def sessions(url):
    """Return the content of the HParams page."""
    ask(f"{url}/data/plugin/hparams/experiment", {})
    query = {"startIndex": 0, "sliceSize": 50, "allowedStatuses": STATUSES, "colParams": []}
    return ask(f"{url}/data/plugin/hparams/session_groups", query)["sessionGroups"]


def wait_for_runs(url, names):
    end = time.monotonic() + 30
    while set(ask(f"{url}/data/runs")) != set(names):
        assert time.monotonic() < end, ask(f"{url}/data/runs")
        time.sleep(0.2)


def ask(url: str, post: dict | None = None):
    data = None if post is None else json.dumps(post).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as reply:
        return json.loads(reply.read())
