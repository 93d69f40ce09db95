import asyncio
import base64
import json
import struct
import time

import openai
import pytest
from pydantic import BaseModel

from shapes import LONG, PNG, SCHEMA, model_for, together

MODEL = "openai/gpt-5"
QUESTION = [{"role": "user", "content": "Say hello"}]
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": SCHEMA}}
    for name in ("weather", "time")
]
FLAT_TOOLS = [{"type": "function", "strict": True, **tool["function"]} for tool in TOOLS]


class City(BaseModel):
    city: str
    people: int


def client_of(gateway, key=None, path="/v1", **more):
    more = {"max_retries": 0, **more}
    return openai.OpenAI(base_url=gateway.url + path, api_key=key or gateway.key, **more)


def async_client_of(gateway):
    return openai.AsyncOpenAI(
        base_url=gateway.url + "/openai/v1", api_key=gateway.key, max_retries=0
    )


@pytest.fixture(params=["/v1", "/openai/v1"])
def client(gateway, request):
    return client_of(gateway, path=request.param)


def chat(client, text, **more):
    messages = [{"role": "user", "content": text}]
    return client.chat.completions.create(model=model_for(text, MODEL), messages=messages, **more)


def responses(client, text, **more):
    return client.responses.create(model=model_for(text, MODEL), input=text, **more)


APIS = pytest.mark.parametrize("ask", [chat, responses])


def test_chat_call(client):
    answer = client.chat.completions.create(model=MODEL, messages=QUESTION)
    assert answer.choices[0].message.content == "You said: Say hello"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer._request_id


def test_chat_stream(client):
    chunks = list(chat(client, "Say hello", stream=True))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "You said: Say hello"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(c.usage is None for c in chunks), "nobody asked for usage"


