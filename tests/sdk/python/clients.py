"""The official SDKs, each asked the same things: one class a client protocol."""

import json

import anthropic
import openai
from google import genai
from google.genai import errors, types

from shapes import PNG, PNG_BYTES
from talk import PLACE, Answer, Call, Options, Results, Usage, User, parameters

DATA_URL = "data:image/png;base64," + PNG


def given(**members):
    """Those that are not None."""
    return {key: value for key, value in members.items() if value is not None}


class Chat:
    protocol = "openai-chat"
    cannot = set()

    # Class of failure: the SDK's exception, status and code.
    failures = {
        "rate_limit": (openai.RateLimitError, 429, "rate_limit_exceeded"),
        "overloaded": (openai.InternalServerError, 503, "server_is_overloaded"),
        "context_length": (openai.BadRequestError, 400, "context_length_exceeded"),
        "invalid_request": (openai.BadRequestError, 400, None),
        "not_found": (openai.NotFoundError, 404, "model_not_found"),
        "server_error": (openai.InternalServerError, 500, None),
        "timeout": (openai.InternalServerError, 504, None),
        "auth": (openai.InternalServerError, 502, "upstream_auth"),
        "permission": (openai.InternalServerError, 502, "upstream_auth"),
        "quota": (openai.InternalServerError, 503, "upstream_quota"),
    }
    wrong_key = (openai.AuthenticationError, 401, "invalid_api_key")
    broken = openai.APIError

    def __init__(self, gateway, key=None):
        base = gateway.url + "/openai/v1"
        self.sdk = openai.OpenAI(base_url=base, api_key=key or gateway.key, max_retries=0)

    def ask(self, model, turns, options=Options(), stream=False):
        body = dict(model=model, messages=self.messages(turns, options), **self.wishes(options))
        if not stream:
            return self.answer(self.sdk.chat.completions.create(**body), options)
        body["stream_options"] = {"include_usage": True}
        try:
            with self.sdk.chat.completions.stream(**body) as events:
                return self.answer(events.get_final_completion(), options)
        except openai.LengthFinishReasonError as cut:
            return self.answer(cut.completion, options)
        except openai.ContentFilterFinishReasonError:
            return Answer("", "refusal", Usage(1, 1))

    def plainly(self, model, text, stream):
        body = dict(model=model, messages=[{"role": "user", "content": text}], stream=stream)
        answer = self.sdk.chat.completions.create(**body)
        return list(answer) if stream else answer

    def messages(self, turns, options):
        start = [{"role": "system", "content": options.system}] if options.system else []
        return start + [message for turn in turns for message in self.of(turn)]

    def of(self, turn):
        match turn:
            case User(text, False):
                return [{"role": "user", "content": text}]
            case User(text, True):
                image = {"type": "image_url", "image_url": {"url": DATA_URL}}
                return [{"role": "user", "content": [{"type": "text", "text": text}, image]}]
            case Results(of):
                return [{"role": "tool", "tool_call_id": c.id, "content": said} for c, said in of]
            case Answer():
                return [turn.turn]

    def wishes(self, options):
        function = lambda n: {"name": n, "description": n, "parameters": parameters(n)}
        tools = [{"type": "function", "function": function(name)} for name in options.tools]
        force = {"type": "function", "function": {"name": options.force}}
        schema = {"name": "place", "strict": True, "schema": PLACE}
        return given(
            tools=tools or None,
            tool_choice=force if options.force else None,
            response_format={"type": "json_schema", "json_schema": schema} if options.schema else None,
            temperature=options.temperature,
            top_p=options.top_p,
            max_completion_tokens=options.limit,
            stop=list(options.stop) or None,
            reasoning_effort="low" if options.think else None,
        )

    def answer(self, said, options):
        choice, usage = said.choices[0], said.usage
        message = choice.message
        calls = message.tool_calls or []
        stop = {"stop": "stop", "length": "length", "tool_calls": "tools"}.get(choice.finish_reason)
        stop = "refusal" if message.refusal or choice.finish_reason == "content_filter" else stop
        turn = message.to_dict(exclude_none=True) | {"content": message.content}
        turn.pop("parsed", None)  # What the SDK adds to what came.
        for call in turn.get("tool_calls", []):
            call.pop("index", None)
            call["function"].pop("parsed_arguments", None)
        if options.plain:
            functions = [
                {"id": c.id, "type": "function", "function": {"name": c.function.name, "arguments": c.function.arguments}}
                for c in calls
            ]
            turn = given(role="assistant", content=message.content, tool_calls=functions or None)
        return Answer(
            text=message.content or "",
            stop=stop,
            usage=Usage(
                usage.prompt_tokens,
                usage.completion_tokens,
                (usage.prompt_tokens_details and usage.prompt_tokens_details.cached_tokens) or 0,
                (usage.completion_tokens_details and usage.completion_tokens_details.reasoning_tokens) or 0,
            ),
            calls=[Call(c.id, c.function.name, json.loads(c.function.arguments)) for c in calls],
            thoughts=getattr(message, "reasoning_content", None) or "",
            turn=turn,
        )

    def embed(self, model, texts):
        return [d.embedding for d in self.sdk.embeddings.create(model=model, input=texts).data]

    def models(self):
        return [model.id for model in self.sdk.models.list()]

    def failed(self, error):
        """Status, code and what the client is told of waiting and of the request's id."""
        after = error.response.headers.get("retry-after")
        return error.status_code, error.code, after and float(after), error.request_id


