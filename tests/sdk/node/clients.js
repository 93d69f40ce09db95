// The official SDKs, each asked the same things: one class a client protocol.

import Anthropic from "@anthropic-ai/sdk";
import { ApiError, GoogleGenAI } from "@google/genai";
import OpenAI from "openai";

import { PNG, collect } from "./shapes.js";

const city = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};
const place = {
  type: "object",
  properties: { city: { type: "string" }, people: { type: "integer" } },
  required: ["city", "people"],
  additionalProperties: false,
};
const parameters = (tool) => (tool === "ping" ? { type: "object", properties: {} } : city);
const DATA_URL = "data:image/png;base64," + PNG;

export class Chat {
  static protocol = "openai-chat";
  static cannot = [];
  static broken = OpenAI.APIError;
  static errors = {
    rate_limit: [OpenAI.RateLimitError, 429, "rate_limit_exceeded"],
    overloaded: [OpenAI.InternalServerError, 503, "server_is_overloaded"],
    context_length: [OpenAI.BadRequestError, 400, "context_length_exceeded"],
    invalid_request: [OpenAI.BadRequestError, 400],
    not_found: [OpenAI.NotFoundError, 404, "model_not_found"],
    server_error: [OpenAI.InternalServerError, 500],
    timeout: [OpenAI.InternalServerError, 504],
    auth: [OpenAI.InternalServerError, 502, "upstream_auth"],
    permission: [OpenAI.InternalServerError, 502, "upstream_auth"],
    quota: [OpenAI.InternalServerError, 503, "upstream_quota"],
  };

  constructor(gateway, apiKey = gateway.key) {
    this.sdk = new OpenAI({ baseURL: gateway.url + "/openai/v1", apiKey, maxRetries: 0 });
  }

  async ask(model, turns, options, stream) {
    const start = options.system ? [{ role: "system", content: options.system }] : [];
    const body = { model, messages: [...start, ...turns.flatMap((turn) => this.of(turn))], ...this.wishes(options) };
    if (!stream) return this.answer(await this.sdk.chat.completions.create(body), options);
    const events = this.sdk.chat.completions.stream({ ...body, stream_options: { include_usage: true } });
    return this.answer(await events.finalChatCompletion(), options);
  }

  async plainly(model, content, stream) {
    const answer = await this.sdk.chat.completions.create({ model, messages: [{ role: "user", content }], stream });
    return stream ? collect(answer) : answer;
  }

  of({ user, image, results, answer }) {
    if (answer) return [answer.turn];
    if (results) return results.map(([call, content]) => ({ role: "tool", tool_call_id: call.id, content }));
    const picture = { type: "image_url", image_url: { url: DATA_URL } };
    return [{ role: "user", content: image ? [{ type: "text", text: user }, picture] : user }];
  }

  wishes({ tools, force, schema, temperature, top_p, limit, stop, think }) {
    const json_schema = { name: "place", strict: true, schema: place };
    return {
      tools: tools?.map((name) => ({ type: "function", function: { name, parameters: parameters(name) } })),
      tool_choice: force && { type: "function", function: { name: force } },
      response_format: schema && { type: "json_schema", json_schema },
      temperature,
      top_p,
      max_completion_tokens: limit,
      stop,
      reasoning_effort: think && "low",
    };
  }

  answer({ choices: [{ message, finish_reason }], usage }, { plain }) {
    const calls = message.tool_calls ?? [];
    const stop = { stop: "stop", length: "length", tool_calls: "tools", content_filter: "refusal" }[finish_reason];
    const { parsed, ...whole } = message;
    const functions = calls.map(({ id, function: { name, arguments: args } }) => ({ id, type: "function", function: { name, arguments: args } }));
    const bare = { role: "assistant", content: message.content, ...(calls.length && { tool_calls: functions }) };
    if (whole.tool_calls) whole.tool_calls = calls.map(({ index, ...call }) => ({ ...call, function: functions.find((f) => f.id === call.id).function }));
    return {
      text: message.content ?? "",
      stop: message.refusal ? "refusal" : stop,
      input: usage.prompt_tokens,
      output: usage.completion_tokens,
      cached: usage.prompt_tokens_details?.cached_tokens ?? 0,
      reasoning: usage.completion_tokens_details?.reasoning_tokens ?? 0,
      calls: functions.map((f) => ({ id: f.id, name: f.function.name, arguments: JSON.parse(f.function.arguments) })),
      thoughts: message.reasoning_content ?? "",
      turn: plain ? bare : whole,
    };
  }