def test_chat_stream_with_usage(client):
    chunks = list(chat(client, "Say hello", stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].usage.total_tokens > 0 and chunks[-1].choices == []


def test_responses_call(client):
    answer = responses(client, "Say hello")
    assert answer.status == "completed" and answer.output_text == "You said: Say hello"


def test_responses_stream(client):
    with client.responses.stream(model=MODEL, input="Say hello") as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert events[0].type == "response.created" and events[-1].type == "response.completed"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert final.output_text == "You said: Say hello"


def test_the_limit_of_tokens_is_told(client):
    assert chat(client, "Say hello", max_tokens=2).choices[0].finish_reason == "length"
    answer = responses(client, "Say hello", max_output_tokens=2)
    assert answer.incomplete_details.reason == "max_output_tokens"


def test_tools(client):
    asked = [{"role": "user", "content": "[[sim:tool]] Weather in Oslo?"}]
    first = client.chat.completions.create(model=MODEL, messages=asked, tools=TOOLS)
    call = first.choices[0].message.tool_calls[0]
    assert first.choices[0].finish_reason == "tool_calls" and call.function.name == "weather"
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    follow = [*asked, first.choices[0].message, result]
    second = client.chat.completions.create(model=MODEL, messages=follow, tools=TOOLS)
    assert second.choices[0].message.content == "The tools said: sunny"


def test_responses_tools(client):
    asked = [{"role": "user", "content": "[[sim:tool]] Weather in Oslo?"}]
    first = client.responses.create(model=MODEL, input=asked, tools=FLAT_TOOLS)
    call = next(item for item in first.output if item.type == "function_call")
    assert call.name == "weather" and "city" in json.loads(call.arguments)
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    follow = [*asked, *first.output, result]
    second = client.responses.create(model=MODEL, input=follow, tools=FLAT_TOOLS)
    assert second.output_text == "The tools said: sunny"


def test_parallel_tools(client):
    calls = chat(client, "[[sim:parallel-tools]]", tools=TOOLS).choices[0].message.tool_calls
    assert [call.function.name for call in calls] == ["weather", "time"]
    assert calls[0].id != calls[1].id
    output = responses(client, "[[sim:parallel-tools]]", tools=FLAT_TOOLS).output
    calls = [item for item in output if item.type == "function_call"]
    assert [call.name for call in calls] == ["weather", "time"]


def test_a_tool_is_forced(client):
    choice = {"type": "function", "function": {"name": "time"}}
    answer = chat(client, "What time is it?", tools=TOOLS, tool_choice=choice)
    assert answer.choices[0].message.tool_calls[0].function.name == "time"


def test_streamed_tools(client):
    messages = [{"role": "user", "content": "[[sim:parallel-tools]]"}]
    asked = {"model": MODEL, "messages": messages, "tools": TOOLS}
    with client.chat.completions.stream(**asked) as stream:
        kinds = [event.type for event in stream]
        calls = stream.get_final_completion().choices[0].message.tool_calls
    assert "tool_calls.function.arguments.delta" in kinds
    assert all("city" in json.loads(call.function.arguments) for call in calls) and len(calls) == 2


def test_responses_streamed_tools(client):
    asked = {"model": MODEL, "input": "[[sim:parallel-tools]]", "tools": FLAT_TOOLS}
    with client.responses.stream(**asked) as stream:
        deltas = [e for e in stream if e.type == "response.function_call_arguments.delta"]
        output = stream.get_final_response().output
    assert len(deltas) > 2
    calls = [item for item in output if item.type == "function_call"]
    assert all("city" in json.loads(call.arguments) for call in calls) and len(calls) == 2


def test_structured_output(client):
    answer = client.chat.completions.parse(
        model=MODEL, messages=QUESTION, response_format=City
    )
    assert isinstance(answer.choices[0].message.parsed, City)
    asked = {"model": MODEL, "messages": QUESTION, "response_format": City}
    with client.chat.completions.stream(**asked) as stream:
        stream.until_done()
        parsed = stream.get_final_completion().choices[0].message.parsed
    assert isinstance(parsed, City)


def test_responses_structured_output(client):
    answer = client.responses.parse(model=MODEL, input="Where?", text_format=City)
    assert isinstance(answer.output_parsed, City)


def test_json_mode(client):
    answer = chat(client, "Say hello in JSON", response_format={"type": "json_object"})
    assert json.loads(answer.choices[0].message.content)


def test_embeddings(client):
    asked = {"model": "openai/text-embedding-3-small", "input": ["a", "b"]}
    usual = client.embeddings.create(**asked)
    assert [d.index for d in usual.data] == [0, 1] and usual.usage.prompt_tokens > 0
    floats = client.embeddings.create(encoding_format="float", **asked).data[0].embedding
    packed = client.embeddings.create(encoding_format="base64", **asked).data[0].embedding
    raw = base64.b64decode(packed)
    assert list(struct.unpack(f"<{len(raw) // 4}f", raw)) == pytest.approx(floats, abs=1e-6)
    assert usual.data[0].embedding == pytest.approx(floats, abs=1e-6)


def test_count_tokens(client):
    assert client.responses.input_tokens.count(model=MODEL, input="Say hello").input_tokens > 0


def test_models(client):
    names = [model.id for model in client.models.list()]
    assert any(name.startswith("openai/") for name in names)
    assert client.models.retrieve(names[0]).id == names[0]


def test_reasoning(client):
    answer = chat(client, "Think", reasoning_effort="high")
    assert answer.usage.completion_tokens_details.reasoning_tokens > 0
    answer = responses(client, "Think", reasoning={"effort": "high", "summary": "auto"})
    item = next(item for item in answer.output if item.type == "reasoning")
    assert item.summary[0].text and answer.usage.output_tokens_details.reasoning_tokens > 0


def test_cached_tokens(client):
    answer = chat(client, "[[sim:cached:1024]]")
    assert answer.usage.prompt_tokens_details.cached_tokens == 1024


def test_images(client):
    url = "data:image/png;base64," + PNG
    parts = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": url}},
    ]
    answer = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": parts}]
    )
    assert answer.choices[0].message.content == "You said: What is it?"
    assert answer.usage.prompt_tokens > len(PNG) // 4, "the image arrived"
    parts = [
        {"type": "input_text", "text": "What is it?"},
        {"type": "input_image", "image_url": url, "detail": "auto"},
    ]
    answer = client.responses.create(model=MODEL, input=[{"role": "user", "content": parts}])
    assert answer.output_text and answer.usage.input_tokens > len(PNG) // 4


