import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

import { start } from "./gateway.js";
import { LONG, PNG, SCHEMA, collect, counting, failure, many, modelFor } from "./shapes.js";

const model = "openai/gpt-5";
const TOOLS = ["weather", "time"].map((name) => ({ type: "function", function: { name, parameters: SCHEMA } }));
const FLAT_TOOLS = TOOLS.map((tool) => ({ type: "function", strict: true, ...tool.function }));
const City = z.object({ city: z.string(), people: z.number().int() });

let gateway;
before(async () => (gateway = await start()));
after(() => gateway.stop());

const clientOf = (more = {}) =>
  new OpenAI({ baseURL: gateway.url + "/openai/v1", apiKey: gateway.key, maxRetries: 0, ...more });

const chat = (client, content, more = {}, options) =>
  client.chat.completions.create({ model: modelFor(content, model), messages: [{ role: "user", content }], ...more }, options);
const responses = (client, input, more = {}, options) => client.responses.create({ model: modelFor(input, model), input, ...more }, options);

test("chat call", async () => {
  const answer = await chat(clientOf(), "Say hello");
  assert.equal(answer.choices[0].message.content, "You said: Say hello");
  assert.equal(answer.choices[0].finish_reason, "stop");
  assert.ok(answer.usage.total_tokens > 0 && answer._request_id);
});

test("chat stream, with usage only if asked for", async () => {
  const text = (chunks) => chunks.map((c) => c.choices[0]?.delta.content ?? "").join("");
  const plain = await collect(await chat(clientOf(), "Say hello", { stream: true }));
  assert.equal(text(plain), "You said: Say hello");
  assert.ok(plain.every((chunk) => !chunk.usage));
  const options = { include_usage: true };
  const counted = await collect(await chat(clientOf(), "Say hello", { stream: true, stream_options: options }));
  assert.ok(counted.at(-1).usage.total_tokens > 0);
});

test("responses call", async () => {
  const answer = await responses(clientOf(), "Say hello");
  assert.equal(answer.status, "completed");
  assert.equal(answer.output_text, "You said: Say hello");
});

test("responses stream", async () => {
  const stream = clientOf().responses.stream({ model, input: "Say hello" });
  const events = await collect(stream);
  assert.equal(events[0].type, "response.created");
  assert.equal(events.at(-1).type, "response.completed");
  assert.deepEqual(events.map((event) => event.sequence_number), [...events.keys()]);
  assert.equal((await stream.finalResponse()).output_text, "You said: Say hello");
});

test("tools, their results and the answer", async () => {
  const client = clientOf();
  const asked = [{ role: "user", content: "[[sim:tool]] Weather in Oslo?" }];
  const first = await client.chat.completions.create({ model, messages: asked, tools: TOOLS });
  const message = first.choices[0].message;
  const result = { role: "tool", tool_call_id: message.tool_calls[0].id, content: "sunny" };
  const messages = [...asked, message, result];
  const second = await client.chat.completions.create({ model, messages, tools: TOOLS });
  assert.equal(second.choices[0].message.content, "The tools said: sunny");
});

test("responses tools, their results and the answer", async () => {
  const client = clientOf();
  const asked = [{ role: "user", content: "[[sim:tool]] Weather in Oslo?" }];
  const first = await client.responses.create({ model, input: asked, tools: FLAT_TOOLS });
  const call = first.output.find((item) => item.type === "function_call");
  const result = { type: "function_call_output", call_id: call.call_id, output: "sunny" };
  const second = await client.responses.create({ model, input: [...asked, ...first.output, result], tools: FLAT_TOOLS });
  assert.equal(second.output_text, "The tools said: sunny");
});

test("parallel tools", async () => {
  const answer = await chat(clientOf(), "[[sim:parallel-tools]]", { tools: TOOLS });
  const calls = answer.choices[0].message.tool_calls;
  assert.deepEqual(calls.map((call) => call.function.name), ["weather", "time"]);
  assert.notEqual(calls[0].id, calls[1].id);
});

test("streamed tools, run by the SDK", async () => {
  const tool = (name) => ({
    type: "function",
    function: { name, parameters: SCHEMA, parse: JSON.parse, function: ({ city }) => `sunny in ${city}` },
  });
  const messages = [{ role: "user", content: "[[sim:parallel-tools]]" }];
  const tools = [tool("weather"), tool("time")];
  const runner = clientOf().chat.completions.runTools({ model, messages, tools, stream: true });
  assert.equal(await runner.finalContent(), "The tools said: sunny in sim city; sunny in sim city");
});

