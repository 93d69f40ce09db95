import anthropic
import pytest

MODEL = "anthropic/claude-sonnet-4-5"


@pytest.fixture()
def client(gateway):
    return anthropic.Anthropic(
        base_url=gateway.url + "/anthropic", api_key=gateway.key, max_retries=0
    )


def ask(text, **more):
    return {
        "model": MODEL,
        "max_tokens": 1000,
        "messages": [{"role": "user", "content": text}],
        **more,
    }


def test_call(client):
    answer = client.messages.create(**ask("Say hello"))
    assert answer.stop_reason == "end_turn" and answer.content[0].text
    assert answer.usage.output_tokens > 0
    assert answer._request_id


def test_stream(client):
    with client.messages.stream(**ask("Say hello")) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text and final.content[0].text == text and final.stop_reason == "end_turn"


def test_tools(client):
    tool = {
        "name": "weather",
        "input_schema": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    }
    first = client.messages.create(**ask("[[sim:tool]] Weather in Oslo?", tools=[tool]))
    call = next(block for block in first.content if block.type == "tool_use")
    assert first.stop_reason == "tool_use" and "city" in call.input
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
    messages = [
        {"role": "user", "content": "[[sim:tool]] Weather in Oslo?"},
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [result]},
    ]
    second = client.messages.create(
        model=MODEL, max_tokens=1000, messages=messages, tools=[tool]
    )
    assert second.stop_reason == "end_turn"


def test_count_tokens(client):
    question = {"model": MODEL, "messages": [{"role": "user", "content": "Say hello"}]}
    assert client.messages.count_tokens(**question).input_tokens > 0


def test_models(client):
    names = [model.id for model in client.models.list()]
    assert any(name.startswith("anthropic/") for name in names)


def test_wrong_key(gateway):
    client = anthropic.Anthropic(
        base_url=gateway.url + "/anthropic", api_key="sk-wrong", max_retries=0
    )
    with pytest.raises(anthropic.AuthenticationError):
        client.messages.create(**ask("Say hello"))


def test_rate_limit(client):
    with pytest.raises(anthropic.RateLimitError) as raised:
        client.messages.create(**ask("[[sim:error:rate_limit]]"))
    assert float(raised.value.response.headers["retry-after"]) >= 1


def test_rate_limit_on_a_stream(client):
    with pytest.raises(anthropic.RateLimitError):
        client.messages.create(**ask("[[sim:error:rate_limit]]", stream=True))


def test_cut_stream_raises(client):
    with pytest.raises(anthropic.APIError):
        list(client.messages.create(**ask("[[sim:cut:4]] Tell me a long story", stream=True)))
