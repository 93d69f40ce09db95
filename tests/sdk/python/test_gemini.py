import pytest
from google import genai
from google.genai import errors, types

MODEL = "gemini/gemini-2.5-flash"


def client_of(gateway, key, **more):
    options = types.HttpOptions(base_url=gateway.url + "/gemini", **more)
    return genai.Client(api_key=key, http_options=options)


@pytest.fixture(params=[None, "v1beta", "v1"])
def client(gateway, request):
    more = {"api_version": request.param} if request.param else {}
    return client_of(gateway, gateway.key, **more)


def test_call(client):
    answer = client.models.generate_content(model=MODEL, contents="Say hello")
    assert answer.text and answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert answer.usage_metadata.total_token_count > 0


def test_stream(client):
    chunks = list(client.models.generate_content_stream(model=MODEL, contents="Say hello"))
    assert "".join(chunk.text or "" for chunk in chunks)
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP


def test_tools(client):
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    declaration = types.FunctionDeclaration(name="weather", parameters_json_schema=schema)
    config = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=[declaration])],
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    answer = client.models.generate_content(
        model=MODEL, contents="[[sim:tool]] Weather in Oslo?", config=config
    )
    assert answer.function_calls[0].name == "weather"
    assert "city" in answer.function_calls[0].args


def test_embeddings(client):
    answer = client.models.embed_content(model="gemini/gemini-embedding-001", contents=["a", "b"])
    assert len(answer.embeddings) == 2


def test_count_tokens(client):
    assert client.models.count_tokens(model=MODEL, contents="Say hello").total_tokens > 0


def test_models(client):
    names = [model.name for model in client.models.list()]
    assert any("gemini/" in name for name in names)


def test_wrong_key(gateway):
    client = client_of(gateway, "wrong")
    with pytest.raises(errors.ClientError) as raised:
        client.models.generate_content(model=MODEL, contents="Say hello")
    assert raised.value.code == 401 and raised.value.status == "UNAUTHENTICATED"


def test_rate_limit(client):
    with pytest.raises(errors.ClientError) as raised:
        client.models.generate_content(model=MODEL, contents="[[sim:error:rate_limit]]")
    assert raised.value.code == 429 and raised.value.status == "RESOURCE_EXHAUSTED"


def test_rate_limit_on_a_stream(client):
    with pytest.raises(errors.ClientError) as raised:
        list(
            client.models.generate_content_stream(
                model=MODEL, contents="[[sim:error:rate_limit]]"
            )
        )
    assert raised.value.code == 429


def test_cut_stream_raises(client):
    stream = client.models.generate_content_stream(
        model=MODEL, contents="[[sim:cut:2]] Tell me a long story"
    )
    with pytest.raises(errors.APIError):
        list(stream)