test("responses streamed tools", async () => {
  const stream = clientOf().responses.stream({ model, input: "[[sim:parallel-tools]]", tools: FLAT_TOOLS });
  const calls = (await stream.finalResponse()).output.filter((item) => item.type === "function_call");
  assert.equal(calls.length, 2);
  assert.ok(calls.every((call) => JSON.parse(call.arguments).city));
});

test("structured output", async () => {
  const client = clientOf();
  const asked = { model, messages: [{ role: "user", content: "Where?" }] };
  const answer = await client.chat.completions.parse({ ...asked, response_format: zodResponseFormat(City, "city") });
  assert.ok(answer.choices[0].message.parsed.city);
  const stream = client.chat.completions.stream({ ...asked, response_format: zodResponseFormat(City, "city") });
  assert.ok((await stream.finalChatCompletion()).choices[0].message.parsed.city);
  const other = await client.responses.parse({ model, input: "Where?", text: { format: zodTextFormat(City, "city") } });
  assert.ok(other.output_parsed.city);
});

test("embeddings, as floats and in base64", async () => {
  const asked = { model: "openai/text-embedding-3-small", input: ["a", "b"] };
  const client = clientOf();
  const usual = (await client.embeddings.create(asked)).data;
  const floats = (await client.embeddings.create({ ...asked, encoding_format: "float" })).data[0].embedding;
  const packed = (await client.embeddings.create({ ...asked, encoding_format: "base64" })).data[0].embedding;
  const raw = Buffer.from(packed, "base64");
  const unpacked = Array.from({ length: raw.length / 4 }, (_, n) => raw.readFloatLE(4 * n));
  assert.deepEqual(usual.map((d) => d.index), [0, 1]);
  for (const vector of [unpacked, usual[0].embedding]) {
    assert.equal(vector.length, floats.length);
    assert.ok(vector.every((x, n) => Math.abs(x - floats[n]) < 1e-6));
  }
});

test("counting tokens", async () => {
  assert.ok((await clientOf().responses.inputTokens.count({ model, input: "Say hello" })).input_tokens > 0);
});

test("models", async () => {
  const names = (await collect(clientOf().models.list())).map((m) => m.id);
  assert.ok(names.some((name) => name.startsWith("openai/")));
  assert.equal((await clientOf().models.retrieve(names[0])).id, names[0]);
});

test("reasoning", async () => {
  const answer = await responses(clientOf(), "Think", { reasoning: { effort: "high", summary: "auto" } });
  assert.ok(answer.output.find((item) => item.type === "reasoning").summary[0].text);
  assert.ok(answer.usage.output_tokens_details.reasoning_tokens > 0);
});

test("images", async () => {
  const image = { type: "image_url", image_url: { url: "data:image/png;base64," + PNG } };
  const answer = await chat(clientOf(), [{ type: "text", text: "What is it?" }, image]);
  assert.equal(answer.choices[0].message.content, "You said: What is it?");
  assert.ok(answer.usage.prompt_tokens > PNG.length / 4);
});

const ERRORS = [
  ["rate_limit", OpenAI.RateLimitError, 429, "rate_limit_exceeded"],
  ["overloaded", OpenAI.InternalServerError, 503, "server_is_overloaded"],
  ["context_length", OpenAI.BadRequestError, 400, "context_length_exceeded"],
  ["content_policy", OpenAI.BadRequestError, 400, "content_policy_violation"],
  ["not_found", OpenAI.NotFoundError, 404, "model_not_found"],
  ["conflict", OpenAI.ConflictError, 409, "conflict"],
  ["too_large", OpenAI.APIError, 413, "request_too_large"],
  ["server_error", OpenAI.InternalServerError, 500],
  ["timeout", OpenAI.InternalServerError, 504, "timeout"],
  ["permission", OpenAI.InternalServerError, 502, "upstream_auth"],
];

