"""What several test files ask with."""

import asyncio
import base64
import itertools

# One red pixel.
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP4z8AAAAMBAQD3A0FDAAAAAElFTkSuQmCC"
)
PNG_BYTES = base64.b64decode(PNG)

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}

LONG = "[[sim:events:400]][[sim:pace:20ms]] Tell me a long story"


NUMBERS = itertools.count()


def model_for(text, usual):
    """A model of its own for what fails: the gateway sets aside what failed."""
    fails = any(mark in str(text) for mark in ("sim:error", "sim:cut", "sim:garbage", "sim:delay"))
    return f"{usual.split('/')[0]}/fault-{next(NUMBERS)}" if fails else usual


def together(ask, n=30):
    """Runs `ask(0)` … `ask(n - 1)` at the same time."""

    async def all_of_them():
        return await asyncio.gather(*(ask(i) for i in range(n)))

    return asyncio.run(all_of_them())
