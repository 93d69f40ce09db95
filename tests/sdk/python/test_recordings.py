"""Every recorded stream through the gateway, as each official SDK accumulates it."""

import itertools
import json
import os
import subprocess
import urllib.request

import anthropic
import openai
import pytest
from google import genai
from google.genai import errors
from openai.lib.streaming.chat import ChatCompletionStreamState

from conftest import ending

PROTOCOLS = ["openai-chat", "openai-responses", "anthropic-messages", "gemini"]


@pytest.fixture(scope="module")
def replay():
    """Where each case is, and what must be read there."""
    command = [os.environ["TOLLGATE_REPLAY"]]
    with ending(subprocess.Popen(command, stdout=subprocess.PIPE, text=True)) as process:
        url = process.stdout.readline().strip()
        manifest = json.load(urllib.request.urlopen(url + "/cases"))
        if not manifest["cases"]:
            assert os.environ.get("CI") != "true", "the recordings must be here"
            pytest.skip("no recordings: TOLLGATE_SHARED may name where they are")
        yield url, manifest


class Chat:
    fails = openai.APIError

    def __init__(self, url, key):
        self.sdk = openai.OpenAI(base_url=url + "/openai/v1", api_key=key, max_retries=0)

    def read(self, model):
        body = dict(model=model, messages=[{"role": "user", "content": "Hi"}], stream=True)
        state = ChatCompletionStreamState()
        for chunk in self.sdk.chat.completions.create(**body, stream_options={"include_usage": True}):
            state.handle_chunk(chunk)
        said = state.current_completion_snapshot
        choice, usage = said.choices[0], said.usage
        message = choice.message
        details = usage and usage.prompt_tokens_details
        more = usage and usage.completion_tokens_details
        return {
            "text": message.content or "",
            "refusal": message.refusal or "",
            "thoughts": getattr(message, "reasoning_content", None) or "",
            "calls": [self.call(call) for call in message.tool_calls or []],
            "finish": choice.finish_reason,
            "usage": usage and {
                "input": usage.prompt_tokens,
                "output": usage.completion_tokens,
                "cached": (details and details.cached_tokens) or 0,
                "reasoning": (more and more.reasoning_tokens) or 0,
            },
        }

    def call(self, call):
        if call.type == "custom":
            return {"name": call.custom["name"], "arguments": call.custom["input"]}
        return {"name": call.function.name, "arguments": call.function.arguments}


class Responses:
    fails = openai.APIError
    calls = ("function_call", "custom_tool_call")

    def __init__(self, url, key):
        self.sdk = openai.OpenAI(base_url=url + "/openai/v1", api_key=key, max_retries=0)

    def read(self, model):
        think = {"effort": "low", "summary": "auto"}
        with self.sdk.responses.stream(model=model, input="Hi", reasoning=think) as it:
            events = list(it)
        last = events[-1]
        if last.type in ("response.failed", "error"):  # The SDK hands them over and raises nothing.
            raise openai.APIError(str(last), None, body=None)
        said = last.response
        parts = [part for item in said.output if item.type == "message" for part in item.content]
        thoughts = [item for item in said.output if item.type == "reasoning"]
        why = said.incomplete_details and f": {said.incomplete_details.reason}"
        usage = said.usage
        text = "".join(part.text for part in parts if part.type == "output_text")
        deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
        assert "".join(deltas) == text, "the deltas are the text"
        return {
            "text": text,
            "refusal": "".join(part.refusal for part in parts if part.type == "refusal"),
            "thoughts": "".join(s.text for i in thoughts for s in [*i.summary, *(i.content or [])]),
            "calls": [self.call(item) for item in said.output if item.type in self.calls],
            "finish": said.status + (why or ""),
            "usage": usage and {
                "input": usage.input_tokens,
                "output": usage.output_tokens,
                "cached": usage.input_tokens_details.cached_tokens,
                "reasoning": usage.output_tokens_details.reasoning_tokens,
            },
        }

    def call(self, item):
        space = getattr(item, "namespace", None)
        name = f"{space}__{item.name}" if space else item.name
        given = item.input if item.type == "custom_tool_call" else item.arguments
        return {"name": name, "arguments": given}


