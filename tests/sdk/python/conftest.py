"""One `tollgate --demo` for the whole run."""

import os
import re
import socket
import subprocess
import time
import urllib.request
from dataclasses import dataclass

import pytest


@dataclass
class Gateway:
    """A running gateway: where it is, the key it made, and one that may use a single model."""

    url: str
    key: str
    limited: str


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture(scope="session")
def gateway(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gateway")
    port = free_port()
    key = make_key(folder, "all")
    limited = make_key(folder, "limited", "--model", "nobody/nothing")
    process = subprocess.Popen(
        [os.environ["TOLLGATE_BIN"], "--demo", "--listen", f"127.0.0.1:{port}"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(process, url)
        yield Gateway(url, key, limited)
    finally:
        process.terminate()
        process.wait(40)


def make_key(folder, *args):
    command = [os.environ["TOLLGATE_BIN"], "keys", "create", *args]
    made = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return re.search(r"sk-tg-[A-Za-z0-9_-]+", made.stdout).group(0)


def wait_until_ready(process, url):
    for _ in range(200):
        assert process.poll() is None, "the gateway ended"
        try:
            urllib.request.urlopen(url + "/readyz", timeout=1)
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the gateway does not become ready")
