// Every recorded stream through the gateway, as each official SDK accumulates it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { isDeepStrictEqual } from "node:util";

import Anthropic from "@anthropic-ai/sdk";
import { ApiError, GoogleGenAI } from "@google/genai";
import OpenAI from "openai";

import { collect } from "./shapes.js";

const join = (items, of) => items.map(of).join("");

class Chat {
  static fails = OpenAI.APIError;

  constructor(url, apiKey) {
    this.sdk = new OpenAI({ baseURL: url + "/openai/v1", apiKey, maxRetries: 0 });
  }

  async read(model) {
    const messages = [{ role: "user", content: "Hi" }];
    const events = this.sdk.chat.completions.stream({ model, messages, stream_options: { include_usage: true } });
    // Only the chunks tell reasoning and custom calls, which the SDK's own answer has no members for.
    const deltas = [];
    events.on("chunk", ({ choices: [choice] }) => choice?.index === 0 && deltas.push(choice.delta));
    const { choices, usage } = await events.finalChatCompletion();
    const { message, finish_reason: finish } = choices.find((choice) => choice.index === 0);
    return {
      text: message.content ?? "",
      refusal: message.refusal ?? "",
      thoughts: join(deltas, (delta) => delta.reasoning_content ?? ""),
      calls: message.tool_calls?.map(({ function: f }) => ({ name: f.name, arguments: f.arguments })) ?? [],
      finish,
      usage: usage && {
        input: usage.prompt_tokens,
        output: usage.completion_tokens,
        cached: usage.prompt_tokens_details?.cached_tokens ?? 0,
        reasoning: usage.completion_tokens_details?.reasoning_tokens ?? 0,
      },
    };
  }
}

class Responses extends Chat {
  async read(model) {
    const reasoning = { effort: "low", summary: "auto" };
    const events = this.sdk.responses.stream({ model, input: "Hi", reasoning });
    const deltas = [];
    events.on("response.output_text.delta", ({ delta }) => deltas.push(delta));
    const said = await events.finalResponse();
    // The SDK hands a failure over and raises nothing.
    if (said.status === "failed") throw new OpenAI.APIError(undefined, said.error, undefined, undefined);
    const of = (...types) => said.output.filter(({ type }) => types.includes(type));
    const parts = of("message").flatMap((item) => item.content);
    const text = join(parts, (part) => part.text ?? "");
    assert.equal(deltas.join(""), text, "the deltas are the text");
    const why = said.incomplete_details ? `: ${said.incomplete_details.reason}` : "";
    const { usage } = said;
    return {
      text,
      refusal: join(parts, (part) => part.refusal ?? ""),
      thoughts: join(of("reasoning").flatMap(({ summary, content }) => [...summary, ...(content ?? [])]), (s) => s.text),
      calls: of("function_call", "custom_tool_call").map(({ namespace, name, input, arguments: args }) => ({
        name: namespace ? `${namespace}__${name}` : name,
        arguments: args ?? input,
      })),
      finish: said.status + why,
      usage: usage && {
        input: usage.input_tokens,
        output: usage.output_tokens,
        cached: usage.input_tokens_details.cached_tokens,
        reasoning: usage.output_tokens_details.reasoning_tokens,
      },
    };
  }
}

class Messages {
  static fails = Anthropic.APIError;

  constructor(url, apiKey) {
    this.sdk = new Anthropic({ baseURL: url + "/anthropic", apiKey, maxRetries: 0 });
  }

  async read(model) {
    const messages = [{ role: "user", content: "Hi" }];
    const thinking = { type: "enabled", budget_tokens: 2000 };
    const said = await this.sdk.messages.stream({ model, max_tokens: 4000, messages, thinking }).finalMessage();
    const of = (type) => said.content.filter((block) => block.type === type);
    const { usage } = said;
    const cached = usage.cache_read_input_tokens ?? 0;
    return {
      text: join(of("text"), (block) => block.text),
      refusal: "",
      thoughts: join(of("thinking"), (block) => block.thinking),
      calls: of("tool_use").map(({ name, input }) => ({ name, arguments: JSON.stringify(input) })),
      finish: said.stop_reason,
      usage: {
        input: usage.input_tokens + cached + (usage.cache_creation_input_tokens ?? 0),
        output: usage.output_tokens,
        cached,
        reasoning: usage.output_tokens_details?.thinking_tokens ?? 0,
      },
    };
  }
}

class Gemini {
  static fails = ApiError;

