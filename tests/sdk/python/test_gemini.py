import asyncio
import json
import time
import urllib.request

import pytest
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from shapes import LONG, PNG_BYTES, SCHEMA, model_for, together

MODEL = "gemini/gemini-2.5-flash"
DECLARED = [
    types.FunctionDeclaration(name=name, parameters_json_schema=SCHEMA)
    for name in ("weather", "time")
]


class City(BaseModel):
    city: str
    people: int


def client_of(gateway, key=None, **more):
    options = types.HttpOptions(base_url=gateway.url + "/gemini", **more)
    return genai.Client(api_key=key or gateway.key, http_options=options)


@pytest.fixture(params=[None, "v1beta", "v1"])
def client(gateway, request):
    more = {"api_version": request.param} if request.param else {}
    return client_of(gateway, **more)


def config(**more):
    return types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=DECLARED)],
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        **more,
    )


def ask(client, contents, **more):
    return client.models.generate_content(model=model_for(contents, MODEL), contents=contents, **more)


def stream(client, contents, **more):
    return client.models.generate_content_stream(model=model_for(contents, MODEL), contents=contents, **more)


def drain(client, contents):
    return list(stream(client, contents))


BOTH = pytest.mark.parametrize("call", [ask, drain])


def test_call(client):
    answer = ask(client, "Say hello")
    assert answer.text == "You said: Say hello"
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert answer.usage_metadata.total_token_count > 0


def test_stream(client):
    chunks = list(stream(client, "Say hello"))
    assert "".join(chunk.text or "" for chunk in chunks) == "You said: Say hello"
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP
    assert chunks[-1].usage_metadata.candidates_token_count > 0


def test_the_limit_of_tokens_is_told(client):
    limit = types.GenerateContentConfig(max_output_tokens=2)
    answer = ask(client, "Say hello", config=limit)
    assert answer.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS


def test_tools(client):
    asked = [types.UserContent("[[sim:tool]] Weather in Oslo?")]
    first = ask(client, asked, config=config())
    call = first.function_calls[0]
    assert call.name == "weather" and "city" in call.args
    result = types.FunctionResponse(id=call.id, name=call.name, response={"sky": "sunny"})
    follow = [*asked, first.candidates[0].content, types.Part(function_response=result)]
    assert "sunny" in ask(client, follow, config=config()).text


def test_automatic_function_calling(client):
    def weather(city: str) -> str:
        """Says what the weather is in a city."""
        return f"sunny in {city}"

    tools = types.GenerateContentConfig(tools=[weather])
    assert "sunny in sim city" in ask(client, "[[sim:tool]] Weather?", config=tools).text


def test_parallel_tools(client):
    calls = ask(client, "[[sim:parallel-tools]]", config=config()).function_calls
    assert [call.name for call in calls] == ["weather", "time"] and calls[0].id != calls[1].id


def test_a_tool_is_forced(client):
    calling = types.FunctionCallingConfig(mode="ANY", allowed_function_names=["time"])
    forced = config(tool_config=types.ToolConfig(function_calling_config=calling))
    assert ask(client, "What time is it?", config=forced).function_calls[0].name == "time"


def test_streamed_tools(client):
    chunks = list(stream(client, "[[sim:parallel-tools]]", config=config()))
    calls = [call for chunk in chunks for call in chunk.function_calls or []]
    assert [call.name for call in calls] == ["weather", "time"]
    assert all("city" in call.args for call in calls)


def test_structured_output(client):
    wanted = types.GenerateContentConfig(
        response_mime_type="application/json", response_schema=City
    )
    assert isinstance(ask(client, "Where?", config=wanted).parsed, City)
    wanted = types.GenerateContentConfig(
        response_mime_type="application/json", response_json_schema=SCHEMA
    )
    assert json.loads(ask(client, "Where?", config=wanted).text)["city"]


