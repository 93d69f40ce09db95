"""The gateways of a run: one with `--demo`, one in front of strict providers."""

import contextlib
import itertools
import os
import pathlib
import re
import socket
import subprocess
import time
import urllib.request
from dataclasses import dataclass

import pytest

from results import TABLE


@dataclass(frozen=True)
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
    """A gateway with providers that take anything readable."""
    with serving(tmp_path_factory.mktemp("gateway"), "--demo") as gateway:
        yield gateway


@pytest.fixture(scope="session")
def strict(tmp_path_factory):
    """A gateway whose providers speak one protocol each, and refuse what the real ones refuse."""
    folder = tmp_path_factory.mktemp("strict")
    schemas = os.environ.get("TOLLGATE_SCHEMAS")
    options = ["--schemas", schemas] if schemas else []
    command = [os.environ["TOLLGATE_SIM"], "--strict", "--key", "simulated", *options]
    with ending(subprocess.Popen(command, stdout=subprocess.PIPE, text=True)) as sim:
        config = providers(CONFIG.read_text()).replace("{sim}", sim.stdout.readline().strip())
        folder.joinpath("tollgate.toml").write_text(config)
        with serving(folder) as gateway:
            yield gateway


CONFIG = pathlib.Path(__file__).parent.parent / "gateway.toml"


def providers(config):
    """Also one more of each provider for each case that makes the gateway set a provider aside."""
    tables = [table for table in config.split("\n\n") if table.startswith("[providers.")]
    more = [table.replace("]", f"-{case}]", 1) for table in tables for case in set_aside()]
    return "\n\n".join([config, *more])


def set_aside():
    # A client speaks one of the protocols that the upstreams speak.
    cases = itertools.product(["auth", "quota"], TABLE["upstreams"], ["json", "stream"])
    return ["-".join(case) for case in cases]


@contextlib.contextmanager
def serving(folder, *options):
    port = free_port()
    key = make_key(folder, "all")
    limited = make_key(folder, "limited", "--model", "nobody/nothing")
    command = [os.environ["TOLLGATE_BIN"], *options, "--listen", f"127.0.0.1:{port}"]
    with ending(subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)) as process:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(process, url)
        yield Gateway(url, key, limited)


@contextlib.contextmanager
def ending(process):
    try:
        yield process
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
