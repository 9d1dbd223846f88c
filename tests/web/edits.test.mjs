// Edits of a schedule's text: what each does, and that it leaves all other lines alone.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as edits from "../../web/timeline/edits.js";
import { History } from "../../web/timeline/history.js";
import { parseSchedule, readSchedule, splitLines } from "../../web/timeline/schedule.js";

const END = 12;
const FILM = `# A lighthouse.
style: soft light
0: calm sea
4 blend 3: a storm,
    high waves
# Inside.
8: the keeper
6 image: boat.png
9 seed 7
off 10: the end
`;
const read = (text, fps = 24) => readSchedule(text, fps);
const index = (schedule, value) => {
  const found = schedule.entries.findIndex((e) => e.value.startsWith(value));
  assert.ok(found >= 0, value);
  return found;
};
/** FILM after `edit(schedule, find)`, where find("calm") is the index of an entry. */
function after(edit, text = FILM) {
  const schedule = read(text);
  return edit(schedule, (value) => index(schedule, value)).schedule.text;
}
const changed = (text, changes) => Object.entries(changes).reduce((t, [a, b]) => (assert.ok(t.includes(a), a), t.replace(a, b)), text);

const CASES = {
  "roll": [(s, i) => edits.moveStart(s, i("a storm"), 5, { end: END }), { "4 blend": "5 blend" }],
  "a roll stops before its neighbours": [(s, i) => edits.moveStart(s, i("a storm"), 90, { end: END }), { "4 blend": "7 blend" }],
  "and behind them": [(s, i) => edits.moveStart(s, i("a storm"), -3, { end: END }), { "4 blend": "1 blend" }],
  "ripple": [
    (s, i) => edits.moveStart(s, i("a storm"), 6, { end: END, ripple: true }),
    { "4 blend": "6 blend", "\n8: the": "\n10: the", "6 image": "8 image", "9 seed": "11 seed", "off 10": "off 12" },
  ],
  "a picture is dragged": [(s, i) => edits.moveStart(s, i("boat"), 3, { end: END }), { "6 image": "3 image" }],
  "slide": [(s, i) => edits.slide(s, [i("a storm")], 2, END), { "4 blend": "6 blend", "\n8: the": "\n10: the" }],
  "reorder": [
    (s, i) => edits.reorder(s, [i("the keeper")], i("a storm"), END),
    {
      "4 blend 3: a storm,\n    high waves\n# Inside.\n8: the keeper\n6 image": "# Inside.\n4: the keeper\n8 blend 3: a storm,\n    high waves\n10 image",
      "9 seed": "5 seed",
      "off 10": "off 6",
    },
  ],
  "the first one is a cut": [
    (s, i) => edits.reorder(s, [i("a storm")], i("calm"), END),
    {
      "# A lighthouse.\nstyle: soft light\n0: calm sea\n4 blend 3: a storm,\n    high waves\n":
        "# A lighthouse.\nstyle: soft light\n0: a storm,\n    high waves\n4: calm sea\n",
      "6 image": "2 image",
    },
  ],
  "split": [(s) => edits.split(s, 6, END), { "    high waves\n": "    high waves\n6: a storm,\n    high waves\n" }],
  "merge": [
    (s, i) => edits.merge(s, [i("calm"), i("a storm")], END),
    { "0: calm sea\n4 blend 3: a storm,\n    high waves\n": "0: calm sea\n    a storm,\n    high waves\n" },
  ],
  "duplicate": [
    (s, i) => edits.duplicate(s, [i("a storm")], END),
    {
      "    high waves\n": "    high waves\n8 blend 3: a storm,\n    high waves\n",
      "\n8: the": "\n12: the",
      "9 seed": "13 seed",
      "off 10": "off 14",
    },
  ],
  "lift": [(s, i) => edits.remove(s, [i("a storm")], { end: END }), { "4 blend 3: a storm,\n    high waves\n": "" }],
  "lift of the first": [
    (s, i) => edits.remove(s, [i("calm")], { end: END }),
    { "0: calm sea\n": "", "4 blend 3:": "0:" },
  ],
  "ripple delete": [
    (s, i) => edits.remove(s, [i("a storm")], { end: END, ripple: true }),
    {
      "4 blend 3: a storm,\n    high waves\n": "",
      "8: the": "4: the",
      "6 image: boat.png\n": "",
      "9 seed": "5 seed",
      "off 10": "off 6",
    },
  ],
  "off": [(s, i) => edits.toggleOff(s, [i("a storm")]), { "4 blend": "off 4 blend" }],
  "on": [(s, i) => edits.toggleOff(s, [i("the end")]), { "off 10": "10" }],
  "longer blend": [(s, i) => edits.setBlend(s, i("a storm"), 5), { "blend 3": "blend 5" }],
  "cut": [(s, i) => edits.setBlend(s, i("a storm"), 0), { "4 blend 3:": "4:" }],
  "blend": [(s, i) => edits.toggleBlend(s, i("the keeper")), { "8: the": "8 blend 3: the" }],
  "blend of a picture": [(s, i) => edits.setBlend(s, i("boat"), 4), { "6 image:": "6 image blend 4:" }],
  "other words": [(s, i) => edits.setValue(s, i("calm"), "rough sea"), { "calm sea": "rough sea" }],
  "more lines": [
    (s, i) => edits.setValue(s, i("a storm"), "a storm,\nlow clouds\nhigh waves"),
    { "storm,\n": "storm,\n    low clouds\n" },
  ],
  "a line above": [
    (s, i) => edits.setValue(s, i("a storm"), "night\na storm,\nhigh waves"),
    { "a storm,\n": "night\n    a storm,\n" },
  ],
  "fewer lines": [(s, i) => edits.setValue(s, i("a storm"), "high waves"), { "a storm,\n    high": "high" }],
  "what would be read as something else": [
    (s, i) => edits.setValue(s, i("calm"), "30: sheep\n# of them\n7: more"),
    { "calm sea": "30: sheep # of them 7: more" },
  ],
  "emptied, and said again": [
    (s, i) => {
      const index = i("calm");
      return edits.setValue(edits.setValue(s, index, "").schedule, index, "calm sea");
    },
    {},
  ],
  "style": [(s) => edits.setStyle(s, "hard light"), { "soft light": "hard light" }],
  "no style": [(s) => edits.setStyle(s, ""), { "style: soft light\n": "" }],
  "a new prompt": [(s) => edits.addPrompt(s, 2, "gulls"), { "calm sea\n": "calm sea\n2: gulls\n" }],
  "a new picture": [(s) => edits.setPicture(s, 4, "a b.png", 3), { "    high waves\n": "    high waves\n4 image blend 3: a b.png\n" }],
  "another picture": [(s) => edits.setPicture(s, 6, "cat.png"), { "boat.png": "cat.png" }],
  "a new seed": [(s) => edits.setSeed(s, 11, "99"), { "off 10: the end\n": "off 10: the end\n11 seed 99\n" }],
  "another seed": [(s) => edits.setSeed(s, 9, "18446744073709551615"), { "seed 7": "seed 18446744073709551615" }],
  "no seed": [(s) => edits.setSeed(s, 9, null), { "9 seed 7\n": "" }],
  "paste": [
    (s) => edits.paste(s, 5, "0: x\n2 blend 2: y\n", END, 4),
    {
      "    high waves\n": "    high waves\n5: x\n7 blend 2: y\n9: a storm,\n    high waves\n",
      "\n8: the": "\n12: the",
      "6 image": "10 image",
      "9 seed": "13 seed",
      "off 10": "off 14",
    },
  ],
};

