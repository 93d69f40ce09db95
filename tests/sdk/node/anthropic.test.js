import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import Anthropic from "@anthropic-ai/sdk";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { z } from "zod";

import { start } from "./gateway.js";
import { LONG, PNG, SCHEMA, collect, counting, failure, many, modelFor } from "./shapes.js";

const model = "anthropic/claude-sonnet-4-5";
const TOOLS = ["weather", "time"].map((name) => ({ name, input_schema: SCHEMA }));
const City = z.object({ city: z.string(), people: z.number().int() });

let gateway;
before(async () => (gateway = await start()));
after(() => gateway.stop());

const clientOf = (more = {}) =>
  new Anthropic({ baseURL: gateway.url + "/anthropic", apiKey: gateway.key, maxRetries: 0, ...more });
const oldClient = () => {
  const key = { "x-api-key": gateway.key, authorization: null };
  return clientOf({ apiKey: "unused", defaultHeaders: { "anthropic-version": "2023-06-01", ...key } });
};
const body = (content, more = {}) => ({ model: modelFor(content, model), max_tokens: 4000, messages: [{ role: "user", content }], ...more });
const ask = (client, content, more, options) => client.messages.create(body(content, more), options);

for (const [version, client] of Object.entries({ newest: () => clientOf(), "2023-06-01": oldClient })) {
  describe(`version ${version}`, () => {
    test("call", async () => {
      const answer = await ask(client(), "Say hello");
      assert.equal(answer.content[0].text, "You said: Say hello");
      assert.equal(answer.stop_reason, "end_turn");
      assert.ok(answer.usage.output_tokens > 0 && answer._request_id);
    });

    test("stream", async () => {
      const stream = client().messages.stream(body("Say hello"));
      const final = await stream.finalMessage();
      assert.equal(await stream.finalText(), "You said: Say hello");
      assert.ok(final.usage.output_tokens > 0);
    });

    test("tools, their results and the answer", async () => {
      const asked = body("[[sim:tool]] Weather in Oslo?", { tools: TOOLS });
      const first = await client().messages.create(asked);
      const call = first.content.find((block) => block.type === "tool_use");
      const content = [{ type: "tool_result", tool_use_id: call.id, content: "sunny" }];
      asked.messages.push({ role: "assistant", content: first.content }, { role: "user", content });
      assert.equal((await client().messages.create(asked)).content[0].text, "The tools said: sunny");
    });

    test("parallel tools, streamed", async () => {
      const stream = client().messages.stream(body("[[sim:parallel-tools]]", { tools: TOOLS }));
      const calls = (await stream.finalMessage()).content.filter((block) => block.type === "tool_use");
      assert.deepEqual(calls.map((call) => [call.name, !!call.input.city]), [["weather", true], ["time", true]]);
      assert.notEqual(calls[0].id, calls[1].id);
    });

    test("structured output", async () => {
      const asked = body("Where?", { output_config: { format: zodOutputFormat(City) } });
      assert.ok((await client().messages.parse(asked)).parsed_output.city);
    });

    test("thinking goes back with the tool result", async () => {
      const thinking = { type: "enabled", budget_tokens: 1024 };
      const asked = body("[[sim:tool]]", { thinking, tools: TOOLS });
      const first = await client().messages.stream(asked).finalMessage();
      assert.ok(first.content[0].type === "thinking" && first.content[0].signature);
      const content = [{ type: "tool_result", tool_use_id: first.content.at(-1).id, content: "sunny" }];
      asked.messages.push({ role: "assistant", content: first.content }, { role: "user", content });
      const second = await client().messages.create(asked);
      assert.equal(second.content.at(-1).text, "The tools said: sunny");
    });

    test("counting tokens", async () => {
      const { max_tokens: _, ...asked } = body("Say hello");
      assert.ok((await client().messages.countTokens(asked)).input_tokens > 0);
    });

    test("models", async () => {
      const names = (await collect(client().models.list())).map((m) => m.id);
      assert.ok(names.some((name) => name.startsWith("anthropic/")));
      assert.equal((await client().models.retrieve(names[0])).id, names[0]);
    });
  });
}

test("tools run by the SDK", async () => {
  const run = ({ city }) => `sunny in ${city}`;
  const tools = [{ type: "custom", name: "weather", input_schema: SCHEMA, run, parse: (input) => input }];
  const answer = await clientOf().beta.messages.toolRunner(body("[[sim:tool]]", { tools }));
  assert.equal(answer.content[0].text, "The tools said: sunny in sim city");
});

test("images", async () => {
  const source = { type: "base64", media_type: "image/png", data: PNG };
  const answer = await ask(clientOf(), [{ type: "image", source }, { type: "text", text: "What is it?" }]);
  assert.equal(answer.content[0].text, "You said: What is it?");
  assert.ok(answer.usage.input_tokens > PNG.length / 4);
});

