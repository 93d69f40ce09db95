"""What came of each case, for the page that says what is supported."""

import atexit
import contextlib
import json
import os
import pathlib

TABLE = json.loads(pathlib.Path(__file__).parent.parent.joinpath("matrix.json").read_text())
RESULTS = []


@contextlib.contextmanager
def note(sdk, client, upstream, feature, mode):
    """Notes how the block ended. What is known not to work must fail, or the table is old."""
    known = reason(client, upstream, feature, mode)
    result = {"sdk": sdk, "client": client, "upstream": upstream, "feature": feature, "mode": mode}
    RESULTS.append(result)
    try:
        yield result
    except Exception:
        result["not"] = known or "fails"
        if not known:
            raise
        return
    assert not known, f"works, but matrix.json says it does not: {known}"


def reason(*case):
    """Why a case is known not to work; a row's members left out hold for all."""
    keys = ("client", "upstream", "feature", "mode")
    for row in TABLE["unsupported"]:
        if all(row.get(key, value) == value for key, value in zip(keys, case)):
            return row["reason"]
    return None


@atexit.register
def write():
    folder = os.environ.get("TOLLGATE_RESULTS")
    if folder and RESULTS:
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
        path = pathlib.Path(folder, f"python-{os.getpid()}.json")
        path.write_text(json.dumps(RESULTS))