@APIS
def test_wrong_key(gateway, ask):
    with pytest.raises(openai.AuthenticationError) as raised:
        ask(client_of(gateway, "sk-wrong"), "Say hello")
    assert "sk-wrong" not in str(raised.value) and raised.value.code == "invalid_api_key"


@APIS
def test_model_the_key_may_not_use(gateway, ask):
    with pytest.raises(openai.PermissionDeniedError) as raised:
        ask(client_of(gateway, gateway.limited), "Say hello")
    assert raised.value.request_id


ERRORS = [
    ("rate_limit", openai.RateLimitError, 429, "rate_limit_exceeded"),
    ("overloaded", openai.InternalServerError, 503, "server_is_overloaded"),
    ("context_length", openai.BadRequestError, 400, "context_length_exceeded"),
    ("content_policy", openai.BadRequestError, 400, "content_policy_violation"),
    ("invalid_request", openai.BadRequestError, 400, "unsupported_parameter"),
    ("not_found", openai.NotFoundError, 404, "model_not_found"),
    ("conflict", openai.ConflictError, 409, "conflict"),
    ("too_large", openai.APIStatusError, 413, "request_too_large"),
    ("server_error", openai.InternalServerError, 500, None),
    ("timeout", openai.InternalServerError, 504, "timeout"),
    # What is wrong between gateway and provider is not the client's to repair.
    ("permission", openai.InternalServerError, 502, "upstream_auth"),
]


@APIS
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("name", "kind", "status", "code"), ERRORS, ids=[e[0] for e in ERRORS])
def test_errors(gateway, ask, stream, name, kind, status, code):
    with pytest.raises(kind) as raised:
        ask(client_of(gateway), f"[[sim:error:{name}]]", stream=stream)
    error = raised.value
    assert error.status_code == status and error.message and error.type
    assert code is None or error.code == code
    assert error.request_id and error.response.headers["x-tollgate-call-id"]


def test_unknown_provider(client):
    with pytest.raises(openai.NotFoundError) as raised:
        client.chat.completions.create(model="nobody/x", messages=QUESTION)
    assert raised.value.code == "model_not_found" and raised.value.param == "model"


def test_unknown_path(client):
    with pytest.raises(openai.NotFoundError) as raised:
        client.fine_tuning.jobs.list()
    assert raised.value.message


@APIS
def test_rate_limit_says_when_and_the_sdk_waits(gateway, ask):
    seen = []
    hooks = {"response": [seen.append]}
    http = openai.DefaultHttpxClient(event_hooks=hooks)
    client = client_of(gateway, max_retries=1, http_client=http)
    started = time.monotonic()
    with pytest.raises(openai.RateLimitError) as raised:
        ask(client, "[[sim:error:rate_limit]]")
    assert raised.value.response.headers["retry-after"] == "2"
    assert len(seen) == 2 and time.monotonic() - started >= 1.9


def test_a_refused_request_is_not_retried(gateway):
    seen = []
    http = openai.DefaultHttpxClient(event_hooks={"response": [seen.append]})
    with pytest.raises(openai.BadRequestError):
        chat(client_of(gateway, max_retries=2, http_client=http), "[[sim:error:context_length]]")
    assert len(seen) == 1


@APIS
def test_timeout(gateway, ask):
    with pytest.raises(openai.APITimeoutError):
        ask(client_of(gateway, timeout=0.3), "[[sim:delay:5s]]")