class Responses(Chat):
    protocol = "openai-responses"
    cannot = {"stop sequence"}

    def ask(self, model, turns, options=Options(), stream=False):
        items = [item for turn in turns for item in self.of(turn)]
        body = dict(model=model, input=items, **self.wishes(options))
        if not stream:
            return self.answer(self.sdk.responses.create(**body), options)
        with self.sdk.responses.stream(**body) as events:
            kinds = list(events)
            assert [e.sequence_number for e in kinds] == list(range(len(kinds)))
            return self.answer(kinds[-1].response, options)

    def plainly(self, model, text, stream):
        answer = self.sdk.responses.create(model=model, input=text, stream=stream)
        if not stream:
            return answer
        last = list(answer)[-1]
        if last.type == "response.failed":  # The SDK hands it over and raises nothing.
            raise openai.APIError(last.response.error.message, None, body=None)
        return last

    def of(self, turn):
        match turn:
            case User(text, False):
                return [{"role": "user", "content": text}]
            case User(text, True):
                image = {"type": "input_image", "image_url": DATA_URL, "detail": "auto"}
                return [{"role": "user", "content": [{"type": "input_text", "text": text}, image]}]
            case Results(of):
                kind = "function_call_output"
                return [{"type": kind, "call_id": c.id, "output": said} for c, said in of]
            case Answer():
                return turn.turn

    def wishes(self, options):
        tools = [
            {"type": "function", "name": n, "parameters": parameters(n), "strict": False}
            for n in options.tools
        ]
        form = {"type": "json_schema", "name": "place", "strict": True, "schema": PLACE}
        think = {"effort": "low", "summary": "auto"}
        return given(
            instructions=options.system,
            tools=tools or None,
            tool_choice={"type": "function", "name": options.force} if options.force else None,
            text={"format": form} if options.schema else None,
            temperature=options.temperature,
            top_p=options.top_p,
            max_output_tokens=options.limit,
            reasoning=think if options.think else None,
            include=["reasoning.encrypted_content"] if options.think else None,
            store=False,
        )

    def answer(self, said, options):
        items = [item for item in said.output if item.type == "function_call"]
        parts = [p for item in said.output if item.type == "message" for p in item.content]
        summaries = [s.text for i in said.output if i.type == "reasoning" for s in i.summary]
        turn = said.output
        if options.plain:
            turn = [
                {"type": "function_call", "call_id": i.call_id, "name": i.name, "arguments": i.arguments}
                for i in items
            ] or [{"role": "assistant", "content": said.output_text}]
        return Answer(
            text=said.output_text,
            stop=self.stop(said, items, parts),
            usage=Usage(
                said.usage.input_tokens,
                said.usage.output_tokens,
                said.usage.input_tokens_details.cached_tokens,
                said.usage.output_tokens_details.reasoning_tokens,
            ),
            calls=[Call(i.call_id, i.name, json.loads(i.arguments)) for i in items],
            thoughts="".join(summaries),
            turn=turn,
        )

    def stop(self, said, calls, parts):
        if said.incomplete_details:
            reasons = {"max_output_tokens": "length", "content_filter": "refusal"}
            return reasons[said.incomplete_details.reason]
        if any(part.type == "refusal" for part in parts):
            return "refusal"
        return "tools" if calls else "stop"

    def count(self, model, text):
        return self.sdk.responses.input_tokens.count(model=model, input=text).input_tokens

    embed = None


