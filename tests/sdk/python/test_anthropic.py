import asyncio
import time

import anthropic
import pytest
from pydantic import BaseModel

from shapes import LONG, PNG, SCHEMA, model_for, together

MODEL = "anthropic/claude-sonnet-4-5"
TOOLS = [{"name": name, "input_schema": SCHEMA} for name in ("weather", "time")]


class City(BaseModel):
    city: str
    people: int


def client_of(gateway, key=None, **more):
    more = {"max_retries": 0, **more}
    base = gateway.url + "/anthropic"
    return anthropic.Anthropic(base_url=base, api_key=key or gateway.key, **more)


def async_client_of(gateway):
    base = gateway.url + "/anthropic"
    return anthropic.AsyncAnthropic(base_url=base, api_key=gateway.key, max_retries=0)


OLD_WAY = {"anthropic-version": "2023-06-01"}


@pytest.fixture(params=["newest", "2023-06-01"])
def client(gateway, request):
    """The SDK's own API version and way to show a key, then the old ones."""
    if request.param == "newest":
        return client_of(gateway)
    key = {"x-api-key": gateway.key, "Authorization": anthropic.Omit()}
    return client_of(gateway, "unused", default_headers={**OLD_WAY, **key})


def ask(text, **more):
    return {
        "model": model_for(text, MODEL),
        "max_tokens": 1000,
        "messages": [{"role": "user", "content": text}],
        **more,
    }


def test_call(client):
    answer = client.messages.create(**ask("Say hello"))
    assert answer.stop_reason == "end_turn" and answer.content[0].text == "You said: Say hello"
    assert answer.usage.output_tokens > 0
    assert answer._request_id


def test_stream(client):
    with client.messages.stream(**ask("Say hello")) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == "You said: Say hello" and final.content[0].text == text
    assert final.stop_reason == "end_turn" and final.usage.output_tokens > 0


def test_stream_of_plain_events(client):
    kinds = [event.type for event in client.messages.create(**ask("Say hello", stream=True))]
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop"


def test_the_limit_of_tokens_is_told(client):
    answer = client.messages.create(**ask("Say hello", max_tokens=2))
    assert answer.stop_reason == "max_tokens"


def test_tools(client):
    asked = ask("[[sim:tool]] Weather in Oslo?", tools=TOOLS)
    first = client.messages.create(**asked)
    call = next(block for block in first.content if block.type == "tool_use")
    assert first.stop_reason == "tool_use" and "city" in call.input
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
    asked["messages"] += [
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [result]},
    ]
    second = client.messages.create(**asked)
    assert second.content[0].text == "The tools said: sunny"


def test_parallel_tools(client):
    answer = client.messages.create(**ask("[[sim:parallel-tools]]", tools=TOOLS))
    calls = [block for block in answer.content if block.type == "tool_use"]
    assert [call.name for call in calls] == ["weather", "time"] and calls[0].id != calls[1].id


def test_a_tool_is_forced(client):
    choice = {"type": "tool", "name": "time"}
    answer = client.messages.create(**ask("Time?", tools=TOOLS, tool_choice=choice))
    assert answer.content[0].name == "time"


def test_streamed_tools(client):
    with client.messages.stream(**ask("[[sim:parallel-tools]]", tools=TOOLS)) as stream:
        kinds = [event.type for event in stream]
        calls = [b for b in stream.get_final_message().content if b.type == "tool_use"]
    assert "input_json" in kinds
    assert len(calls) == 2 and all("city" in call.input for call in calls)


def test_structured_output(client):
    answer = client.messages.parse(**ask("Where?", output_format=City))
    assert isinstance(answer.parsed_output, City)


def test_thinking(client):
    thinking = {"type": "enabled", "budget_tokens": 1024}
    asked = ask("Think", max_tokens=4000, thinking=thinking)
    answer = client.messages.create(**asked)
    assert answer.content[0].type == "thinking" and answer.content[0].signature
    with client.messages.stream(**asked) as stream:
        kinds = [event.type for event in stream]
        streamed = stream.get_final_message()
    assert "thinking" in kinds and "signature" in kinds
    assert streamed.content[0].signature == answer.content[0].signature


