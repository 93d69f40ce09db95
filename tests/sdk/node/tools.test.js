// Coding tools, headless: each runs a command the model asks for and reports what it printed.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";

import { start } from "./gateway.js";
import { TABLE, note, write } from "./results.js";

const MODULES = join(dirname(fileURLToPath(import.meta.url)), "node_modules");
const MADE = "made by the tool";
const COMMAND = `echo ${MADE} > made.txt; cat made.txt`;

const call = (tool, args) => `Make the file. [[sim:call:${tool}:${JSON.stringify(args)}]]`;

let gateway, strict, outside;
const folders = [];

before(async () => {
  [gateway, strict] = [await start(), await start({ strict: true })];
  outside = await trap();
});

after(async () => {
  outside.server.close();
  await Promise.all([gateway.stop(), strict.stop()]);
  write();
  folders.forEach((folder) => rmSync(folder, { recursive: true, force: true }));
});

beforeEach(() => (outside.asked.length = 0));

/** A proxy that lets nothing through and remembers what it was asked for. */
function trap() {
  const asked = [];
  const server = net.createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", (data) => {
      asked.push(data.toString("latin1").split("\r\n")[0]);
      socket.destroy();
    });
  });
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve({ server, asked, port: server.address().port }));
  });
}

/** A home, with these files in it, and a folder to work in. */
function place(files = {}) {
  const folder = mkdtempSync(join(tmpdir(), "tollgate-tool-"));
  folders.push(folder);
  const [home, work] = [join(folder, "home"), join(folder, "work")];
  [home, work].forEach((path) => mkdirSync(path));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(home, name)), { recursive: true });
    writeFileSync(join(home, name), text);
  }
  return { home, work };
}

/** Runs a tool that can reach nothing but this machine. */
function run(script, args, { home, work }, env) {
  const proxy = `http://127.0.0.1:${outside.port}`;
  const proxies = { HTTP_PROXY: proxy, HTTPS_PROXY: proxy, ALL_PROXY: proxy, NO_PROXY: "127.0.0.1" };
  const lower = Object.fromEntries(Object.entries(proxies).map(([k, v]) => [k.toLowerCase(), v]));
  const child = spawn(process.execPath, [join(MODULES, script), ...args], {
    cwd: work,
    env: { PATH: process.env.PATH, HOME: home, ...proxies, ...lower, ...env },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 90_000,
  });
  let [out, err] = ["", ""];
  child.stdout.on("data", (data) => (out += data));
  child.stderr.on("data", (data) => (err += data));
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, out, err })));
}

function assertMade(ran, { work }, answered) {
  assert.equal(ran.code, 0, ran.out + ran.err);
  const answer = answered(ran.out);
  assert.equal(readFileSync(join(work, "made.txt"), "utf8"), MADE + "\n");
  assert.match(answer, /The tools said: /);
  assert.ok(answer.includes(MADE), answer);
  assert.deepEqual(outside.asked, [], "nobody else was spoken to");
}

/** Runs each tool once; the answer it gave stands in what it printed. */
const TOOLS = {
  "Claude Code": async (gateway, model, env = { ANTHROPIC_API_KEY: gateway.key }) => {
    const at = place();
    const prompt = call("Bash", { command: COMMAND });
    const args = ["-p", prompt, "--allowedTools", "Bash", "--output-format", "json", "--max-turns", "3"];
    const ran = await run("@anthropic-ai/claude-code/cli-wrapper.cjs", args, at, {
      ANTHROPIC_BASE_URL: gateway.url + "/anthropic",
      ...(model && { ANTHROPIC_MODEL: model, ANTHROPIC_SMALL_FAST_MODEL: model }),
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
      DISABLE_AUTOUPDATER: "1",
      DISABLE_TELEMETRY: "1",
      ...env,
    });
    assertMade(ran, at, (out) => JSON.parse(out).result);
  },

  Codex: async (gateway, model) => {
    const at = place({ ".codex/config.toml": codexConfig(gateway, model) });
    const prompt = call("exec_command", { cmd: COMMAND });
    const args = ["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", prompt];
    const ran = await run("@openai/codex/bin/codex.js", args, at, { TOLLGATE_KEY: gateway.key });
    assertMade(ran, at, (out) => out);
  },

  "Gemini CLI": async (gateway, model) => {
    const settings = {
      security: { auth: { selectedType: "gemini-api-key" } },
      privacy: { usageStatisticsEnabled: false },
      general: { enableAutoUpdate: false, enableAutoUpdateNotification: false },
      telemetry: { enabled: false },
    };
    const at = place({ ".gemini/settings.json": JSON.stringify(settings) });
    const prompt = call("run_shell_command", { command: COMMAND });
    const args = ["-m", model, "--yolo", "--skip-trust", "--output-format", "json", "-p", prompt];
    const ran = await run("@google/gemini-cli/bundle/gemini.js", args, at, {
      GOOGLE_GEMINI_BASE_URL: gateway.url + "/gemini",
      GEMINI_API_KEY: gateway.key,
    });
    assertMade(ran, at, (out) => JSON.parse(out).response);
  },
};

const codexConfig = (gateway, model) => `
model = "${model}"
model_provider = "tollgate"
check_for_update_on_startup = false
analytics.enabled = false
features = { apps = false, plugins = false, remote_plugin = false }

[model_providers.tollgate]
name = "Tollgate"
base_url = "${gateway.url}/openai/v1"
env_key = "TOLLGATE_KEY"
wire_api = "responses"
`;

test("Claude Code with its own models", () => TOOLS["Claude Code"](gateway));

test("Claude Code with a token and a model by its full name", () =>
  TOOLS["Claude Code"](gateway, "anthropic/claude-sonnet-4-5", { ANTHROPIC_AUTH_TOKEN: gateway.key }));

test("Codex with a bare model name", () => TOOLS.Codex(gateway, "gpt-5"));

// Each tool in front of each upstream, which refuses what the real one refuses.
for (const [tool, use] of Object.entries(TOOLS)) {
  for (const [upstream, { model }] of Object.entries(TABLE.upstreams)) {
    const it = { sdk: "node", client: tool, upstream, feature: "a task with a tool", mode: "stream" };
    test(`${tool} on ${upstream}`, () => note(it, () => use(strict, model)));
  }
}

test("Claude Code keeps what Claude thought by its bare name", () =>
  TOOLS["Claude Code"](strict, TABLE.upstreams["anthropic-messages"].bare));

test("Claude Code says at once that the key is wrong", async () => {
  const started = performance.now();
  const ran = await run("@anthropic-ai/claude-code/cli-wrapper.cjs", ["-p", "hello"], place(), {
    ANTHROPIC_BASE_URL: gateway.url + "/anthropic",
    ANTHROPIC_API_KEY: "sk-wrong",
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
  });
  assert.notEqual(ran.code, 0);
  assert.match(ran.out + ran.err, /401|API key/);
  assert.ok(performance.now() - started < 20_000, "it is not told to try again");
});
