import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { ApiError, GoogleGenAI } from "@google/genai";

import { start } from "./gateway.js";
import { LONG, PNG, SCHEMA, collect, failure, many, modelFor } from "./shapes.js";

const model = "gemini/gemini-2.5-flash";
const TOOLS = [{ functionDeclarations: ["weather", "time"].map((name) => ({ name, parametersJsonSchema: SCHEMA })) }];

let gateway;
before(async () => (gateway = await start()));
after(() => gateway.stop());

const clientOf = (more = {}, apiKey = gateway.key) =>
  new GoogleGenAI({ apiKey, httpOptions: { baseUrl: gateway.url + "/gemini", ...more } });
const ask = (client, contents, config) => client.models.generateContent({ model: modelFor(contents, model), contents, config });
const stream = (client, contents, config) => client.models.generateContentStream({ model: modelFor(contents, model), contents, config });
const drain = async (client, contents, config) => collect(await stream(client, contents, config));
const textOf = (chunks) => chunks.map((chunk) => chunk.text ?? "").join("");

for (const apiVersion of [undefined, "v1beta", "v1"]) {
  describe(`version ${apiVersion ?? "of the SDK"}`, () => {
    const client = () => clientOf(apiVersion ? { apiVersion } : {});

    test("call", async () => {
      const answer = await ask(client(), "Say hello");
      assert.equal(answer.text, "You said: Say hello");
      assert.equal(answer.candidates[0].finishReason, "STOP");
      assert.ok(answer.usageMetadata.totalTokenCount > 0);
    });

    test("stream", async () => {
      const chunks = await drain(client(), "Say hello");
      assert.equal(textOf(chunks), "You said: Say hello");
      assert.equal(chunks.at(-1).candidates[0].finishReason, "STOP");
    });

    test("tools, their results and the answer", async () => {
      const asked = { role: "user", parts: [{ text: "[[sim:tool]] Weather in Oslo?" }] };
      const first = await ask(client(), [asked], { tools: TOOLS });
      const { id, name, args } = first.functionCalls[0];
      assert.ok(name === "weather" && args.city);
      const result = { role: "user", parts: [{ functionResponse: { id, name, response: { sky: "sunny" } } }] };
      const second = await ask(client(), [asked, first.candidates[0].content, result], { tools: TOOLS });
      assert.match(second.text, /sunny/);
    });

    test("parallel tools, streamed", async () => {
      const chunks = await drain(client(), "[[sim:parallel-tools]]", { tools: TOOLS });
      const calls = chunks.flatMap((chunk) => chunk.functionCalls ?? []);
      assert.deepEqual(calls.map((call) => [call.name, !!call.args.city]), [["weather", true], ["time", true]]);
      assert.notEqual(calls[0].id, calls[1].id);
    });

    test("structured output", async () => {
      const config = { responseMimeType: "application/json", responseJsonSchema: SCHEMA };
      assert.ok(JSON.parse((await ask(client(), "Where?", config)).text).city);
    });

    test("thinking", async () => {
      const chunks = await drain(client(), "Think", { thinkingConfig: { includeThoughts: true } });
      const parts = chunks.flatMap((chunk) => chunk.candidates[0].content.parts);
      assert.ok(parts[0].thought && parts.some((part) => part.thoughtSignature));
    });

    test("embeddings", async () => {
      const asked = { model: "gemini/gemini-embedding-001", contents: ["a", "b"] };
      assert.equal((await client().models.embedContent(asked)).embeddings.length, 2);
    });

    test("counting tokens", async () => {
      assert.ok((await client().models.countTokens({ model, contents: "Say hello" })).totalTokens > 0);
    });

    test("models", async () => {
      const names = (await collect(await client().models.list())).map((m) => m.name);
      assert.ok(names.some((name) => name.includes("gemini/")));
      assert.equal((await client().models.get({ model: names[0] })).name, names[0]);
    });
  });
}

test("images", async () => {
  const image = { inlineData: { data: PNG, mimeType: "image/png" } };
  const answer = await ask(clientOf(), [{ role: "user", parts: [{ text: "What is it?" }, image] }]);
  assert.equal(answer.text, "You said: What is it?");
  assert.ok(answer.usageMetadata.promptTokenCount > PNG.length / 4);
});

