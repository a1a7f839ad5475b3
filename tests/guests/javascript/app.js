// A JavaScript guest that misbehaves: one function for each way, and an honest one.
//
// Written over the raw contract, as componentize-js gives it. Each function takes `x: int64` and says that it gives
// `y: int64`. What each must meet is written in tests/hostile/languages.rs.

const functions = {
  honest: (x) => x,
  loop: () => {
    for (;;);
  },
  grow: () => {
    const held = [];
    for (;;) held.push(new Uint8Array(1 << 20).fill(1));
  },
  exception: () => {
    throw new TypeError("on purpose");
  },
  error: () => {
    throw "refused on purpose";
  },
  "giant-output": () => new Uint8Array(24 << 20),
  recursion: () => {
    const down = (depth) => down(depth + 1) + 1;
    return down(0);
  },
  "log-flood": (x) => {
    for (let at = 0; at < 2_000; at++) console.log("x".repeat(1_024));
    return x;
  },
  "wrong-type": () => 7,
  "regular-expression": () => {
    throw /^(a+)+$/.test("a".repeat(60) + "b") ? "it matched" : "it did not match";
  },
  "giant-string": () => {
    let text = "x";
    for (;;) text += text;
  },
  "evaluate": (x) => {
    try {
      return new Function("x", "return x")(x);
    } catch (refused) {
      throw `refused: ${refused.name}`;
    }
  },
  fetch: async () => {
    try {
      await fetch("http://127.0.0.1:22/");
    } catch (refused) {
      throw `refused: ${refused}`;
    }
    throw "the host gave a connection";
  },
  "endless-promise": (x) => {
    const again = () => Promise.resolve().then(again);
    again();
    return x;
  },
  clock: () => {
    const before = [Date.now(), performance.now()];
    for (let at = 0; at < 1e5; at++);
    const same = Date.now() === before[0] && performance.now() === before[1];
    throw same ? "refused: time stands still" : "the host gave its clock";
  },
};

const names = Object.keys(functions);
const port = (name, field) => ({ name, fields: [{ name: field, type: "int64", nullable: false, attributes: [] }] });

export const describe = {
  describe: () =>
    names.map((name) => ({
      name,
      kind: "transform",
      inputs: [port("in", "x")],
      outputs: [port("out", "y")],
      attributes: [],
    })),
};

export const transform = {
  call: async (index, inputs) => {
    const { rows, columns } = inputs[0];
    const y = await functions[names[index]](columns[0].buffers[0]);
    return { ports: [{ data: { rows, columns: [{ validity: undefined, buffers: [y] }] }, origin: undefined }], failed: undefined };
  },
};
