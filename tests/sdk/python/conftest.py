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
    """A running gateway: where it is and the key it made."""

    url: str
    key: str
    log: str


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture(scope="session")
def gateway(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gateway")
    port = free_port()
    log = folder / "log"
    with open(log, "wb") as out:
        process = subprocess.Popen(
            [os.environ["TOLLGATE_BIN"], "--demo", "--listen", f"127.0.0.1:{port}"],
            cwd=folder,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(process, url)
        text = log.read_text()
        key = re.search(r"sk-tg-[A-Za-z0-9_-]+", text).group(0)
        yield Gateway(url, key, str(log))
    finally:
        process.terminate()
        process.wait(10)


def wait_until_ready(process, url):
    for _ in range(200):
        assert process.poll() is None, "the gateway ended"
        try:
            urllib.request.urlopen(url + "/readyz", timeout=1)
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the gateway does not become ready")