for (const [api, ask] of Object.entries({ chat, responses })) {
  describe(api, () => {
    for (const [name, kind, status, code] of ERRORS) {
      for (const stream of [false, true]) {
        test(`error ${name}${stream ? ", streamed" : ""}`, async () => {
          const error = await failure(ask(clientOf(), `[[sim:error:${name}]]`, { stream }), kind);
          assert.equal(error.status, status);
          assert.ok(!code || error.code === code, error.code);
          assert.ok(error.requestID && error.headers.get("x-tollgate-call-id"));
        });
      }
    }

    test("wrong key", async () => {
      const error = await failure(ask(clientOf({ apiKey: "sk-wrong" }), "x"), OpenAI.AuthenticationError);
      assert.ok(!error.message.includes("sk-wrong"));
    });

    test("a model the key may not use", async () => {
      await failure(ask(clientOf({ apiKey: gateway.limited }), "x"), OpenAI.PermissionDeniedError);
    });

    test("the SDK waits as long as the rate limit says", async () => {
      const fetch = counting();
      const started = performance.now();
      const client = clientOf({ maxRetries: 1, fetch });
      const error = await failure(ask(client, "[[sim:error:rate_limit]]"), OpenAI.RateLimitError);
      assert.equal(error.headers.get("retry-after"), "2");
      assert.equal(fetch.calls, 2);
      assert.ok(performance.now() - started >= 1900);
    });

    test("timeout", async () => {
      await failure(ask(clientOf({ timeout: 300 }), "[[sim:delay:5s]]"), OpenAI.APIConnectionTimeoutError);
    });

    test("thirty streams at once do not mix", async () => {
      const one = async (n) => {
        const events = await collect(await ask(clientOf(), `[[sim:pace:5ms]] story ${n}`, { stream: true }));
        const delta = (e) => e.choices?.[0]?.delta.content ?? (e.type === "response.output_text.delta" ? e.delta : "");
        return events.map(delta).join("");
      };
      assert.deepEqual(await many(one), Array.from({ length: 30 }, (_, n) => `You said: story ${n}`));
    });

    test("a stream left in the middle harms nothing", async () => {
      const started = performance.now();
      const client = clientOf();
      let seen = 0;
      for await (const _ of await ask(client, LONG, { stream: true })) if (++seen === 4) break;
      assert.ok((await ask(client, "Say hello")).id);
      assert.ok(performance.now() - started < 4000);
    });
  });
}

test("broken streams are told as such", async () => {
  const cut = chat(clientOf(), "[[sim:cut:3]] Tell me a story", { stream: true });
  await failure(cut.then(collect), OpenAI.APIError);
  const overloaded = chat(clientOf(), "[[sim:error-in-stream:3:overloaded]] a story", { stream: true });
  assert.equal((await failure(overloaded.then(collect), OpenAI.APIError)).code, "server_is_overloaded");
  const events = await collect(await responses(clientOf(), "[[sim:cut:9]] a b c d e f", { stream: true }));
  assert.equal(events.at(-1).type, "response.failed");
});

test("unknown provider and path", async () => {
  const error = await failure(chat(clientOf(), "x", { model: "nobody/x" }), OpenAI.NotFoundError);
  assert.equal(error.code, "model_not_found");
  await failure(collect(clientOf().fineTuning.jobs.list()), OpenAI.NotFoundError);
});

test("a refused request is not retried", async () => {
  const fetch = counting();
  await failure(chat(clientOf({ maxRetries: 2, fetch }), "[[sim:error:context_length]]"), OpenAI.BadRequestError);
  assert.equal(fetch.calls, 1);
});

test("raw responses and headers", async () => {
  const { data, response, request_id } = await chat(clientOf(), "Say hello").withResponse();
  assert.ok(data.id && request_id);
  assert.equal(response.headers.get("x-tollgate-target"), model);
  assert.ok(response.headers.get("x-tollgate-call-id"));
  assert.equal(response.headers.get("x-ratelimit-limit-requests"), null);
  const raw = await chat(clientOf(), "Say hello", { stream: true }).asResponse();
  assert.ok((await raw.text()).endsWith("data: [DONE]\n\n"));
});

test("keys in the Azure way", async () => {
  const defaultHeaders = { "api-key": gateway.key, authorization: null };
  assert.ok((await chat(clientOf({ apiKey: "unused", defaultHeaders }), "Say hello")).id);
});

test("two lines in the environment are enough", async () => {
  process.env.OPENAI_BASE_URL = gateway.url + "/openai/v1";
  process.env.OPENAI_API_KEY = gateway.key;
  assert.ok((await chat(new OpenAI(), "Say hello")).id);
});
