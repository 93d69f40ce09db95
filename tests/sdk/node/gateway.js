// One `tollgate --demo` per test file.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** Starts a gateway: where it is, the key it made, and one that may use a single model. */
export async function start() {
  const folder = mkdtempSync(join(tmpdir(), "tollgate-"));
  const port = await freePort();
  const key = makeKey(folder, "all");
  const limited = makeKey(folder, "limited", "--model", "nobody/nothing");
  const args = ["--demo", "--listen", `127.0.0.1:${port}`];
  const child = spawn(process.env.TOLLGATE_BIN, args, { cwd: folder, stdio: ["ignore", "ignore", "inherit"] });
  const url = `http://127.0.0.1:${port}`;
  await untilReady(child, url);
  const stop = async () => {
    child.kill();
    if (child.exitCode === null) await new Promise((resolve) => child.once("exit", resolve));
    rmSync(folder, { recursive: true, force: true });
  };
  return { url, key, limited, stop };
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
