// The Vercel AI SDK's providers on every upstream.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { Output, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

import { start } from "./gateway.js";
import { TABLE, note, write } from "./results.js";

let gateway;
before(async () => (gateway = await start({ strict: true })));
after(async () => {
  write();
  await gateway.stop();
});

const at = (path) => ({ baseURL: gateway.url + path, apiKey: gateway.key });
const PROVIDERS = {
  "@ai-sdk/openai": (model) => createOpenAI(at("/openai/v1"))(model),
  "@ai-sdk/openai chat": (model) => createOpenAI(at("/openai/v1")).chat(model),
  "@ai-sdk/anthropic": (model) => createAnthropic(at("/anthropic/v1"))(model),
  "@ai-sdk/google": (model) => createGoogleGenerativeAI(at("/gemini/v1beta"))(model),
};

const weather = tool({
  description: "Says what the weather is in a city.",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `sunny in ${city}`,
});

const FEATURES = {
  call: async (model) => {
    const { text, usage } = await generateText({ model, prompt: "Say hello", maxRetries: 0 });
    assert.equal(text, "You said: Say hello");
    assert.ok(usage.inputTokens > 0);
  },
  stream: async (model) => {
    let failed;
    const { textStream } = streamText({ model, prompt: "Say hello", maxRetries: 0, onError: ({ error }) => (failed = error) });
    let text = "";
    for await (const piece of textStream) text += piece;
    if (failed) throw failed;
    assert.equal(text, "You said: Say hello");
  },
  tools: async (model) => {
    // Else it sends back the names of what OpenAI keeps, which nobody but OpenAI has.
    const providerOptions = { openai: { store: false } };
    const asked = { model, prompt: "[[sim:steps:2]] Weather?", tools: { weather }, stopWhen: stepCountIs(4), providerOptions, maxRetries: 0 };
    assert.match((await generateText(asked)).text, /sunny in sim city/);
  },
  structured: async (model) => {
    const place = Output.object({ schema: z.object({ city: z.string(), people: z.number() }) });
    const { output } = await generateText({ model, prompt: "Where?", output: place, maxRetries: 0 });
    assert.ok(output.city && output.people);
  },
};

for (const [client, made] of Object.entries(PROVIDERS)) {
  describe(client, { concurrency: 4 }, () => {
    for (const [upstream, { model }] of Object.entries(TABLE.upstreams)) {
      for (const [feature, run] of Object.entries(FEATURES)) {
        const it = { sdk: "Vercel AI SDK", client, upstream, feature, mode: feature === "stream" ? "stream" : "json" };
        test(`${feature} on ${upstream}`, () => note(it, () => run(made(model))));
      }
    }
  });
}