  failed(error) {
    const after = error.headers.get("retry-after");
    return { status: error.status, code: error.code, after: after && Number(after), id: error.requestID };
  }
}

export class Responses extends Chat {
  static protocol = "openai-responses";
  static cannot = ["stop sequence"];

  async ask(model, turns, options, stream) {
    const body = { model, input: turns.flatMap((turn) => this.of(turn)), ...this.wishes(options) };
    if (!stream) return this.answer(await this.sdk.responses.create(body), options);
    return this.answer(await this.sdk.responses.stream(body).finalResponse(), options);
  }

  async plainly(model, input, stream) {
    const answer = await this.sdk.responses.create({ model, input, stream });
    const last = stream ? (await collect(answer)).at(-1) : answer;
    // The SDK hands a failure over and raises nothing.
    if (last.type === "response.failed") throw new OpenAI.APIError(undefined, last.response.error, undefined, undefined);
    return last;
  }

  of({ user, image, results, answer }) {
    if (answer) return answer.turn;
    if (results) return results.map(([call, output]) => ({ type: "function_call_output", call_id: call.id, output }));
    const picture = { type: "input_image", image_url: DATA_URL, detail: "auto" };
    return [{ role: "user", content: image ? [{ type: "input_text", text: user }, picture] : user }];
  }

  wishes({ system, tools, force, schema, temperature, top_p, limit, think }) {
    return {
      instructions: system,
      tools: tools?.map((name) => ({ type: "function", name, parameters: parameters(name), strict: false })),
      tool_choice: force && { type: "function", name: force },
      text: schema && { format: { type: "json_schema", name: "place", strict: true, schema: place } },
      temperature,
      top_p,
      max_output_tokens: limit,
      reasoning: think && { effort: "low", summary: "auto" },
      include: think && ["reasoning.encrypted_content"],
      store: false,
    };
  }

  answer(said, { plain }) {
    const items = said.output.filter((item) => item.type === "function_call");
    const parts = said.output.flatMap((item) => (item.type === "message" ? item.content : []));
    const text = parts.map((part) => part.text ?? "").join("");
    const reasons = { max_output_tokens: "length", content_filter: "refusal" };
    const refused = parts.some((part) => part.type === "refusal");
    const bare = items.map(({ call_id, name, arguments: args }) => ({ type: "function_call", call_id, name, arguments: args }));
    const spoken = [{ role: "assistant", content: text }];
    return {
      text,
      stop: reasons[said.incomplete_details?.reason] ?? (refused ? "refusal" : items.length ? "tools" : "stop"),
      input: said.usage.input_tokens,
      output: said.usage.output_tokens,
      cached: said.usage.input_tokens_details.cached_tokens,
      reasoning: said.usage.output_tokens_details.reasoning_tokens,
      calls: items.map((item) => ({ id: item.call_id, name: item.name, arguments: JSON.parse(item.arguments) })),
      thoughts: said.output.flatMap((item) => (item.type === "reasoning" ? item.summary : [])).map((s) => s.text).join(""),
      turn: plain ? (bare.length ? bare : spoken) : said.output.map(({ parsed_arguments, ...item }) => ({ ...item, ...(item.content && { content: item.content.map(({ parsed, ...part }) => part) }) })),
    };
  }
}