def test_cut_stream_raises(client):
    stream = chat(client, "[[sim:cut:3]] Tell me a long story", stream=True)
    with pytest.raises(openai.APIError):
        list(stream)


def test_error_in_a_stream_raises(client):
    stream = chat(client, "[[sim:error-in-stream:3:overloaded]] Tell me a story", stream=True)
    with pytest.raises(openai.APIError) as raised:
        list(stream)
    assert raised.value.code == "server_is_overloaded"


BROKEN = {"cut:9": "server_error", "error-in-stream:9:overloaded": "server_is_overloaded"}


@pytest.mark.parametrize("how", BROKEN)
def test_broken_responses_fail(client, how):
    # The SDK hands the protocol's failing event over; it raises for none.
    last = list(responses(client, f"[[sim:{how}]] one two three four five", stream=True))[-1]
    assert last.type == "response.failed" and last.response.error.code == BROKEN[how]


def test_responses_broken_before_the_first_content_are_http_errors(client):
    with pytest.raises(openai.InternalServerError) as raised:
        responses(client, "[[sim:cut:2]] Tell me a long story", stream=True)
    assert raised.value.status_code == 502


@APIS
def test_garbage_is_an_error(gateway, ask):
    with pytest.raises(openai.InternalServerError) as raised:
        ask(client_of(gateway), "[[sim:garbage]]", stream=True)
    assert raised.value.code


def test_headers_and_raw_responses(client):
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=QUESTION)
    assert raw.headers["x-tollgate-target"] == MODEL and raw.headers["x-tollgate-call-id"]
    assert "x-ratelimit-limit-requests" not in raw.headers
    assert raw.parse().choices[0].message.content
    with client.chat.completions.with_streaming_response.create(
        model=MODEL, messages=QUESTION, stream=True
    ) as answer:
        lines = [line for line in answer.iter_lines() if line]
    assert lines[-1] == "data: [DONE]" and answer.headers["x-tollgate-call-id"]


def test_two_lines_in_the_environment_are_enough(gateway, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", gateway.url + "/openai/v1")
    monkeypatch.setenv("OPENAI_API_KEY", gateway.key)
    assert chat(openai.OpenAI(), "Say hello").id


def test_keys_in_the_azure_way(gateway):
    headers = {"api-key": gateway.key, "Authorization": openai.Omit()}
    assert chat(client_of(gateway, "unused"), "Say hello", extra_headers=headers).choices


def test_async(gateway):
    async def all_kinds():
        async with async_client_of(gateway) as client:
            answer = await chat(client, "Say hello")
            assert answer.choices[0].message.content == "You said: Say hello"
            stream = await responses(client, "Say hello", stream=True)
            events = [event async for event in stream]
            assert events[-1].type == "response.completed"
            assert [m.id async for m in client.models.list()]
            with pytest.raises(openai.RateLimitError):
                await chat(client, "[[sim:error:rate_limit]]")

    asyncio.run(all_kinds())


@APIS
def test_thirty_streams_at_once_do_not_mix(gateway, ask):
    async def one(n):
        async with async_client_of(gateway) as client:
            stream = await ask(client, f"[[sim:pace:5ms]] story {n} of thirty", stream=True)
            if ask is chat:
                return "".join([c.choices[0].delta.content or "" async for c in stream])
            return "".join([e.delta async for e in stream if e.type.endswith("text.delta")])

    assert together(one) == [f"You said: story {n} of thirty" for n in range(30)]


@APIS
def test_a_stream_left_in_the_middle_harms_nothing(client, ask):
    started = time.monotonic()
    with ask(client, LONG, stream=True) as stream:
        for n, _ in enumerate(stream):
            if n == 4:
                break
    assert ask(client, "Say hello").id
    assert time.monotonic() - started < 4, "the rest was not waited for"
