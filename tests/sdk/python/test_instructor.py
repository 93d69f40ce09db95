"""instructor around each official SDK on every upstream."""

import anthropic
import instructor
import openai
import pytest
from google import genai
from google.genai import types
from pydantic import BaseModel

from results import TABLE, note

UPSTREAMS = TABLE["upstreams"]


class Place(BaseModel):
    city: str
    people: int


def of_openai(gateway):
    return instructor.from_openai(
        openai.OpenAI(base_url=gateway.url + "/openai/v1", api_key=gateway.key)
    )


def of_anthropic(gateway):
    base = gateway.url + "/anthropic"
    return instructor.from_anthropic(anthropic.Anthropic(base_url=base, api_key=gateway.key))


def of_gemini(gateway):
    options = types.HttpOptions(base_url=gateway.url + "/gemini")
    client = genai.Client(api_key=gateway.key, http_options=options)
    return instructor.from_genai(client, mode=instructor.Mode.GENAI_TOOLS)


SDKS = {"openai": of_openai, "anthropic": of_anthropic, "google-genai": of_gemini}


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("sdk", SDKS)
def test_instructor(strict, sdk, upstream):
    with note("instructor", sdk, upstream, "structured", "json"):
        more = {"max_tokens": 4000} if sdk == "anthropic" else {}
        messages = [{"role": "user", "content": "Where?"}]
        model = UPSTREAMS[upstream]["model"]
        client = SDKS[sdk](strict).chat.completions
        place = client.create(model=model, messages=messages, response_model=Place, **more)
        assert isinstance(place, Place)
