// One gateway per test file: with `--demo`, or in front of strict providers.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * Starts a gateway: where it is, the key it made, and one that may use a single model.
 * `strict`: its providers speak one protocol each, and refuse what the real ones refuse.
 */
export async function start({ strict = false } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "tollgate-"));
  const sim = strict && (await simulate());
  if (sim) writeFileSync(join(folder, "tollgate.toml"), providers(config()).replaceAll("{sim}", sim.url));
  const port = await freePort();
  const key = makeKey(folder, "all");
  const limited = makeKey(folder, "limited", "--model", "nobody/nothing");
  const args = [...(strict ? [] : ["--demo"]), "--listen", `127.0.0.1:${port}`];
  const child = spawn(process.env.TOLLGATE_BIN, args, { cwd: folder, stdio: ["ignore", "ignore", "inherit"] });
  const url = `http://127.0.0.1:${port}`;
  await untilReady(child, url);
  const stop = async () => {
    child.kill();
    if (sim) sim.child.kill();
    if (child.exitCode === null) await new Promise((resolve) => child.once("exit", resolve));
    rmSync(folder, { recursive: true, force: true });
  };
  return { url, key, limited, stop };
}

const config = () => readFileSync(process.env.TOLLGATE_MATRIX.replace("matrix.json", "gateway.toml"), "utf8");

/** Also one more of each provider for each case that makes the gateway set a provider aside. */
function providers(config) {
  const tables = config.split("\n\n").filter((table) => table.startsWith("[providers."));
  const clients = ["openai-chat", "openai-responses", "anthropic-messages", "gemini"];
  const cases = ["auth", "quota"].flatMap((name) => clients.flatMap((client) => [`${name}-${client}-json`, `${name}-${client}-stream`]));
  return [config, ...tables.flatMap((table) => cases.map((it) => table.replace("]", `-${it}]`)))].join("\n\n");
}

/** Starts strict providers. */
async function simulate() {
  const schemas = process.env.TOLLGATE_SCHEMAS;
  const args = ["--strict", "--key", "simulated", ...(schemas ? ["--schemas", schemas] : [])];
  const child = spawn(process.env.TOLLGATE_SIM, args, { stdio: ["ignore", "pipe", "inherit"] });
  const [said] = await once(child.stdout, "data");
  return { child, url: said.toString().trim() };
}

function makeKey(folder, ...args) {
  const said = execFileSync(process.env.TOLLGATE_BIN, ["keys", "create", ...args], { cwd: folder });
  return said.toString().match(/sk-tg-[A-Za-z0-9_-]+/)[0];
}

export function freePort() {
  return new Promise((resolve) => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

async function untilReady(child, url) {
  for (let n = 0; n < 200; n++) {
    assert.equal(child.exitCode, null, "the gateway ended");
    const ready = await fetch(url + "/readyz").then((r) => r.ok, () => false);
    if (ready) return;
    await sleep(50);
  }
  throw new Error("the gateway does not become ready");
}