def test_thinking(client):
    thinking = types.GenerateContentConfig(
        thinking_config=types.ThinkingConfig(include_thoughts=True)
    )
    answer = ask(client, "Think", config=thinking)
    assert answer.candidates[0].content.parts[0].thought
    assert answer.usage_metadata.thoughts_token_count > 0
    chunks = list(stream(client, "Think", config=thinking))
    parts = [part for chunk in chunks for part in chunk.candidates[0].content.parts]
    assert parts[0].thought and any(part.thought_signature for part in parts)


def test_signed_calls_go_back(client):
    asked = [types.UserContent("[[sim:tool]]")]
    thinking = config(thinking_config=types.ThinkingConfig(include_thoughts=True))
    first = ask(client, asked, config=thinking)
    assert any(part.thought_signature for part in first.candidates[0].content.parts)
    call = first.function_calls[0]
    result = types.FunctionResponse(id=call.id, name=call.name, response={"sky": "sunny"})
    follow = [*asked, first.candidates[0].content, types.Part(function_response=result)]
    assert "sunny" in ask(client, follow, config=thinking).text


def test_images(client):
    image = types.Part.from_bytes(data=PNG_BYTES, mime_type="image/png")
    answer = ask(client, ["What is it?", image])
    assert answer.text == "You said: What is it?"
    assert answer.usage_metadata.prompt_token_count > len(PNG_BYTES) // 4, "the image arrived"


def test_system_instruction_and_chats(client):
    talk = client.chats.create(
        model=MODEL, config=types.GenerateContentConfig(system_instruction="Be brief")
    )
    assert talk.send_message("one").text == "You said: one"
    assert talk.send_message("two").text == "You said: two"
    assert len(talk.get_history()) == 4


def test_embeddings(client):
    model = "gemini/gemini-embedding-001"
    answer = client.models.embed_content(model=model, contents=["a", "b"])
    assert len(answer.embeddings) == 2
    small = types.EmbedContentConfig(output_dimensionality=5)
    answer = client.models.embed_content(model=model, contents="a", config=small)
    assert len(answer.embeddings[0].values) == 5


def test_count_tokens(client):
    assert client.models.count_tokens(model=MODEL, contents="Say hello").total_tokens > 0


def test_models(client):
    names = [model.name for model in client.models.list()]
    assert any("gemini/" in name for name in names)
    assert client.models.get(model=names[0]).name == names[0]


@BOTH
def test_wrong_key(gateway, call):
    with pytest.raises(errors.ClientError) as raised:
        call(client_of(gateway, "wrong"), "Say hello")
    assert raised.value.code == 401 and raised.value.status == "UNAUTHENTICATED"


@BOTH
def test_model_the_key_may_not_use(gateway, call):
    with pytest.raises(errors.ClientError) as raised:
        call(client_of(gateway, gateway.limited), "Say hello")
    assert raised.value.code == 403 and raised.value.status == "PERMISSION_DENIED"


ERRORS = [
    ("rate_limit", errors.ClientError, 429, "RESOURCE_EXHAUSTED"),
    ("overloaded", errors.ServerError, 503, "UNAVAILABLE"),
    ("context_length", errors.ClientError, 400, "INVALID_ARGUMENT"),
    ("content_policy", errors.ClientError, 400, "INVALID_ARGUMENT"),
    ("invalid_request", errors.ClientError, 400, "INVALID_ARGUMENT"),
    ("not_found", errors.ClientError, 404, "NOT_FOUND"),
    ("conflict", errors.ClientError, 409, "ABORTED"),
    ("server_error", errors.ServerError, 500, "INTERNAL"),
    ("timeout", errors.ServerError, 504, "DEADLINE_EXCEEDED"),
    # What is wrong between gateway and provider is not the client's to repair.
    ("permission", errors.ServerError, 502, "INTERNAL"),
]


@BOTH
@pytest.mark.parametrize(("name", "kind", "code", "status"), ERRORS, ids=[e[0] for e in ERRORS])
def test_errors(gateway, call, name, kind, code, status):
    with pytest.raises(kind) as raised:
        call(client_of(gateway), f"[[sim:error:{name}]]")
    error = raised.value
    assert (error.code, error.status) == (code, status) and error.message
    assert error.response.headers["x-tollgate-call-id"]