class Messages:
    protocol = "anthropic-messages"
    # The SDK's API version takes no sampling parameters.
    cannot = {"sampling"}

    failures = {
        "rate_limit": (anthropic.RateLimitError, 429, "rate_limit_error"),
        "overloaded": (anthropic.OverloadedError, 529, "overloaded_error"),
        "context_length": (anthropic.BadRequestError, 400, "invalid_request_error"),
        "invalid_request": (anthropic.BadRequestError, 400, "invalid_request_error"),
        "not_found": (anthropic.NotFoundError, 404, "not_found_error"),
        "server_error": (anthropic.InternalServerError, 500, "api_error"),
        "timeout": (anthropic.DeadlineExceededError, 504, "timeout_error"),
        "auth": (anthropic.InternalServerError, 502, "api_error"),
        "permission": (anthropic.InternalServerError, 502, "api_error"),
        "quota": (anthropic.APIStatusError, 503, "api_error"),
    }
    wrong_key = (anthropic.AuthenticationError, 401, "authentication_error")
    broken = anthropic.APIError

    def __init__(self, gateway, key=None):
        base = gateway.url + "/anthropic"
        self.sdk = anthropic.Anthropic(base_url=base, api_key=key or gateway.key, max_retries=0)

    def ask(self, model, turns, options=Options(), stream=False):
        messages = [self.of(turn) for turn in turns]
        body = dict(model=model, messages=messages, **self.wishes(options))
        if not stream:
            return self.answer(self.sdk.messages.create(**body), options)
        with self.sdk.messages.stream(**body) as events:
            return self.answer(events.get_final_message(), options)

    def plainly(self, model, text, stream):
        messages = [{"role": "user", "content": text}]
        answer = self.sdk.messages.create(
            model=model, max_tokens=1000, messages=messages, stream=stream
        )
        return list(answer) if stream else answer

    def of(self, turn):
        match turn:
            case User(text, False):
                return {"role": "user", "content": text}
            case User(text, True):
                source = {"type": "base64", "media_type": "image/png", "data": PNG}
                image = {"type": "image", "source": source}
                return {"role": "user", "content": [image, {"type": "text", "text": text}]}
            case Results(of):
                kind = "tool_result"
                blocks = [{"type": kind, "tool_use_id": c.id, "content": said} for c, said in of]
                return {"role": "user", "content": blocks}
            case Answer():
                return {"role": "assistant", "content": turn.turn}

    def wishes(self, options):
        tools = [{"name": n, "input_schema": parameters(n)} for n in options.tools]
        form = {"format": {"type": "json_schema", "schema": PLACE}}
        return given(
            max_tokens=options.limit or 4000,
            system=options.system,
            tools=tools or None,
            tool_choice={"type": "tool", "name": options.force} if options.force else None,
            output_config=form if options.schema else None,
            stop_sequences=list(options.stop) or None,
            thinking={"type": "enabled", "budget_tokens": 1024} if options.think else None,
        )

    def answer(self, said, options):
        calls = [block for block in said.content if block.type == "tool_use"]
        texts = [block.text for block in said.content if block.type == "text"]
        thoughts = [block.thinking for block in said.content if block.type == "thinking"]
        stops = {
            "end_turn": "stop",
            "max_tokens": "length",
            "tool_use": "tools",
            "stop_sequence": "sequence",
        }
        turn = said.content
        if options.plain:
            members = {"text": ("text",), "tool_use": ("id", "name", "input")}
            known = [block for block in said.content if block.type in members]
            turn = [
                {"type": b.type, **{m: getattr(b, m) for m in members[b.type]}} for b in known
            ]
        usage = said.usage
        cached = usage.cache_read_input_tokens or 0
        details = getattr(usage, "output_tokens_details", None)
        return Answer(
            text="".join(texts),
            stop=stops.get(said.stop_reason, said.stop_reason),
            usage=Usage(
                usage.input_tokens + cached + (usage.cache_creation_input_tokens or 0),
                usage.output_tokens,
                cached,
                (details and details.thinking_tokens) or 0,
            ),
            calls=[Call(block.id, block.name, block.input) for block in calls],
            thoughts="".join(thoughts),
            turn=turn,
        )

    embed = None

    def models(self):
        return [model.id for model in self.sdk.models.list()]

    def count(self, model, text):
        messages = [{"role": "user", "content": text}]
        return self.sdk.messages.count_tokens(model=model, messages=messages).input_tokens

    def failed(self, error):
        after = error.response.headers.get("retry-after")
        kind = error.body["error"]["type"]
        return error.status_code, kind, after and float(after), error.request_id


