// What came of each case, for the page that says what is supported.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export const TABLE = JSON.parse(readFileSync(process.env.TOLLGATE_MATRIX, "utf8"));
const results = [];

/** Notes how `run` ended. What is known not to work must fail, or the table is old. */
export async function note(it, run) {
  const row = TABLE.unsupported.find((row) => ["client", "upstream", "feature", "mode"].every((key) => (row[key] ?? it[key]) === it[key]));
  const result = { ...it };
  results.push(result);
  try {
    await run();
  } catch (error) {
    result.not = row?.reason ?? "fails";
    if (!row) throw error;
    return;
  }
  if (row) throw new Error(`works, but matrix.json says it does not: ${row.reason}`);
}

export function write() {
  const folder = process.env.TOLLGATE_RESULTS;
  if (!folder) return;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `node-${process.pid}.json`), JSON.stringify(results));
}
