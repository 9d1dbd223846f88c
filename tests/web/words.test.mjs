// What the timeline says: all of it in each language, and nothing that nobody asks for.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

import { COMMANDS } from "../../web/timeline/commands.js";
import { languages, say, setLanguage } from "../../web/timeline/words.js";

const FOLDER = new URL("../../web/timeline/", import.meta.url);
const CODE = readdirSync(FOLDER)
  .filter((file) => file.endsWith(".js") && file !== "words.js")
  .map((file) => readFileSync(new URL(file, FOLDER), "utf8"))
  .join("\n");
const KEYS = Object.keys(languages.en);
// Those that are put together: `lane_${name}`.
const FAMILIES = {
  lane_: ["prompts", "pictures", "seeds", "sound", "chunks"],
  status_: ["done", "reused", "running", "stale", "missing", "failed"],
  double_: ["prompt", "image", "seed", "style"],
};
const TOGETHER = Object.entries(FAMILIES).flatMap(([begin, ends]) => ends.map((end) => begin + end));

test("each language says the same", () => {
  const values = (text) => [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort();
  for (const [name, texts] of Object.entries(languages)) {
    assert.deepEqual(Object.keys(texts), KEYS, name);
    for (const key of KEYS) {
      assert.ok(texts[key].trim(), `${name} ${key}`);
      assert.deepEqual(values(texts[key]), values(languages.en[key]), `${name} ${key}`);
    }
  }
});

test("all that the code asks for is there", () => {
  const calls = [...CODE.matchAll(/\bsay\(([^(){}]*)/g), ...CODE.matchAll(/\bEditError\(([^(){}]*)/g)];
  const asked = calls.flatMap(([, args]) => [...args.matchAll(/(?<!=== )"(\w+)"/g)].map(([, key]) => key));
  assert.ok(asked.length > 80, `${asked.length}`);
  const begun = new Set([...CODE.matchAll(/\b(?:say|EditError)\(`(\w+)\$\{/g)].map(([, begin]) => begin));
  assert.deepEqual([...begun].sort(), Object.keys(FAMILIES).sort());
  const missing = [...asked, ...TOGETHER, ...COMMANDS.map(({ id }) => id)].filter((key) => !KEYS.includes(key));
  assert.deepEqual(missing, []);
});

test("nothing is there that the code does not ask for", () => {
  const unused = KEYS.filter((key) => !TOGETHER.includes(key) && !CODE.includes(`"${key}"`));
  assert.deepEqual(unused, []);
});

test("a language is found by the names that hosts have for it", () => {
  for (const [locale, expected] of Object.entries({ "zh": "关闭", "zh-TW": "关闭", "en-US": "Close", "fr": "Close" })) {
    setLanguage(locale);
    assert.equal(say("close"), expected, locale);
  }
  setLanguage("zh");
  assert.equal(say("chunks_a_b", { a: 2, b: 5 }), "第 2 到 5 块");
  setLanguage("en");
  assert.throws(() => say("nothing of the kind"));
});
