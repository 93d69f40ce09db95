"""pydantic-ai's models on every upstream."""

import asyncio

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider

from results import TABLE, note

UPSTREAMS = TABLE["upstreams"]


class Place(BaseModel):
    city: str
    people: int


def openai(kind):
    def made(gateway, name):
        base = gateway.url + "/openai/v1"
        return kind(name, provider=OpenAIProvider(base_url=base, api_key=gateway.key))

    return made


def anthropic(gateway, name):
    base = gateway.url + "/anthropic"
    return AnthropicModel(name, provider=AnthropicProvider(base_url=base, api_key=gateway.key))


def gemini(gateway, name):
    base = gateway.url + "/gemini"
    return GoogleModel(name, provider=GoogleProvider(base_url=base, api_key=gateway.key))


MODELS = {
    "OpenAIChatModel": openai(OpenAIChatModel),
    "OpenAIResponsesModel": openai(OpenAIResponsesModel),
    "AnthropicModel": anthropic,
    "GoogleModel": gemini,
}


async def call(model):
    answer = await Agent(model).run("Say hello")
    assert answer.output == "You said: Say hello"


async def stream(model):
    async with Agent(model).run_stream("Say hello") as answer:
        assert await answer.get_output() == "You said: Say hello"


async def tools(model):
    agent = Agent(model)

    @agent.tool_plain
    def weather(city: str) -> str:
        """Says what the weather is in a city."""
        return f"sunny in {city}"

    assert "sunny in sim city" in (await agent.run("[[sim:steps:2]] Weather?")).output


async def structured(model):
    assert isinstance((await Agent(model, output_type=Place).run("Where?")).output, Place)


@pytest.mark.parametrize("feature", [call, stream, tools, structured], ids=lambda f: f.__name__)
@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("model", MODELS)
def test_pydantic_ai(strict, model, upstream, feature):
    with note("pydantic-ai", model, upstream, feature.__name__, "json"):
        asyncio.run(feature(MODELS[model](strict, UPSTREAMS[upstream]["model"])))