for (const [name, [edit, changes]] of Object.entries(CASES))
  test(name, () => {
    const text = after(edit);
    assert.equal(text, changed(FILM, changes));
    parseSchedule(text);
  });

test("units stay, and starts are rounded as before", () => {
  const film = "0: a\n5.5s: b\n330 f blend 3: c\n";
  assert.equal(after((s, i) => edits.moveStart(s, i("b"), 6, { end: 20 }), film), "0: a\n8.25s: b\n330 f blend 3: c\n");
  assert.equal(after((s, i) => edits.moveStart(s, i("c"), 12, { end: 20 }), film), "0: a\n5.5s: b\n396 f blend 3: c\n");
  for (const fps of [24, 30, 23.976, 7.3])
    for (let chunk = 1; chunk < 300; chunk += 7) {
      const { schedule } = edits.moveStart(read("0: a\n1s: b", fps), 1, chunk, { end: 999 });
      assert.equal(schedule.entries[1].chunk, chunk, `${schedule.text} ${fps}`);
    }
});

test("refused, with a reason", () => {
  const schedule = read(FILM);
  const i = (value) => index(schedule, value);
  const refused = {
    first_stays: () => edits.moveStart(schedule, i("calm"), 3, { end: END }),
    last_prompt: () => edits.remove(read("0: a"), [0], { end: END }),
    first_stays_on: () => edits.toggleOff(schedule, [i("calm")]),
    first_is_cut: () => edits.setBlend(schedule, i("calm"), 3),
    double_prompt: () => edits.addPrompt(schedule, 4, "x"),
    double_image: () => edits.moveMark(read("0: a\n2 image: b\n3 image: c"), 2, 2),
    double_seed: () => edits.moveMark(read("0: a\n2 seed 1\n3 seed 2"), 1, 3),
    no_seed: () => edits.setSeed(schedule, 3, "-1"),
    nothing_to_split: () => edits.split(schedule, 4, END),
    nothing_to_merge: () => edits.merge(schedule, [i("the keeper")], END),
    not_neighbours: () => edits.merge(schedule, [i("calm"), i("the keeper")], END),
    nothing_to_add: () => edits.addPrompt(schedule, 2, "  "),
    nothing_to_paste: () => edits.paste(schedule, 2, " \n", END),
    broken_paste: () => edits.paste(schedule, 2, "0: a\n3 fade: b", END),
    nothing_selected: () => edits.remove(schedule, [], { end: END }),
    no_blend: () => edits.setBlend(schedule, i("7"), 3),
  };
  for (const [key, edit] of Object.entries(refused)) assert.throws(edit, { name: "EditError", key });
});

