// The help page names the timeline's keys and signs: all of them, and no others.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { COMMANDS } from "../../web/timeline/commands.js";

const read = (path) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
const PAGE = read("web/docs/HeliosPromptSchedule.md");
const NAMES = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Delete: "Del", Escape: "Esc", " ": "Space" };

/** The rows of the first table behind a heading: [first cell, second cell]. */
function tableOf(heading) {
  const [, behind] = PAGE.split(`\n### ${heading}\n`);
  assert.ok(behind, heading);
  const [table] = /(?:^\|.*\|\n)+/m.exec(behind.split("\n#")[0]);
  return [...table.matchAll(/^\| (.+?) \| (.+) \|$/gm)].slice(1).map(([, a, b]) => [a, b]);
}

/** A key as the page writes it. */
function shown(key) {
  const held = /^(?:(?:Ctrl|Alt|Shift)\+)*/.exec(key)[0];
  const last = key.slice(held.length);
  return held + (NAMES[last] ?? (last.length === 1 ? last.toUpperCase() : last));
}

test("each key is in the table once, and each of the table does something", () => {
  const named = tableOf("Keys").flatMap(([keys]) => [...keys.matchAll(/`([^`]+)`/g)].map(([, key]) => key));
  const known = COMMANDS.flatMap(({ keys }) => keys.map(shown));
  assert.ok(named.length > 50);
  assert.deepEqual([...named].sort(), known.sort());
});

test("the keys of a row are of commands that are told there together", () => {
  const rowOf = new Map(tableOf("Keys").flatMap(([keys], row) => [...keys.matchAll(/`([^`]+)`/g)].map(([, key]) => [key, row])));
  for (const { id, keys } of COMMANDS) assert.ok(new Set(keys.map((key) => rowOf.get(shown(key)))).size <= 1, id);
});

test("each sign of the chunks is explained", () => {
  const signs = [...read("web/timeline/timeline.css").matchAll(/--tl-sign: "(?:\\([0-9A-F]+)|([^"\\]+))"/g)];
  const drawn = signs.map(([, code, plain]) => plain ?? String.fromCodePoint(Number.parseInt(code, 16)));
  const told = tableOf("Chunks and takes").map(([sign]) => sign);
  assert.equal(told.length, 7);
  for (const sign of drawn) assert.ok(told.some((cell) => cell.includes(sign)), sign);
});
