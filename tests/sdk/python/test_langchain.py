"""LangChain's three chat models on every upstream."""

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from results import TABLE, note

UPSTREAMS = TABLE["upstreams"]


class Place(BaseModel):
    """Where it is."""

    city: str
    people: int


@tool
def weather(city: str) -> str:
    """Says what the weather is in a city."""
    return f"sunny in {city}"


def openai(gateway, model, **more):
    return ChatOpenAI(model=model, base_url=gateway.url + "/openai/v1", api_key=gateway.key, **more)


def openai_responses(gateway, model):
    return openai(gateway, model, use_responses_api=True)


def anthropic(gateway, model):
    base = gateway.url + "/anthropic"
    return ChatAnthropic(model=model, base_url=base, api_key=gateway.key, max_tokens=4000)


def gemini(gateway, model):
    base = gateway.url + "/gemini"
    return ChatGoogleGenerativeAI(model=model, base_url=base, google_api_key=gateway.key)


MODELS = {
    "ChatOpenAI": openai,
    "ChatOpenAI with Responses": openai_responses,
    "ChatAnthropic": anthropic,
    "ChatGoogleGenerativeAI": gemini,
}


def call(llm):
    answer = llm.invoke("Say hello")
    assert answer.text == "You said: Say hello" and answer.usage_metadata["input_tokens"] > 0


def stream(llm):
    assert "".join(chunk.text for chunk in llm.stream("Say hello")) == "You said: Say hello"


def tools(llm):
    turns = [HumanMessage("[[sim:tool]] Weather?")]
    able = llm.bind_tools([weather])
    turns.append(able.invoke(turns))
    for asked in turns[-1].tool_calls:
        turns.append(ToolMessage(weather.invoke(asked["args"]), tool_call_id=asked["id"]))
    assert "sunny in sim city" in able.invoke(turns).text


def structured(llm):
    assert isinstance(llm.with_structured_output(Place).invoke("Where?"), Place)


@pytest.mark.parametrize("feature", [call, stream, tools, structured], ids=lambda f: f.__name__)
@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("model", MODELS)
def test_langchain(strict, model, upstream, feature):
    with note("LangChain", model, upstream, feature.__name__, "json"):
        feature(MODELS[model](strict, UPSTREAMS[upstream]["model"]))
