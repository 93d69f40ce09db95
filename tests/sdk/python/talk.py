"""A conversation in no protocol's words: what the matrix says to every client."""

from dataclasses import dataclass, field

# What a tool takes; `ping` takes nothing.
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
NOTHING = {"type": "object", "properties": {}}
PARAMETERS = {"ping": NOTHING}

PLACE = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["city", "people"],
    "additionalProperties": False,
}


def parameters(tool):
    return PARAMETERS.get(tool, CITY)


@dataclass
class User:
    text: str
    image: bool = False


@dataclass
class Call:
    id: str | None
    name: str
    arguments: dict


@dataclass
class Results:
    """What the tools said to each of the calls."""

    of: list[tuple[Call, str]]


@dataclass
class Usage:
    """Inclusive numbers: input holds what was cached, output what was thought."""

    input: int
    output: int
    cached: int = 0
    reasoning: int = 0


@dataclass
class Answer:
    text: str
    stop: str
    usage: Usage
    calls: list[Call] = field(default_factory=list)
    thoughts: str = ""
    # What goes back into the conversation.
    turn: object = None


@dataclass
class Options:
    system: str | None = None
    tools: tuple = ()
    force: str | None = None
    # Only what every client knows of an answer goes back.
    plain: bool = False
    schema: bool = False
    temperature: float | None = None
    top_p: float | None = None
    limit: int | None = None
    stop: tuple = ()
    think: bool = False