test("copied prompts are a schedule that can be pasted", () => {
  const schedule = read(FILM);
  const chosen = ["a storm", "the keeper", "boat", "7"].map((value) => index(schedule, value));
  const { text, length } = edits.copy(schedule, chosen, END);
  assert.equal(text, "0: a storm,\n    high waves\n2 image: boat.png\n4: the keeper\n5 seed 7\n");
  assert.equal(length, 8);
  const pasted = edits.paste(read("0: x\n3: y"), 3, text, 6, length).schedule;
  assert.deepEqual(
    parseSchedule(pasted.text).segments.map((s) => s.start),
    [0, 3, 7, 11],
  );
});

test("a plain text is pasted as a prompt", () => {
  const { schedule, selected } = edits.paste(read("0: x\n"), 2, "a dog\nin the snow", 9);
  assert.equal(schedule.text, "0: x\n2: a dog\n    in the snow\n5: x\n");
  assert.deepEqual(selected, [1]);
});

test("found in order of time, from the selected one on", () => {
  const schedule = read("4: a fox\n0: Fox\n8: dog\n9: foxes\n");
  assert.deepEqual(edits.find(schedule, " fox"), [1, 0, 3]);
  assert.deepEqual(edits.find(schedule, "fox", 1), [0, 3, 1]);
  assert.deepEqual(edits.find(schedule, "fox", 3), [1, 0, 3]);
  assert.deepEqual(edits.find(schedule, "cat"), []);
});