const ERRORS = [
  ["rate_limit", Anthropic.RateLimitError, 429, "rate_limit_error"],
  ["overloaded", Anthropic.InternalServerError, 529, "overloaded_error"],
  ["context_length", Anthropic.BadRequestError, 400, "invalid_request_error"],
  ["content_policy", Anthropic.BadRequestError, 400, "invalid_request_error"],
  ["not_found", Anthropic.NotFoundError, 404, "not_found_error"],
  ["conflict", Anthropic.ConflictError, 409, "conflict_error"],
  ["too_large", Anthropic.APIError, 413, "request_too_large"],
  ["server_error", Anthropic.InternalServerError, 500, "api_error"],
  ["timeout", Anthropic.APIError, 504, "timeout_error"],
  ["permission", Anthropic.InternalServerError, 502, "api_error"],
];

for (const [name, kind, status, type] of ERRORS) {
  for (const stream of [false, true]) {
    test(`error ${name}${stream ? ", streamed" : ""}`, async () => {
      const error = await failure(ask(clientOf(), `[[sim:error:${name}]]`, { stream }), kind);
      assert.equal(error.status, status);
      assert.equal(error.error.error.type, type);
      assert.ok(error.requestID && error.headers.get("x-tollgate-call-id"));
    });
  }
}

test("context length is told in the words clients look for", async () => {
  const error = await failure(ask(clientOf(), "[[sim:error:context_length]]"), Anthropic.BadRequestError);
  assert.match(error.message, /prompt is too long/);
});

test("wrong key", async () => {
  const error = await failure(ask(clientOf({ apiKey: "sk-wrong" }), "x"), Anthropic.AuthenticationError);
  assert.ok(!error.message.includes("sk-wrong"));
});

test("a model the key may not use", async () => {
  await failure(ask(clientOf({ apiKey: gateway.limited }), "x"), Anthropic.PermissionDeniedError);
});

test("unknown provider and path", async () => {
  await failure(ask(clientOf(), "x", { model: "nobody/x" }), Anthropic.NotFoundError);
  await failure(collect(clientOf().messages.batches.list()), Anthropic.NotFoundError);
});

test("the SDK waits as long as the rate limit says", async () => {
  const fetch = counting();
  const started = performance.now();
  const client = clientOf({ maxRetries: 1, fetch });
  const error = await failure(ask(client, "[[sim:error:rate_limit]]"), Anthropic.RateLimitError);
  assert.equal(error.headers.get("retry-after"), "2");
  assert.equal(fetch.calls, 2);
  assert.ok(performance.now() - started >= 1900);
});

test("a refused request is not retried", async () => {
  const fetch = counting();
  await failure(ask(clientOf({ maxRetries: 2, fetch }), "[[sim:error:context_length]]"), Anthropic.BadRequestError);
  assert.equal(fetch.calls, 1);
});

test("timeout", async () => {
  await failure(ask(clientOf({ timeout: 300 }), "[[sim:delay:5s]]"), Anthropic.APIConnectionTimeoutError);
});

test("broken streams are told as such", async () => {
  const cut = ask(clientOf(), "[[sim:cut:4]] Tell me a story", { stream: true });
  await failure(cut.then(collect), Anthropic.APIError);
  const stream = clientOf().messages.stream(body("[[sim:error-in-stream:5:overloaded]] a long story"));
  const error = await failure(stream.finalMessage(), Anthropic.APIError);
  assert.match(error.message, /overloaded_error/);
});

test("raw responses and headers", async () => {
  const { data, response, request_id } = await ask(clientOf(), "Say hello").withResponse();
  assert.ok(data.id && request_id);
  assert.equal(response.headers.get("x-tollgate-target"), model);
  assert.ok(response.headers.get("x-tollgate-call-id"));
  assert.equal(response.headers.get("anthropic-ratelimit-requests-limit"), null);
  const raw = await ask(clientOf(), "Say hello", { stream: true }).asResponse();
  assert.match(await raw.text(), /event: message_stop/);
});

test("thirty streams at once do not mix", async () => {
  const one = (n) => clientOf().messages.stream(body(`[[sim:pace:5ms]] story ${n}`)).finalText();
  assert.deepEqual(await many(one), Array.from({ length: 30 }, (_, n) => `You said: story ${n}`));
});

test("a stream left in the middle harms nothing", async () => {
  const started = performance.now();
  const client = clientOf();
  const stream = client.messages.stream(body(LONG));
  let seen = 0;
  for await (const _ of stream) if (++seen === 4) break;
  assert.ok((await ask(client, "Say hello")).id);
  assert.ok(performance.now() - started < 4000);
});

test("two lines in the environment are enough", async () => {
  process.env.ANTHROPIC_BASE_URL = gateway.url + "/anthropic";
  process.env.ANTHROPIC_API_KEY = gateway.key;
  assert.ok((await ask(new Anthropic(), "Say hello")).id);
});