export class Messages {
  static protocol = "anthropic-messages";
  // The SDK's API version takes no sampling parameters.
  static cannot = ["sampling"];
  static broken = Anthropic.APIError;
  static errors = {
    rate_limit: [Anthropic.RateLimitError, 429, "rate_limit_error"],
    overloaded: [Anthropic.InternalServerError, 529, "overloaded_error"],
    context_length: [Anthropic.BadRequestError, 400, "invalid_request_error"],
    invalid_request: [Anthropic.BadRequestError, 400, "invalid_request_error"],
    not_found: [Anthropic.NotFoundError, 404, "not_found_error"],
    server_error: [Anthropic.InternalServerError, 500, "api_error"],
    timeout: [Anthropic.APIError, 504, "timeout_error"],
    auth: [Anthropic.InternalServerError, 502, "api_error"],
    permission: [Anthropic.InternalServerError, 502, "api_error"],
    quota: [Anthropic.APIError, 503, "api_error"],
  };

  constructor(gateway, apiKey = gateway.key) {
    this.sdk = new Anthropic({ baseURL: gateway.url + "/anthropic", apiKey, maxRetries: 0 });
  }

  async ask(model, turns, options, stream) {
    const body = { model, messages: turns.map((turn) => this.of(turn)), ...this.wishes(options) };
    if (!stream) return this.answer(await this.sdk.messages.create(body), options);
    return this.answer(await this.sdk.messages.stream(body).finalMessage(), options);
  }

  async plainly(model, content, stream) {
    const messages = [{ role: "user", content }];
    const answer = await this.sdk.messages.create({ model, max_tokens: 1000, messages, stream });
    return stream ? collect(answer) : answer;
  }

  of({ user, image, results, answer }) {
    if (answer) return { role: "assistant", content: answer.turn };
    if (results) return { role: "user", content: results.map(([call, content]) => ({ type: "tool_result", tool_use_id: call.id, content })) };
    const picture = { type: "image", source: { type: "base64", media_type: "image/png", data: PNG } };
    return { role: "user", content: image ? [picture, { type: "text", text: user }] : user };
  }

  wishes({ system, tools, force, schema, limit, stop, think }) {
    return {
      max_tokens: limit ?? 4000,
      system,
      tools: tools?.map((name) => ({ name, input_schema: parameters(name) })),
      tool_choice: force && { type: "tool", name: force },
      output_config: schema && { format: { type: "json_schema", schema: place } },
      stop_sequences: stop,
      thinking: think && { type: "enabled", budget_tokens: 1024 },
    };
  }

  answer({ content, stop_reason, usage }, { plain }) {
    const of = (type) => content.filter((block) => block.type === type);
    const stops = { end_turn: "stop", max_tokens: "length", tool_use: "tools", stop_sequence: "sequence" };
    const cached = usage.cache_read_input_tokens ?? 0;
    const bare = content.flatMap(({ type, text, id, name, input }) => ({ text: [{ type, text }], tool_use: [{ type, id, name, input }] })[type] ?? []);
    return {
      text: of("text").map((block) => block.text).join(""),
      stop: stops[stop_reason] ?? stop_reason,
      input: usage.input_tokens + cached + (usage.cache_creation_input_tokens ?? 0),
      output: usage.output_tokens,
      cached,
      reasoning: usage.output_tokens_details?.thinking_tokens ?? 0,
      calls: of("tool_use").map(({ id, name, input }) => ({ id, name, arguments: input })),
      thoughts: of("thinking").map((block) => block.thinking).join(""),
      turn: plain ? bare : content,
    };
  }

  failed(error) {
    const after = error.headers.get("retry-after");
    return { status: error.status, code: error.error.error.type, after: after && Number(after), id: error.requestID };
  }
}

export class Gemini {
  static protocol = "gemini";
  static cannot = [];
  static broken = ApiError;
  static errors = {
    rate_limit: [ApiError, 429, "RESOURCE_EXHAUSTED"],
    overloaded: [ApiError, 503, "UNAVAILABLE"],
    context_length: [ApiError, 400, "INVALID_ARGUMENT"],
    invalid_request: [ApiError, 400, "INVALID_ARGUMENT"],
    not_found: [ApiError, 404, "NOT_FOUND"],
    server_error: [ApiError, 500, "INTERNAL"],
    timeout: [ApiError, 504, "DEADLINE_EXCEEDED"],
    auth: [ApiError, 502],
    permission: [ApiError, 502],
    quota: [ApiError, 503],
  };

