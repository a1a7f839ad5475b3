// Builds the JavaScript guest: `node build.mjs SOURCE CONTRACT OUTPUT`, where componentize-js can be found.

import { componentize } from "@bytecodealliance/componentize-js";
import { writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { argv } from "node:process";

const [, , source, contract, output] = argv;
const { component } = await componentize({
  sourcePath: source,
  witPath: contract,
  worldName: "transform-udf",
  disableFeatures: ["http", "fetch-event"],
});
await writeFile(output, component);