  constructor(url, apiKey) {
    this.sdk = new GoogleGenAI({ apiKey, httpOptions: { baseUrl: url + "/gemini" } });
  }

  async read(model) {
    const config = { thinkingConfig: { includeThoughts: true } };
    const chunks = await collect(await this.sdk.models.generateContentStream({ model, contents: "Hi", config }));
    const firsts = chunks.flatMap(({ candidates }) => candidates ?? []).filter(({ index }) => !index);
    const parts = firsts.flatMap(({ content }) => content?.parts ?? []);
    const blocked = chunks.some(({ promptFeedback }) => promptFeedback?.blockReason);
    const usage = chunks.findLast(({ usageMetadata }) => usageMetadata)?.usageMetadata;
    return {
      text: join(parts, (part) => (part.thought ? "" : (part.text ?? ""))),
      refusal: "",
      thoughts: join(parts, (part) => (part.thought ? (part.text ?? "") : "")),
      calls: parts.flatMap(({ functionCall: call }) => (call ? [{ name: call.name, arguments: JSON.stringify(call.args ?? {}) }] : [])),
      finish: blocked ? "SAFETY" : firsts.findLast(({ finishReason }) => finishReason)?.finishReason,
      usage: usage && {
        input: (usage.promptTokenCount ?? 0) + (usage.toolUsePromptTokenCount ?? 0),
        output: (usage.candidatesTokenCount ?? 0) + (usage.thoughtsTokenCount ?? 0),
        cached: usage.cachedContentTokenCount ?? 0,
        reasoning: usage.thoughtsTokenCount ?? 0,
      },
    };
  }
}

const CLIENTS = { "openai-chat": Chat, "openai-responses": Responses, "anthropic-messages": Messages, gemini: Gemini };

let child, url, manifest;
before(async () => {
  child = spawn(process.env.TOLLGATE_REPLAY, [], { stdio: ["ignore", "pipe", "inherit"] });
  url = (await once(child.stdout, "data"))[0].toString().trim();
  manifest = await (await fetch(url + "/cases")).json();
});
after(() => child.kill());

describe("a recorded stream is what the SDK makes of it", () => {
  for (const client of Object.keys(CLIENTS)) {
    // Untranslated streams are the provider's; these SDKs throw at events that they do not know.
    for (const upstream of Object.keys(CLIENTS).filter((other) => other !== client)) {
      test(`${client} to ${upstream}`, async (t) => {
        if (!manifest.cases.length && process.env.CI !== "true") return t.skip("no recordings: TOLLGATE_SHARED may name where they are");
        const sdk = new CLIENTS[client](`${url}/${upstream}`, manifest.key);
        const cases = manifest.cases.filter((each) => each.client === client && each.upstream === upstream);
        assert.ok(cases.length > 100);
        const wrong = [];
        const queue = cases.values();
        const work = async () => {
          for (const each of queue) wrong.push(...(await judge(sdk, CLIENTS[client], each)));
        };
        await Promise.all([work(), work(), work(), work()]);
        assert.equal(wrong.length, 0, `${wrong.length} of ${cases.length}:\n${wrong.slice(0, 8).join("\n")}`);
      });
    }
  }
});

/** Says what is wrong, if anything is. */
async function judge(sdk, Client, { model, expected }) {
  let read;
  try {
    read = await sdk.read(model);
  } catch (error) {
    if (!(error instanceof Client.fails)) return [`${model}: ${error.stack}`];
    return expected ? [`${model}: failed: ${error}`] : [];
  }
  if (!expected) return [`${model}: a success: ${JSON.stringify(read)}`];
  const [wanted, found] = [comparable(expected), comparable(read)];
  const differs = (name) => !isDeepStrictEqual(wanted[name], found[name]);
  const members = Object.keys(expected).filter(differs);
  const shown = members.map((name) => `${name}: ${JSON.stringify(wanted[name])} != ${JSON.stringify(found[name])}`);
  return shown.length ? [`${model}: ${shown.join("; ")}`] : [];
}

/** What a protocol has no place or no other form for, made alike. */
function comparable(said) {
  const made = { ...said, usage: said.usage ?? null };
  // Sections and blocks are told apart by blank lines, each protocol in its way.
  made.thoughts = said.thoughts.replaceAll(/\s/g, "");
  made.calls = said.calls?.map((call) => [call.name, parsed(call.arguments)]);
  return made;
}

function parsed(text) {
  try {
    return JSON.parse(text || "{}");
  } catch {
    return text;
  }
}