class Messages:
    fails = anthropic.APIError

    def __init__(self, url, key):
        base = url + "/anthropic"
        self.sdk = anthropic.Anthropic(base_url=base, api_key=key, max_retries=0)

    def read(self, model):
        think = {"type": "enabled", "budget_tokens": 2000}
        messages = [{"role": "user", "content": "Hi"}]
        body = dict(model=model, max_tokens=4000, messages=messages, thinking=think)
        with self.sdk.messages.stream(**body) as it:
            said = it.get_final_message()
        of = lambda kind: [block for block in said.content if block.type == kind]
        usage = said.usage
        cached = usage.cache_read_input_tokens or 0
        details = getattr(usage, "output_tokens_details", None)
        return {
            "text": "".join(block.text for block in of("text")),
            "refusal": "",
            "thoughts": "".join(block.thinking for block in of("thinking")),
            "calls": [{"name": b.name, "arguments": json.dumps(b.input)} for b in of("tool_use")],
            "finish": said.stop_reason,
            "usage": {
                "input": usage.input_tokens + cached + (usage.cache_creation_input_tokens or 0),
                "output": usage.output_tokens,
                "cached": cached,
                "reasoning": (details and details.thinking_tokens) or 0,
            },
        }


class Gemini:
    fails = errors.APIError

    def __init__(self, url, key):
        self.sdk = genai.Client(api_key=key, http_options={"base_url": url + "/gemini"})

    def read(self, model):
        config = {"thinking_config": {"include_thoughts": True}}
        chunks = list(
            self.sdk.models.generate_content_stream(model=model, contents="Hi", config=config)
        )
        firsts = [c for chunk in chunks for c in chunk.candidates or [] if not c.index]
        parts = [p for c in firsts if c.content for p in c.content.parts or []]
        usage = next((c.usage_metadata for c in reversed(chunks) if c.usage_metadata), None)
        calls = [part.function_call for part in parts if part.function_call]
        blocked = any(c.prompt_feedback and c.prompt_feedback.block_reason for c in chunks)
        ends = [str(c.finish_reason.value) for c in firsts if c.finish_reason]
        return {
            "text": "".join(part.text or "" for part in parts if not part.thought),
            "refusal": "",
            "thoughts": "".join(part.text or "" for part in parts if part.thought),
            "calls": [{"name": c.name, "arguments": json.dumps(c.args or {})} for c in calls],
            "finish": "SAFETY" if blocked else ends[-1] if ends else None,
            "usage": usage and {
                "input": (usage.prompt_token_count or 0) + (usage.tool_use_prompt_token_count or 0),
                "output": (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0),
                "cached": usage.cached_content_token_count or 0,
                "reasoning": usage.thoughts_token_count or 0,
            },
        }


CLIENTS = dict(zip(PROTOCOLS, [Chat, Responses, Messages, Gemini]))


@pytest.mark.parametrize("client,upstream", [*itertools.product(PROTOCOLS, PROTOCOLS)])
def test_a_recorded_stream_is_what_the_sdk_makes_of_it(replay, client, upstream):
    url, manifest = replay
    sdk = CLIENTS[client](f"{url}/{upstream}", manifest["key"])
    pair = lambda case: (case["client"], case["upstream"]) == (client, upstream)
    cases = [case for case in manifest["cases"] if pair(case)]
    assert len(cases) > 30
    wrong = list(filter(None, (judge(sdk, case) for case in cases)))
    assert not wrong, f"{len(wrong)} of {len(cases)}:\n" + "\n".join(wrong[:8])


def judge(sdk, case):
    """Says what is wrong, if anything is."""
    try:
        read = sdk.read(case["model"])
    except sdk.fails as error:
        return case["expected"] and f"{case['model']}: failed: {error!r}"
    if not case["expected"]:
        return f"{case['model']}: a success: {read}"
    wanted, found = comparable(case["expected"]), comparable(read)
    members = [name for name in case["expected"] if wanted[name] != found[name]]
    shown = [f"{name}: {wanted[name]!r} != {found[name]!r}" for name in members]
    return shown and f"{case['model']}: " + "; ".join(shown)


def comparable(said):
    """What a protocol has no place or no other form for, made alike."""
    calls = [(call["name"], parsed(call["arguments"])) for call in said.get("calls", [])]
    # Sections and blocks are told apart by blank lines, each protocol in its way.
    thoughts = "".join(said["thoughts"].split())
    return {**said, "calls": calls, "thoughts": thoughts}


def parsed(arguments):
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments
