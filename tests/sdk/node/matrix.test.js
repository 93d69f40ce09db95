// Every client in front of every upstream, as `matrix.json` says, in front of strict providers.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { CLIENTS } from "./clients.js";
import { start } from "./gateway.js";
import { TABLE, note, write } from "./results.js";
import { failure } from "./shapes.js";

let gateway;
before(async () => (gateway = await start({ strict: true })));
after(async () => {
  write();
  await gateway.stop();
});

const UPSTREAMS = Object.entries(TABLE.upstreams);

describe("every client on every upstream", { concurrency: 4 }, () => {
  for (const Client of CLIENTS) {
    for (const [upstream, has] of UPSTREAMS) {
      describe(`${Client.protocol} to ${upstream}`, { concurrency: 8 }, () => {
        for (const stream of [false, true]) {
          const mode = stream ? "stream" : "json";
          const noted = (feature, run) =>
            test(`${feature}, ${mode}`, () => note({ sdk: "node", client: Client.protocol, upstream, feature, mode }, run));
          for (const row of TABLE.features) {
            if ((row.streams && !stream) || Client.cannot.includes(row.name)) continue;
            noted(row.name, () => talk(new Client(gateway), has, row, stream, Client));
          }
          for (const name of TABLE.errors) {
            noted(`error ${name}`, () => fail(new Client(gateway), has, name, stream, Client));
          }
        }
      });
    }
  }
});

async function talk(client, has, row, stream, Client) {
  const { system_length: length, ...options } = row.options ?? {};
  if (length) options.system = "Be brief." + " x".repeat(length / 2);
  const model = (options.think && has.thinks) || has.model;
  const turns = [];
  for (const { user, length = 0, image, results, want } of row.steps) {
    if (want.broken) {
      await failure(client.plainly(`${model.split("/")[0]}/broken-${Client.protocol}`, user, stream), Client.broken);
      return;
    }
    const { answer: last } = turns.at(-1) ?? {};
    turns.push(results ? { results: last.calls.map((call, n) => [call, results[n]]) } : { user: user + " x".repeat(length / 2), image });
    const answer = await client.ask(model, turns, options, stream);
    turns.push({ answer });
    check(answer, want);
  }
}

function check(answer, want) {
  if ("text" in want) assert.equal(answer.text, want.text);
  if ("says" in want) assert.ok(answer.text.includes(want.says), answer.text);
  // Only Anthropic tells which stop sequence it was, or that it was one.
  if ("stop" in want && !(want.stop === "sequence" && answer.stop === "stop")) assert.equal(answer.stop, want.stop);
  if ("calls" in want) {
    assert.deepEqual(answer.calls.map((call) => call.name), want.calls);
    assert.equal(new Set(answer.calls.map((call) => call.id).filter(Boolean)).size, want.calls.length);
    const wanted = want.calls[0] === "ping" ? {} : { city: "sim city" };
    answer.calls.forEach((call) => assert.deepEqual(call.arguments, wanted));
  }
  if ("json" in want) assert.deepEqual(Object.keys(JSON.parse(answer.text)).sort(), want.json);
  if (want.thoughts) assert.ok(answer.thoughts);
  if (want.reasoned) assert.ok(answer.reasoning > 0 && answer.reasoning < answer.output);
  if (want.counted) assert.ok(answer.input > 0 && answer.output > 0);
  if ("cached" in want) assert.equal(answer.cached, want.cached);
  assert.ok(answer.input > (want.input_over ?? 0), `${answer.input} tokens of input`);
}

async function fail(client, { model }, name, stream, Client) {
  const [kind, status, code] = Client.errors[name];
  // A model of this case's own: after a failure the gateway sets aside what failed.
  const it = `-${name}-${Client.protocol}-${stream ? "stream" : "json"}`;
  const [provider] = model.split("/");
  const own = ["auth", "quota"].includes(name) ? `${provider}${it}/fault` : `${provider}/fault${it}`;
  const error = await failure(client.plainly(own, `[[sim:error:${name}]]`, stream), kind);
  const told = client.failed(error);
  assert.equal(told.status, status);
  if (code) assert.equal(told.code, code);
  assert.ok(told.id);
  if (name === "rate_limit") assert.ok(told.after > 1.9 && told.after <= 2);
}