test("chats", async () => {
  const talk = clientOf().chats.create({ model });
  assert.equal((await talk.sendMessage({ message: "one" })).text, "You said: one");
  assert.equal((await talk.sendMessage({ message: "two" })).text, "You said: two");
});

const ERRORS = [
  ["rate_limit", 429, "RESOURCE_EXHAUSTED"],
  ["overloaded", 503, "UNAVAILABLE"],
  ["context_length", 400, "INVALID_ARGUMENT"],
  ["content_policy", 400, "INVALID_ARGUMENT"],
  ["not_found", 404, "NOT_FOUND"],
  ["conflict", 409, "ABORTED"],
  ["server_error", 500, "INTERNAL"],
  ["timeout", 504, "DEADLINE_EXCEEDED"],
  ["permission", 502, "INTERNAL"],
];

const told = (error) => JSON.parse(error.message).error;

for (const [kind, call] of Object.entries({ ask, drain })) {
  describe(kind === "ask" ? "whole" : "streamed", () => {
    for (const [name, code, status] of ERRORS) {
      test(`error ${name}`, async () => {
        const error = await failure(call(clientOf(), `[[sim:error:${name}]]`), ApiError);
        assert.deepEqual([error.status, told(error).code, told(error).status], [code, code, status]);
      });
    }

    test("wrong key", async () => {
      const error = await failure(call(clientOf({}, "wrong"), "x"), ApiError);
      assert.deepEqual([error.status, told(error).status], [401, "UNAUTHENTICATED"]);
    });

    test("a model the key may not use", async () => {
      const error = await failure(call(clientOf({}, gateway.limited), "x"), ApiError);
      assert.deepEqual([error.status, told(error).status], [403, "PERMISSION_DENIED"]);
    });

    test("timeout", async () => {
      const started = performance.now();
      await failure(call(clientOf({ timeout: 300 }), "[[sim:delay:5s]]"), Error);
      assert.ok(performance.now() - started < 4000);
    });
  });
}

test("a rate limit says when", async () => {
  const error = await failure(ask(clientOf(), "[[sim:error:rate_limit]]"), ApiError);
  assert.equal(told(error).details[0].retryDelay, "2s");
});

test("unknown provider and path", async () => {
  const asked = { model: "nobody/x", contents: "x" };
  assert.equal((await failure(clientOf().models.generateContent(asked), ApiError)).status, 404);
  assert.equal((await failure(clientOf().files.list(), ApiError)).status, 404);
});

test("broken streams are told as such", async () => {
  await failure(drain(clientOf(), "[[sim:cut:2]] Tell me a long story"), ApiError);
  const error = await failure(drain(clientOf(), "[[sim:error-in-stream:2:overloaded]] a long story"), ApiError);
  assert.match(error.message, /UNAVAILABLE/);
});

test("headers", async () => {
  const { headers } = (await ask(clientOf(), "Say hello")).sdkHttpResponse;
  assert.equal(headers["x-tollgate-target"], model);
  assert.ok(headers["x-tollgate-call-id"]);
});

test("thirty streams at once do not mix", async () => {
  const one = async (n) => textOf(await drain(clientOf(), `[[sim:pace:5ms]] story ${n}`));
  assert.deepEqual(await many(one), Array.from({ length: 30 }, (_, n) => `You said: story ${n}`));
});

test("a stream left in the middle harms nothing", async () => {
  const started = performance.now();
  let seen = 0;
  for await (const _ of await stream(clientOf(), LONG)) if (++seen === 4) break;
  assert.ok((await ask(clientOf(), "Say hello")).text);
  assert.ok(performance.now() - started < 4000);
});

test("two lines in the environment are enough", async () => {
  process.env.GOOGLE_GEMINI_BASE_URL = gateway.url + "/gemini";
  process.env.GEMINI_API_KEY = gateway.key;
  assert.ok((await ask(new GoogleGenAI({}), "Say hello")).text);
});