// Everything that a text may have in it: odd breaks, blanks, indentation, heads over several lines.
const pick = (random, list) => list[Math.floor(random() * list.length)];
function mulberry(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function randomText(random) {
  const fps = pick(random, [24, 24, 30, 23.976]);
  const breaks = pick(random, [["\n"], ["\n"], ["\r\n"], ["\n", "\v", "\u2028"]]);
  const margin = pick(random, ["", "", "  ", "\t"]);
  const n = 1 + Math.floor(random() * 7);
  const chunks = [0];
  while (chunks.length < n) chunks.push(chunks[chunks.length - 1] + 1 + Math.floor(random() * 5));
  let entries = chunks.map((chunk) => ({ chunk, kind: "prompt" }));
  for (const kind of ["image", "seed", "off", "style"])
    while (random() < 0.4) {
      entries.push({ chunk: Math.floor(random() * 20), kind });
      if (kind === "style") break;
    }
  if (random() < 0.3) entries = entries.sort(() => random() - 0.5);
  const used = new Set();
  let text = pick(random, ["", "", "# a film\n", "\n\n"]);
  for (const { chunk, kind } of entries) {
    if (kind !== "off" && used.has(`${kind} ${chunk}`)) continue;
    used.add(`${kind} ${chunk}`);
    const start = pick(random, [`${chunk}`, `${chunk}`, `${chunk * 33}f`, `${Math.floor((chunk * 33000) / fps) / 1000}s`, `${chunk * 33} f`]);
    const blend = chunk ? pick(random, ["", "", " cut", " blend", " blend 4", "  Blend  2 "]) : pick(random, ["", " cut"]);
    const gap = pick(random, ["", " ", "  ", `${pick(random, breaks.slice(0, 1))}${margin}  `]);
    const lines = Array.from({ length: 1 + Math.floor(random() * 3) }, () => pick(random, ["a fox", "sea, calm", "\u{1f98a} night", "x y  z", "12 men", "blend"]));
    lines[0] += ` ${used.size}`; // so that each can be told from the others
    const value = lines.join(`${pick(random, breaks)}${margin}${pick(random, ["  ", "\t", "      "])}${pick(random, ["", "", "# no\n" + margin + "  "])}`);
    if (kind === "style") text += `${margin}style:${gap}${lines[0]}`;
    else if (kind === "image") text += `${margin}${start} image${blend}:${gap}${lines[0]}.png`;
    else if (kind === "seed") text += `${margin}${start} seed ${Math.floor(random() * 1e9)}`;
    else text += `${margin}${kind === "off" ? "off " : ""}${start}${blend}:${gap}${value}`;
    text += pick(random, breaks) + pick(random, ["", "", "", "\n", "# note\n", "   # note\n", "   \n"]);
  }
  return [random() < 0.2 ? text.trimEnd() : text, fps];
}

const WORDS = ["", "one", "two\nthree", "a fox\nin the snow", "# hash\n3: colon", "12", " \u200b spaced ", "1:30: x"];

function randomEdit(random, schedule, end) {
  const { entries } = schedule;
  const one = () => Math.floor(random() * entries.length);
  const some = () => entries.map((_, i) => i).filter(() => random() < 0.4);
  const chunk = () => Math.floor(random() * 24);
  const prompt = () => pick(random, edits.blocksOf(schedule, end)).index;
  return pick(random, [
    ["moveStart", [prompt()], () => edits.moveStart(schedule, prompt(), chunk(), { end })],
    ["ripple", null, () => edits.moveStart(schedule, prompt(), chunk(), { end, ripple: true })],
    ["slide", null, () => edits.slide(schedule, [prompt()], chunk() - 12, end)],
    ["reorder", null, () => edits.reorder(schedule, [prompt(), prompt()], random() < 0.3 ? null : prompt(), end)],
    ["split", null, () => edits.split(schedule, chunk(), end)],
    ["merge", null, () => edits.merge(schedule, [prompt()], end)],
    ["duplicate", null, () => edits.duplicate(schedule, random() < 0.5 ? [prompt()] : some(), end)],
    ["remove", null, () => edits.remove(schedule, some(), { end, ripple: random() < 0.5 })],
    ["off", null, () => edits.toggleOff(schedule, [one()])],
    ["blend", null, () => edits.setBlend(schedule, one(), Math.floor(random() * 6))],
    ["value", null, () => edits.setValue(schedule, prompt(), pick(random, WORDS))],
    ["style", null, () => edits.setStyle(schedule, pick(random, ["", "ink", "oil,\nold"]))],
    ["add", null, () => edits.addPrompt(schedule, chunk(), pick(random, WORDS), pick(random, [0, 3]))],
    ["picture", null, () => edits.setPicture(schedule, chunk(), "boat.png", pick(random, [0, 2]))],
    ["seed", null, () => edits.setSeed(schedule, chunk(), pick(random, [null, "5", "99"]))],
    ["paste", null, () => edits.paste(schedule, chunk(), pick(random, ["a dog", "0: x\n3: y", "2 blend 3: b\n4 seed 1"]), end)],
  ]);
}

/** What the text's comments, and the entries that mean after the edit what they meant before, look like. */
function untouched(before, after) {
  const signature = (e) => JSON.stringify([e.kind, e.off, e.value, e.chunk, e.blend]);
  const left = new Map();
  for (const e of after.entries) left.set(signature(e), (left.get(signature(e)) ?? 0) + 1);
  const inEntry = new Map();
  for (const e of before.entries) {
    const key = signature(e);
    const same = (left.get(key) ?? 0) > 0;
    if (same) left.set(key, left.get(key) - 1);
    for (const line of e.lines) inEntry.set(line.number, same);
  }
  return splitLines(before.text)
    .filter((line) => inEntry.get(line.number) ?? true)
    .map((line) => before.text.slice(line.start, line.end).replace(/[\r\n]+$/, ""))
    .filter((line) => line.trim());
}

test("10,000 random edits leave all other lines alone, and are undone", () => {
  const random = mulberry(20261128);
  const counts = { done: 0, refused: 0, indented: 0 };
  const kinds = {};
  while (counts.done < 10_000) {
    const [text, fps] = randomText(random);
    let schedule = readSchedule(text, fps);
    if (schedule.mistakes.length) continue; // such as a number behind a soft break
    const history = new History(schedule);
    for (let step = 0; step < 8; step += 1) {
      if (schedule.mistakes.length) break; // an empty prompt, as while it is typed
      if (new Set(schedule.entries.map((e) => e.value)).size < schedule.entries.length) break; // copies look alike
      const [name, , run] = randomEdit(random, schedule, 16);
      let result;
      try {
        result = run();
      } catch (error) {
        assert.equal(error.name, "EditError", `${name}: ${error.stack}\n${JSON.stringify(schedule.text)}`);
        counts.refused += 1;
        continue;
      }
      const before = schedule;
      schedule = result.schedule;
      counts.done += 1;
      kinds[name] = (kinds[name] ?? 0) + 1;
      history.push(schedule);
      if (!schedule.text.includes(": \n") && name !== "value") assert.deepEqual(schedule.mistakes, [], `${name}\n${JSON.stringify(before.text)}\n${JSON.stringify(schedule.text)}`);
      assert.ok(result.selected.every((i) => schedule.entries[i]));
      const kept = untouched(before, schedule);
      const lines = splitLines(schedule.text).map((line) => schedule.text.slice(line.start, line.end).replace(/[\r\n]+$/, ""));
      const missing = kept.filter((line) => !takeOut(lines, line));
      if (missing.length) {
        // Only where the text could not be read otherwise, and then only blanks at a line's start.
        counts.indented += 1;
        const trimmed = splitLines(schedule.text).map((line) => schedule.text.slice(line.from, line.to));
        for (const line of kept) assert.ok(takeOut(trimmed, line.trim().replace(/^[\s\u200b]+|[\s\u200b]+$/g, "")), `${name}: ${JSON.stringify(line)}\n${JSON.stringify(before.text)}\n${JSON.stringify(schedule.text)}`);
      }
    }
    while (history.undo()) schedule = history.present;
    assert.equal(history.present.text, text);
  }
  console.log(counts, kinds);
  assert.ok(Object.keys(kinds).length === 16 && Object.values(kinds).every((n) => n > 100), JSON.stringify(kinds));
  assert.ok(counts.indented < counts.done / 50, JSON.stringify(counts));
});

function takeOut(list, item) {
  const at = list.indexOf(item);
  if (at >= 0) list.splice(at, 1);
  return at >= 0;
}
