import openai
import pytest


@pytest.fixture()
def client(gateway):
    return openai.OpenAI(base_url=gateway.url + "/v1", api_key=gateway.key, max_retries=0)


QUESTION = [{"role": "user", "content": "Say hello"}]


def test_chat_call(client):
    answer = client.chat.completions.create(model="openai/gpt-5", messages=QUESTION)
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer._request_id


def test_chat_stream(client):
    stream = client.chat.completions.create(model="openai/gpt-5", messages=QUESTION, stream=True)
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(c.usage is None for c in chunks), "nobody asked for usage"


def test_chat_stream_with_usage(client):
    stream = client.chat.completions.create(
        model="openai/gpt-5",
        messages=QUESTION,
        stream=True,
        stream_options={"include_usage": True},
    )
    assert list(stream)[-1].usage.total_tokens > 0


def test_responses_call(client):
    answer = client.responses.create(model="openai/gpt-5", input="Say hello")
    assert answer.status == "completed" and answer.output_text


def test_responses_stream(client):
    with client.responses.stream(model="openai/gpt-5", input="Say hello") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed"
    assert final.output_text


def test_tools(client):
    tool = {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
    ask = [{"role": "user", "content": "[[sim:tool]] Weather in Oslo?"}]
    first = client.chat.completions.create(model="openai/gpt-5", messages=ask, tools=[tool])
    call = first.choices[0].message.tool_calls[0]
    assert first.choices[0].finish_reason == "tool_calls" and call.function.name == "weather"
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    follow = [*ask, first.choices[0].message, result]
    second = client.chat.completions.create(model="openai/gpt-5", messages=follow, tools=[tool])
    assert second.choices[0].message.content


def test_embeddings(client):
    answer = client.embeddings.create(model="openai/text-embedding-3-small", input=["a", "b"])
    assert [d.index for d in answer.data] == [0, 1]
    assert all(isinstance(x, float) for x in answer.data[0].embedding)


def test_models(client):
    names = [model.id for model in client.models.list()]
    assert any(name.startswith("openai/") for name in names)
    assert client.models.retrieve(names[0]).id == names[0]


def test_wrong_key(gateway):
    client = openai.OpenAI(base_url=gateway.url + "/v1", api_key="sk-wrong", max_retries=0)
    with pytest.raises(openai.AuthenticationError) as raised:
        client.chat.completions.create(model="openai/gpt-5", messages=QUESTION)
    assert "sk-wrong" not in str(raised.value)


def test_rate_limit(client):
    ask = [{"role": "user", "content": "[[sim:error:rate_limit]]"}]
    with pytest.raises(openai.RateLimitError) as raised:
        client.chat.completions.create(model="openai/gpt-5", messages=ask)
    assert float(raised.value.response.headers["retry-after"]) >= 1


def test_rate_limit_on_a_stream(client):
    with pytest.raises(openai.RateLimitError):
        client.responses.create(
            model="openai/gpt-5", input="[[sim:error:rate_limit]]", stream=True
        )


def test_cut_stream_raises(client):
    ask = [{"role": "user", "content": "[[sim:cut:3]] Tell me a long story"}]
    stream = client.chat.completions.create(model="openai/gpt-5", messages=ask, stream=True)
    with pytest.raises(openai.APIError):
        list(stream)


def test_unknown_provider(client):
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="nobody/x", messages=QUESTION)
