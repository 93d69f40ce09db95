"""Every client in front of every upstream, as `matrix.json` says, in front of strict providers."""

import contextlib
import functools
import json
import pathlib

import pytest

from clients import CLIENTS
from results import note
from talk import Options, Results, User

TABLE = json.loads(pathlib.Path(__file__).parent.parent.joinpath("matrix.json").read_text())
UPSTREAMS = TABLE["upstreams"]
MODES = ["json", "stream"]


def cases(rows):
    """Each client, upstream and row, in both modes where the row has both."""
    for client in CLIENTS:
        for upstream in UPSTREAMS:
            for row in rows:
                for mode in ["stream"] if row.get("streams") else row.get("modes", MODES):
                    name = f"{client.protocol}-to-{upstream} {row['name']}, {mode}"
                    yield pytest.param(client, upstream, row, mode, id=name)


@functools.cache
def made(client, gateway):
    return client(gateway)


def errors():
    return [{"name": f"error {name}", "class": name} for name in TABLE["errors"]]


def model_of(upstream, options):
    return options.think and UPSTREAMS[upstream].get("thinks") or UPSTREAMS[upstream]["model"]


@pytest.mark.parametrize(("client", "upstream", "row", "mode"), cases(TABLE["features"]))
def test_features(strict, client, upstream, row, mode):
    if row["name"] in client.cannot:
        pytest.skip("the client cannot ask for it")
    with note("python", client.protocol, upstream, row["name"], mode):
        talk(made(client, strict), upstream, row, mode == "stream")


def talk(client, upstream, row, stream):
    options = options_of(row.get("options", {}))
    model, turns, answer = model_of(upstream, options), [], None
    for step in row["steps"]:
        if "results" in step:
            turns.append(Results(list(zip(answer.calls, step["results"], strict=True))))
        else:
            padding = " x" * (step.get("length", 0) // 2)
            turns.append(User(step["user"] + padding, step.get("image", False)))
        if step["want"].get("broken"):
            with pytest.raises(client.broken):
                client.plainly(f"{model.split('/')[0]}/broken-{client.protocol}", step["user"], stream)
            return
        answer = client.ask(model, turns, options, stream)
        turns.append(answer)
        check(answer, step["want"], upstream)


def options_of(wishes):
    wishes = dict(wishes)
    length = wishes.pop("system_length", 0)
    lists = {key: tuple(wishes[key]) for key in ("tools", "stop") if key in wishes}
    return Options(**{**wishes, **lists}, system="Be brief." + " x" * (length // 2) if length else None)


def check(answer, want, upstream):
    if "text" in want:
        assert answer.text == want["text"]
    if "says" in want:
        assert want["says"] in answer.text
    if "stop" in want:
        # Only Anthropic tells which stop sequence it was, or that it was one.
        assert answer.stop == want["stop"] or (want["stop"], answer.stop) == ("sequence", "stop")
    if "calls" in want:
        assert [call.name for call in answer.calls] == want["calls"]
        ids = [call.id for call in answer.calls]
        assert all(ids) and len(set(ids)) == len(ids)
        wanted = {} if want["calls"] == ["ping"] else {"city": "sim city"}
        assert all(call.arguments == wanted for call in answer.calls)
    if "json" in want:
        assert sorted(json.loads(answer.text)) == want["json"]
    if want.get("thoughts"):
        assert answer.thoughts
    if want.get("reasoned"):
        assert 0 < answer.usage.reasoning < answer.usage.output
    if want.get("counted"):
        assert answer.usage.input > 0 and answer.usage.output > 0
    if "cached" in want:
        assert answer.usage.cached == want["cached"]
    assert answer.usage.input > want.get("input_over", 0)


def alone(client, upstream, row, mode):
    """A model of this case's own: after a failure the gateway sets aside what failed."""
    case = f"-{row['class']}-{client.protocol}-{mode}"
    provider = UPSTREAMS[upstream]["model"].split("/")[0]
    return f"{provider}{case}/fault" if row["class"] in ("auth", "quota") else f"{provider}/fault{case}"


@pytest.mark.parametrize(("client", "upstream", "row", "mode"), cases(errors()))
def test_errors(strict, client, upstream, row, mode):
    with note("python", client.protocol, upstream, row["name"], mode):
        failure, *wanted = client.failures[row["class"]]
        with pytest.raises(failure) as raised:
            text, model = f"[[sim:error:{row['class']}]]", alone(client, upstream, row, mode)
            made(client, strict).plainly(model, text, mode == "stream")
        status, code, after, id = client.failed(client, raised.value)
        assert [status, code] == wanted or wanted[1] is None and status == wanted[0]
        assert id, "the request has a name"
        assert row["class"] != "rate_limit" or 1.9 < after <= 2
        if row["class"] == "context_length" and client.protocol == "anthropic-messages":
            assert "prompt is too long" in str(raised.value)


def every(operation):
    """Each client that has the operation, in front of each upstream."""
    able = [client for client in CLIENTS if getattr(client, operation, None)]
    return [pytest.param(c, u, id=f"{c.protocol}-to-{u}") for c in able for u in UPSTREAMS]


def unless_able(client, upstream, operation, result):
    """What must come of an operation the upstream has, or does not have."""
    if UPSTREAMS[upstream].get(operation):
        return contextlib.nullcontext()
    result["not"] = "the upstream has no such operation, and the client is told so"
    return pytest.raises(client.failures["invalid_request"][0])


@pytest.mark.parametrize(("client", "upstream"), every("count"))
def test_token_counts(strict, client, upstream):
    with note("python", client.protocol, upstream, "token counts", "json") as result:
        with unless_able(client, upstream, "counts", result):
            assert made(client, strict).count(UPSTREAMS[upstream]["model"], "Say hello") > 0


@pytest.mark.parametrize(("client", "upstream"), every("embed"))
def test_embeddings(strict, client, upstream):
    with note("python", client.protocol, upstream, "embeddings", "json") as result:
        with unless_able(client, upstream, "embeds", result):
            model = UPSTREAMS[upstream].get("embeds", UPSTREAMS[upstream]["model"])
            vectors = made(client, strict).embed(model, ["a", "b"])
            assert len(vectors) == 2 and vectors[0] != vectors[1] and len(vectors[0]) > 100


@pytest.mark.parametrize(("client", "upstream"), every("models"))
def test_model_lists(strict, client, upstream):
    with note("python", client.protocol, upstream, "model list", "json"):
        names = made(client, strict).models()
        assert len(set(names)) == len(names)


@pytest.mark.parametrize(("client", "upstream"), every("wrong_key"))
def test_wrong_keys(strict, client, upstream):
    with note("python", client.protocol, upstream, "wrong key", "json"):
        failure, *wanted = client.wrong_key
        with pytest.raises(failure) as raised:
            client(strict, "sk-wrong").plainly(UPSTREAMS[upstream]["model"], "x", False)
        assert list(client.failed(client, raised.value)[:2]) == wanted
