"""A provider that dies while two hundred streams of it are in progress.

Behind each model stand two providers; the first is a process that is killed. Streams that had no
content yet are answered whole by the second, the others end in their SDK's own error, and each
attempt is charged.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from decimal import Decimal

import anthropic
import httpx2
import openai
import pytest
from google import genai
from google.genai import errors, types

from conftest import ending, serving

STREAMS = 200

# The protocol a provider speaks, its kind and a model of it that has a price.
PROTOCOLS = {
    "openai-chat": ("openai", "{sim}/v1", "gpt-5-mini"),
    "openai-responses": ("openai", "{sim}/v1", "gpt-5-mini"),
    "anthropic-messages": ("anthropic", "{sim}", "claude-haiku-4-5"),
    "gemini": ("gemini", "{sim}", "gemini-2.5-flash"),
}


@dataclass
class Stream:
    """What one client sees of one stream."""

    prompt: str
    text: str = field(default="", repr=False)
    call: str = ""
    whole: bool = False
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    errors: list = field(default_factory=list)

    def said(self, text):
        if text:
            self.text += text
            self.begun.set()


class Chat:
    protocol = "openai-chat"
    error = openai.APIError

    def __init__(self, gateway):
        base = gateway.url + "/openai/v1"
        self.sdk = openai.AsyncOpenAI(base_url=base, api_key=gateway.key, max_retries=0)

    async def take(self, model, stream):
        messages = [{"role": "user", "content": stream.prompt}]
        events = await self.sdk.chat.completions.create(model=model, messages=messages, stream=True)
        stream.call = events.response.headers["x-tollgate-call-id"]
        async for chunk in events:
            for choice in chunk.choices:
                stream.said(choice.delta.content)
                stream.whole |= choice.finish_reason == "stop"


class Responses(Chat):
    protocol = "openai-responses"

    async def take(self, model, stream):
        events = await self.sdk.responses.create(model=model, input=stream.prompt, stream=True)
        stream.call = events.response.headers["x-tollgate-call-id"]
        async for event in events:
            match event.type:
                case "response.output_text.delta":
                    stream.said(event.delta)
                case "response.completed":
                    stream.whole = True
                # The SDK hands it over and raises nothing.
                case "response.failed":
                    raise openai.APIError(event.response.error.message, None, body=None)


class Messages:
    protocol = "anthropic-messages"
    error = anthropic.APIError

    def __init__(self, gateway):
        base = gateway.url + "/anthropic"
        self.sdk = anthropic.AsyncAnthropic(base_url=base, api_key=gateway.key, max_retries=0)

    async def take(self, model, stream):
        messages = [{"role": "user", "content": stream.prompt}]
        body = dict(model=model, max_tokens=4000, messages=messages, stream=True)
        events = await self.sdk.messages.create(**body)
        stream.call = events.response.headers["x-tollgate-call-id"]
        async for event in events:
            if event.type == "content_block_delta":
                stream.said(event.delta.text)
            stream.whole |= event.type == "message_stop"


class Gemini:
    protocol = "gemini"
    error = errors.APIError

    def __init__(self, gateway):
        more = {"limits": httpx2.Limits(max_connections=None)}
        options = types.HttpOptions(base_url=gateway.url + "/gemini", async_client_args=more)
        self.sdk = genai.Client(api_key=gateway.key, http_options=options).aio

    async def take(self, model, stream):
        body = dict(model=model, contents=stream.prompt)
        async for chunk in await self.sdk.models.generate_content_stream(**body):
            stream.call = chunk.sdk_http_response.headers["x-tollgate-call-id"]
            for candidate in chunk.candidates or []:
                parts = candidate.content.parts if candidate.content else None
                stream.said("".join(part.text or "" for part in parts or []))
                stream.whole |= bool(candidate.finish_reason)


@contextlib.contextmanager
def simulated():
    """A provider: its process and where it is."""
    command = [os.environ["TOLLGATE_SIM"], "--key", "simulated"]
    with ending(subprocess.Popen(command, stdout=subprocess.PIPE, text=True)) as process:
        yield process, process.stdout.readline().strip()


def provider(name, protocol, sim):
    kind, base, _ = PROTOCOLS[protocol]
    return (
        f'[providers.{name}]\nkind = "{kind}"\nbase_url = "{base.format(sim=sim)}"\n'
        f'api_key = "simulated"\nprotocols = ["{protocol}"]\n'
    )


@pytest.fixture
def failing(tmp_path, request):
    """A client of a gateway with two providers, and the process of the first."""
    client = request.param
    model = PROTOCOLS[client.protocol][2]
    with simulated() as (first, one), simulated() as (_, two):
        tables = [provider("one", client.protocol, one), provider("two", client.protocol, two)]
        tables.append(f'[models.both]\ntargets = ["one/{model}", "two/{model}"]\n')
        tmp_path.joinpath("tollgate.toml").write_text("\n".join(tables))
        with serving(tmp_path) as gateway:
            yield client, gateway, first


def speaking():
    """Streams that are told something at once, and for longer than the test takes."""
    return [Stream("[[sim:events:900]][[sim:pace:100ms]] Tell a story") for _ in range(STREAMS // 2)]


def waiting():
    """Half of these wait for the head of the answer, half for its first content."""
    kinds = ["[[sim:delay:3s]]", "[[sim:pace:600ms]]"]
    return [Stream(f"{kinds[i % 2]}[[sim:say:story-{i}]]") for i in range(STREAMS // 2)]


async def watch(client, stream):
    try:
        await client.take("both", stream)
    except client.error as error:
        stream.errors.append(error)


async def kill_within(client, gateway, first, begun, waiting):
    """Runs them all; ends the provider once it speaks to the first and has heard the others."""
    running = [asyncio.create_task(watch(client, stream)) for stream in begun]
    async with asyncio.timeout(20):
        await asyncio.gather(*(stream.begun.wait() for stream in begun))
    running += [asyncio.create_task(watch(client, stream)) for stream in waiting]
    async with asyncio.timeout(20):
        while await asyncio.to_thread(in_progress, gateway) < STREAMS:
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)
    first.kill()
    async with asyncio.timeout(20):
        await asyncio.gather(*running)


def in_progress(gateway):
    """How many requests the first provider is at."""
    targets = asked(gateway, "/status/targets")["targets"]
    return sum(one["in_flight"] for one in targets if one["target"].startswith("one/"))


def asked(gateway, path):
    headers = {"x-api-key": gateway.key}
    request = urllib.request.Request(gateway.url + path, headers=headers)
    return json.load(urllib.request.urlopen(request, timeout=10))


@pytest.mark.parametrize("failing", [Chat, Responses, Messages, Gemini], indirect=True)
def test_a_provider_that_dies_costs_only_the_streams_that_had_begun(failing):
    make, gateway, first = failing
    begun, waited = speaking(), waiting()

    async def run():
        await kill_within(make(gateway), gateway, first, begun, waited)

    asyncio.run(run())
    assert all(stream.errors for stream in begun), "none of them was taken for whole"
    broken = [stream for stream in begun + waited if stream.errors]
    for stream in broken:
        assert len(stream.errors) == 1 and stream.text and not stream.whole
    saved = [stream for stream in waited if not stream.errors]
    assert len(saved) >= len(waited) // 2
    for stream in saved:
        assert stream.whole and f"sim:say:{stream.text}]]" in stream.prompt
    charged(gateway, broken, saved)


def charged(gateway, broken, saved):
    """Each attempt is a charge: none for what failed unseen, all for what was seen."""
    for stream in broken:
        (attempt,) = attempts(gateway, stream)
        assert (attempt["provider"], attempt["quality"]) == ("one", "estimated")
        assert Decimal(attempt["cost_usd"]) > 0 and attempt["ending"] != "complete"
    moved = 0
    for stream in saved:
        # Whoever came after the first five failures was not sent to the first any more.
        *failed, two = attempts(gateway, stream)
        moved += len(failed)
        for one in failed:
            assert (one["provider"], one["cost_usd"]) == ("one", "0")
            assert one["ending"] != "complete"
        assert (two["provider"], two["ending"], two["quality"]) == ("two", "complete", "exact")
        assert Decimal(two["cost_usd"]) > 0
    assert len(saved) // 2 <= moved <= len(saved)


def attempts(gateway, stream):
    """The attempts of a call, once they are written; the call costs what they do."""
    for _ in range(100):
        with contextlib.suppress(urllib.error.HTTPError):
            call = asked(gateway, f"/v1/calls/{stream.call}")
            costs = [Decimal(attempt["cost_usd"]) for attempt in call["attempts"]]
            assert Decimal(call["cost_usd"]) == sum(costs)
            return call["attempts"]
        time.sleep(0.05)
    raise AssertionError(f"no call {stream.call}")