  constructor(gateway, apiKey = gateway.key) {
    this.sdk = new GoogleGenAI({ apiKey, httpOptions: { baseUrl: gateway.url + "/gemini" } });
  }

  async ask(model, turns, options, stream) {
    const body = { model, contents: turns.map((turn) => this.of(turn)), config: this.wishes(options) };
    if (!stream) return this.answer([await this.sdk.models.generateContent(body)], options);
    return this.answer(await collect(await this.sdk.models.generateContentStream(body)), options);
  }

  async plainly(model, contents, stream) {
    if (!stream) return this.sdk.models.generateContent({ model, contents });
    return collect(await this.sdk.models.generateContentStream({ model, contents }));
  }

  of({ user, image, results, answer }) {
    if (answer) return { role: "model", parts: answer.turn };
    const response = ([{ id, name }, output]) => ({ functionResponse: { id, name, response: { output } } });
    if (results) return { role: "user", parts: results.map(response) };
    const picture = { inlineData: { mimeType: "image/png", data: PNG } };
    return { role: "user", parts: image ? [{ text: user }, picture] : [{ text: user }] };
  }

  wishes({ system, tools, force, schema, temperature, top_p, limit, stop, think }) {
    const functionDeclarations = tools?.map((name) => ({ name, description: name, parametersJsonSchema: parameters(name) }));
    return {
      systemInstruction: system,
      tools: tools && [{ functionDeclarations }],
      toolConfig: force && { functionCallingConfig: { mode: "ANY", allowedFunctionNames: [force] } },
      responseMimeType: schema && "application/json",
      responseJsonSchema: schema && place,
      temperature,
      topP: top_p,
      maxOutputTokens: limit,
      stopSequences: stop,
      thinkingConfig: think && { includeThoughts: true, thinkingLevel: "LOW" },
    };
  }

  answer(chunks, { plain }) {
    const candidates = chunks.flatMap((chunk) => chunk.candidates ?? []);
    const parts = candidates.flatMap((candidate) => candidate.content?.parts ?? []);
    const calls = parts.flatMap((part) => part.functionCall ?? []);
    const finish = candidates.map((candidate) => candidate.finishReason).findLast(Boolean);
    const usage = chunks.map((chunk) => chunk.usageMetadata).findLast(Boolean);
    const stops = { STOP: calls.length ? "tools" : "stop", MAX_TOKENS: "length", SAFETY: "refusal" };
    const reasoning = usage.thoughtsTokenCount ?? 0;
    const known = parts.filter((part) => !part.thought && (part.text || part.functionCall));
    const bare = known.map(({ text, functionCall }) => (text ? { text } : { functionCall }));
    const words = (kept) => kept.map((part) => part.text ?? "").join("");
    return {
      text: words(parts.filter((part) => !part.thought)),
      stop: stops[finish] ?? finish,
      input: usage.promptTokenCount,
      output: (usage.candidatesTokenCount ?? 0) + reasoning,
      cached: usage.cachedContentTokenCount ?? 0,
      reasoning,
      calls: calls.map(({ id, name, args }) => ({ id, name, arguments: args ?? {} })),
      thoughts: words(parts.filter((part) => part.thought)),
      turn: plain ? bare : parts.filter((part) => part.text !== "" || part.thoughtSignature),
    };
  }

  failed(error) {
    const { status, details = [] } = JSON.parse(error.message).error;
    const after = details.find((detail) => detail.retryDelay)?.retryDelay;
    return { status: error.status, code: status, after: after && parseFloat(after), id: "not told by this SDK" };
  }
}

export const CLIENTS = [Chat, Responses, Messages, Gemini];