def test_thinking_goes_back_with_the_tool_result(client):
    thinking = {"type": "enabled", "budget_tokens": 1024}
    asked = ask("[[sim:tool]]", max_tokens=4000, thinking=thinking, tools=TOOLS)
    first = client.messages.create(**asked)
    call = first.content[-1]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
    asked["messages"] += [
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [result]},
    ]
    assert client.messages.create(**asked).content[-1].text == "The tools said: sunny"


def test_images(client):
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    parts = [{"type": "image", "source": source}, {"type": "text", "text": "What is it?"}]
    answer = client.messages.create(**ask(parts))
    assert answer.content[0].text == "You said: What is it?"
    assert answer.usage.input_tokens > len(PNG) // 4, "the image arrived"


def test_cached_tokens(client):
    usage = client.messages.create(**ask("[[sim:cached:1024]][[sim:cache-write:256]]")).usage
    assert (usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (1024, 256)


def test_count_tokens(client):
    question = {"model": MODEL, "messages": [{"role": "user", "content": "Say hello"}]}
    assert client.messages.count_tokens(**question).input_tokens > 0


def test_models(client):
    names = [model.id for model in client.models.list()]
    assert any(name.startswith("anthropic/") for name in names)
    assert client.models.retrieve(names[0]).id == names[0]


def test_wrong_key(gateway):
    with pytest.raises(anthropic.AuthenticationError) as raised:
        client_of(gateway, "sk-wrong").messages.create(**ask("Say hello"))
    assert "sk-wrong" not in str(raised.value)


def test_two_lines_in_the_environment_are_enough(gateway, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_BASE_URL", gateway.url + "/anthropic")
    monkeypatch.setenv("ANTHROPIC_API_KEY", gateway.key)
    assert anthropic.Anthropic().messages.create(**ask("Say hello")).content


def test_auth_token(gateway):
    base = gateway.url + "/anthropic"
    client = anthropic.Anthropic(base_url=base, auth_token=gateway.key, max_retries=0)
    assert client.messages.create(**ask("Say hello")).content


def test_model_the_key_may_not_use(gateway):
    with pytest.raises(anthropic.PermissionDeniedError) as raised:
        client_of(gateway, gateway.limited).messages.create(**ask("Say hello"))
    assert raised.value.request_id


ERRORS = [
    ("rate_limit", anthropic.RateLimitError, 429, "rate_limit_error"),
    ("overloaded", anthropic.OverloadedError, 529, "overloaded_error"),
    ("context_length", anthropic.BadRequestError, 400, "invalid_request_error"),
    ("content_policy", anthropic.BadRequestError, 400, "invalid_request_error"),
    ("invalid_request", anthropic.BadRequestError, 400, "invalid_request_error"),
    ("not_found", anthropic.NotFoundError, 404, "not_found_error"),
    ("conflict", anthropic.ConflictError, 409, "conflict_error"),
    ("too_large", anthropic.RequestTooLargeError, 413, "request_too_large"),
    ("server_error", anthropic.InternalServerError, 500, "api_error"),
    ("timeout", anthropic.DeadlineExceededError, 504, "timeout_error"),
    # What is wrong between gateway and provider is not the client's to repair.
    ("permission", anthropic.InternalServerError, 502, "api_error"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("name", "kind", "status", "told"), ERRORS, ids=[e[0] for e in ERRORS])
def test_errors(client, stream, name, kind, status, told):
    with pytest.raises(kind) as raised:
        client.messages.create(**ask(f"[[sim:error:{name}]]", stream=stream))
    error = raised.value
    assert error.status_code == status and error.body["error"]["type"] == told
    assert error.request_id and error.response.headers["x-tollgate-call-id"]


def test_context_length_is_told_in_the_words_clients_look_for(client):
    with pytest.raises(anthropic.BadRequestError, match="prompt is too long"):
        client.messages.create(**ask("[[sim:error:context_length]]"))


def test_unknown_provider(client):
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(**{**ask("Say hello"), "model": "nobody/x"})


def test_unknown_path(client):
    with pytest.raises(anthropic.NotFoundError):
        client.messages.batches.list()


def test_rate_limit_says_when_and_the_sdk_waits(gateway):
    seen = []
    http = anthropic.DefaultHttpxClient(event_hooks={"response": [seen.append]})
    client = client_of(gateway, max_retries=1, http_client=http)
    started = time.monotonic()
    with pytest.raises(anthropic.RateLimitError) as raised:
        client.messages.create(**ask("[[sim:error:rate_limit]]"))
    assert raised.value.response.headers["retry-after"] == "2"
    assert len(seen) == 2 and time.monotonic() - started >= 1.9


def test_a_refused_request_is_not_retried(gateway):
    seen = []
    http = anthropic.DefaultHttpxClient(event_hooks={"response": [seen.append]})
    client = client_of(gateway, max_retries=2, http_client=http)
    with pytest.raises(anthropic.BadRequestError):
        client.messages.create(**ask("[[sim:error:context_length]]"))
    assert len(seen) == 1


def test_timeout(gateway):
    with pytest.raises(anthropic.APITimeoutError):
        client_of(gateway, timeout=0.3).messages.create(**ask("[[sim:delay:5s]]"))


def test_cut_stream_raises(client):
    with pytest.raises(anthropic.APIError):
        list(client.messages.create(**ask("[[sim:cut:4]] Tell me a long story", stream=True)))


def test_error_in_a_stream_raises(client):
    text = "[[sim:error-in-stream:5:overloaded]] Tell me a long story"
    with pytest.raises(anthropic.APIStatusError) as raised:
        with client.messages.stream(**ask(text)) as stream:
            stream.until_done()
    assert raised.value.body["error"]["type"] == "overloaded_error"


def test_headers_and_raw_responses(client):
    raw = client.messages.with_raw_response.create(**ask("Say hello"))
    assert raw.headers["x-tollgate-target"] == MODEL and raw.headers["x-tollgate-call-id"]
    assert "anthropic-ratelimit-requests-limit" not in raw.headers
    assert raw.parse().content[0].text
    with client.messages.with_streaming_response.create(**ask("Hi", stream=True)) as answer:
        lines = list(answer.iter_lines())
    assert "event: message_stop" in lines and answer.headers["x-tollgate-call-id"]


def test_beta_calls(client):
    answer = client.beta.messages.create(**ask("Say hello"), betas=["context-1m-2025-08-07"])
    assert answer.content[0].text


def test_async(gateway):
    async def all_kinds():
        async with async_client_of(gateway) as client:
            answer = await client.messages.create(**ask("Say hello"))
            assert answer.content[0].text == "You said: Say hello"
            async with client.messages.stream(**ask("Say hello")) as stream:
                assert await stream.get_final_text() == "You said: Say hello"
            assert [m.id async for m in client.models.list()]
            with pytest.raises(anthropic.RateLimitError):
                await client.messages.create(**ask("[[sim:error:rate_limit]]"))

    asyncio.run(all_kinds())


def test_thirty_streams_at_once_do_not_mix(gateway):
    async def one(n):
        async with async_client_of(gateway) as client:
            text = f"[[sim:pace:5ms]] story {n} of thirty"
            async with client.messages.stream(**ask(text)) as stream:
                return await stream.get_final_text()

    assert together(one) == [f"You said: story {n} of thirty" for n in range(30)]


def test_a_stream_left_in_the_middle_harms_nothing(client):
    started = time.monotonic()
    with client.messages.stream(**ask(LONG)) as stream:
        for n, _ in enumerate(stream):
            if n == 4:
                break
    assert client.messages.create(**ask("Say hello")).content
    assert time.monotonic() - started < 4, "the rest was not waited for"