class Gemini:
    protocol = "gemini"
    cannot = set()

    failures = {
        "rate_limit": (errors.ClientError, 429, "RESOURCE_EXHAUSTED"),
        "overloaded": (errors.ServerError, 503, "UNAVAILABLE"),
        "context_length": (errors.ClientError, 400, "INVALID_ARGUMENT"),
        "invalid_request": (errors.ClientError, 400, "INVALID_ARGUMENT"),
        "not_found": (errors.ClientError, 404, "NOT_FOUND"),
        "server_error": (errors.ServerError, 500, "INTERNAL"),
        "timeout": (errors.ServerError, 504, "DEADLINE_EXCEEDED"),
        "auth": (errors.ServerError, 502, None),
        "permission": (errors.ServerError, 502, None),
        "quota": (errors.ServerError, 503, None),
    }
    wrong_key = (errors.ClientError, 401, "UNAUTHENTICATED")
    broken = errors.APIError

    def __init__(self, gateway, key=None):
        options = types.HttpOptions(base_url=gateway.url + "/gemini")
        self.sdk = genai.Client(api_key=key or gateway.key, http_options=options)

    def ask(self, model, turns, options=Options(), stream=False):
        contents = [self.of(turn) for turn in turns]
        body = dict(model=model, contents=contents, config=self.wishes(options))
        if not stream:
            return self.answer([self.sdk.models.generate_content(**body)], options)
        return self.answer(list(self.sdk.models.generate_content_stream(**body)), options)

    def plainly(self, model, text, stream):
        if not stream:
            return self.sdk.models.generate_content(model=model, contents=text)
        return list(self.sdk.models.generate_content_stream(model=model, contents=text))

    def of(self, turn):
        match turn:
            case User(text, image):
                parts = [types.Part(text=text)]
                parts += [types.Part.from_bytes(data=PNG_BYTES, mime_type="image/png")] * image
                return types.Content(role="user", parts=parts)
            case Results(of):
                return types.Content(role="user", parts=[self.result(*one) for one in of])
            case Answer():
                return turn.turn

    def result(self, call, said):
        response = types.FunctionResponse(id=call.id, name=call.name, response={"output": said})
        return types.Part(function_response=response)

    def wishes(self, options):
        declared = [
            types.FunctionDeclaration(name=n, description=n, parameters_json_schema=parameters(n))
            for n in options.tools
        ]
        thinking = types.ThinkingConfig(include_thoughts=True, thinking_level="LOW")
        calling = types.FunctionCallingConfig(mode="ANY", allowed_function_names=[options.force or ""])
        return types.GenerateContentConfig(
            system_instruction=options.system,
            tools=[types.Tool(function_declarations=declared)] if declared else None,
            tool_config=types.ToolConfig(function_calling_config=calling) if options.force else None,
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
            response_mime_type="application/json" if options.schema else None,
            response_json_schema=PLACE if options.schema else None,
            temperature=options.temperature,
            top_p=options.top_p,
            max_output_tokens=options.limit,
            stop_sequences=list(options.stop) or None,
            thinking_config=thinking if options.think else None,
        )

    def answer(self, chunks, options):
        candidates = [chunk.candidates[0] for chunk in chunks if chunk.candidates]
        parts = [p for c in candidates if c.content for p in c.content.parts or []]
        calls = [part.function_call for part in parts if part.function_call]
        texts = [part.text for part in parts if part.text and not part.thought]
        finish = [c.finish_reason for c in candidates if c.finish_reason][-1].value
        usage = [chunk.usage_metadata for chunk in chunks if chunk.usage_metadata][-1]
        stops = {"STOP": "tools" if calls else "stop", "MAX_TOKENS": "length", "SAFETY": "refusal"}
        thinking = usage.thoughts_token_count or 0
        return Answer(
            text="".join(texts),
            stop=stops.get(finish, finish),
            usage=Usage(
                usage.prompt_token_count,
                (usage.candidates_token_count or 0) + thinking,
                usage.cached_content_token_count or 0,
                thinking,
            ),
            calls=[Call(call.id, call.name, call.args or {}) for call in calls],
            thoughts="".join(part.text or "" for part in parts if part.thought),
            turn=types.Content(role="model", parts=self.back(parts, options)),
        )

    def back(self, parts, options):
        if not options.plain:
            return [p for p in parts if p.text != "" or p.thought_signature]
        known = [p for p in parts if not p.thought and (p.text or p.function_call)]
        return [types.Part(text=p.text, function_call=p.function_call) for p in known]

    def embed(self, model, texts):
        answer = self.sdk.models.embed_content(model=model, contents=texts)
        return [embedding.values for embedding in answer.embeddings]

    def models(self):
        return [model.name for model in self.sdk.models.list()]

    def count(self, model, text):
        return self.sdk.models.count_tokens(model=model, contents=text).total_tokens

    def failed(self, error):
        details = error.details["error"].get("details") or []
        after = [d["retryDelay"] for d in details if "retryDelay" in d]
        id = error.response.headers.get("x-tollgate-call-id")
        return error.code, error.status, after and float(after[0].rstrip("s")), id


CLIENTS = [Chat, Responses, Messages, Gemini]
