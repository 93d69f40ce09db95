// What several test files ask with.

export const PNG =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP4z8AAAAMBAQD3A0FDAAAAAElFTkSuQmCC";

export const SCHEMA = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};

export const LONG = "[[sim:events:400]][[sim:pace:20ms]] Tell me a long story";

export async function collect(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

/** What `promise` fails with, which must be a `kind`. */
export async function failure(promise, kind) {
  let value;
  try {
    value = await promise;
  } catch (error) {
    if (error instanceof kind) return error;
    throw new Error(`not a ${kind.name}, but ${error?.constructor?.name}: ${error?.message}`, { cause: error });
  }
  throw new Error(`no failure, but ${JSON.stringify(value)}`);
}

/** A `fetch` that counts. */
export function counting() {
  const counted = (...args) => {
    counted.calls += 1;
    return fetch(...args);
  };
  counted.calls = 0;
  return counted;
}

export const many = (one, n = 30) => Promise.all(Array.from({ length: n }, (_, i) => one(i)));

let numbers = 0;

/** A model of its own for what fails: the gateway sets aside what failed. */
export function modelFor(text, usual) {
  const fails = /sim:(error|cut|garbage|delay)/.test(JSON.stringify(text));
  return fails ? `${usual.split("/")[0]}/fault-${numbers++}` : usual;
}