def test_rate_limit_says_when(client):
    with pytest.raises(errors.ClientError) as raised:
        ask(client, "[[sim:error:rate_limit]]")
    details = raised.value.details["error"]["details"]
    assert details[0]["retryDelay"] == "2s"


def test_the_sdk_retries_what_may_be_retried(gateway):
    retry = types.HttpRetryOptions(attempts=2, initial_delay=0.5, jitter=0)
    client = client_of(gateway, retry_options=retry)
    started = time.monotonic()
    with pytest.raises(errors.ServerError):
        ask(client, "[[sim:error:overloaded]]")
    assert time.monotonic() - started >= 0.5
    started = time.monotonic()
    with pytest.raises(errors.ClientError):
        ask(client, "[[sim:error:context_length]]")
    assert time.monotonic() - started < 0.5


def test_unknown_provider(client):
    with pytest.raises(errors.ClientError) as raised:
        client.models.generate_content(model="nobody/x", contents="Say hello")
    assert raised.value.code == 404 and raised.value.status == "NOT_FOUND"


def test_unknown_path(client):
    with pytest.raises(errors.ClientError) as raised:
        list(client.files.list())
    assert raised.value.code == 404 and raised.value.status == "NOT_FOUND"


def test_timeout(gateway):
    with pytest.raises(Exception) as raised:
        ask(client_of(gateway, timeout=300), "[[sim:delay:5s]]")
    assert "Timeout" in type(raised.value).__name__


def test_cut_stream_raises(client):
    with pytest.raises(errors.APIError):
        drain(client, "[[sim:cut:2]] Tell me a long story")


def test_error_in_a_stream_raises(client):
    with pytest.raises(errors.ServerError) as raised:
        drain(client, "[[sim:error-in-stream:2:overloaded]] Tell me a long story")
    assert raised.value.status == "UNAVAILABLE"


def test_headers(client):
    headers = ask(client, "Say hello").sdk_http_response.headers
    assert headers["x-tollgate-target"] == MODEL and headers["x-tollgate-call-id"]


def test_two_lines_in_the_environment_are_enough(gateway, monkeypatch):
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", gateway.url + "/gemini")
    monkeypatch.setenv("GEMINI_API_KEY", gateway.key)
    monkeypatch.delenv("GOOGLE_API_KEY", raising=False)
    assert ask(genai.Client(), "Say hello").text


def test_key_in_the_query(gateway):
    url = f"{gateway.url}/gemini/v1beta/models/{MODEL}:generateContent?key={gateway.key}"
    body = json.dumps({"contents": [{"parts": [{"text": "Say hello"}]}]}).encode()
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert json.load(answer)["candidates"]


def test_async(gateway):
    async def all_kinds():
        client = client_of(gateway).aio
        answer = await client.models.generate_content(model=MODEL, contents="Say hello")
        assert answer.text == "You said: Say hello"
        chunks = await client.models.generate_content_stream(model=MODEL, contents="Say hello")
        assert "".join([c.text or "" async for c in chunks]) == "You said: Say hello"
        with pytest.raises(errors.ClientError):
            text = "[[sim:error:rate_limit]]"
            await client.models.generate_content(model=model_for(text, MODEL), contents=text)

    asyncio.run(all_kinds())


def test_thirty_streams_at_once_do_not_mix(gateway):
    async def one(n):
        client = client_of(gateway).aio
        text = f"[[sim:pace:5ms]] story {n} of thirty"
        chunks = await client.models.generate_content_stream(model=MODEL, contents=text)
        return "".join([chunk.text or "" async for chunk in chunks])

    assert together(one) == [f"You said: story {n} of thirty" for n in range(30)]


def test_a_stream_left_in_the_middle_harms_nothing(client):
    started = time.monotonic()
    chunks = stream(client, LONG)
    for _ in range(4):
        next(chunks)
    chunks.close()
    assert ask(client, "Say hello").text
    assert time.monotonic() - started < 4, "the rest was not waited for"
