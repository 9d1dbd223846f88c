// What the lane of chunks says of a film, from its chunks on disk and a schedule.

import assert from "node:assert/strict";
import { test } from "node:test";

import { readSchedule, used } from "../../web/timeline/schedule.js";
import { costOf, couldSay, laneChunks, newSeed, pictureAt, seedAt, takesOf, useTake, wordsAt } from "../../web/timeline/takes.js";

const SEED = "18446744073709551615"; // more than this language's numbers hold
const WANTED = { first: 0, end: 6, seed: SEED };

/** The film that a text makes, in addition to what is there: names are "take chunk". */
function make(text, count, { take = "a", film = null, state = "done" } = {}) {
  const { segments, seeds, pictures } = used(readSchedule(text).entries);
  const chunks = { ...film?.chunks };
  const names = [];
  const reused = [];
  for (let chunk = 0; chunk < count; chunk += 1) {
    const words = wordsAt(segments, chunk);
    const picture = pictureAt(pictures, chunk);
    const entry = {
      chunk,
      parent: names.at(-1) ?? "",
      seed: seedAt(seeds, chunk, SEED),
      prompt: words.at(-1)[1],
      ...(words.length > 1 ? { words } : {}),
      ...(picture ? { picture } : {}),
      seconds: 10,
      made: Object.keys(chunks).length,
      starred: false,
    };
    const same = Object.keys(chunks).find((name) =>
      ["parent", "seed", "prompt", "words", "picture"].every((key) => JSON.stringify(chunks[name][key]) === JSON.stringify(entry[key])),
    );
    if (same) reused.push(same);
    else chunks[`${take} ${chunk}`] = entry;
    names.push(same ?? `${take} ${chunk}`);
  }
  return { film: "f", revision: "1", run: { first: 0, end: 6, text, state, error: "", chunks: names, reused, settings: {} }, chunks, now: null };
}
const states = (film, text, wanted = WANTED) => laneChunks(film, readSchedule(text), wanted).map((c) => c.status);

test("nothing is made", () => assert.deepEqual(states(null, "0: a"), Array(6).fill("missing")));

test("made, and what an edit makes stale", () => {
  const text = "0: a\n2 blend 3: b\n4 image blend 2: x.png\n";
  const film = make(text, 6);
  assert.deepEqual(states(film, text), Array(6).fill("done"));
  const from = (count) => [...Array(count).fill("done"), ...Array(6 - count).fill("stale")];
  assert.deepEqual(states(film, text.replace("b", "c")), from(3)); // the first of a blend is what it was
  assert.deepEqual(states(film, `${text}4 seed 1`), from(4));
  assert.deepEqual(states(film, text.replace("x.png", "y.png")), from(5)); // in a picture's blend too
  assert.deepEqual(states(film, `style: ink\n${text}`), from(0));
  assert.deepEqual(states(film, text, { ...WANTED, seed: "1" }), from(0));
  assert.deepEqual(states(film, `${text}# a note\noff 1: z\n`), from(6));
  assert.deepEqual(states(film, text, { ...WANTED, end: 8 }), [...from(6), "missing", "missing"]);
});

test("under way, stopped, failed", () => {
  const text = "0: a";
  const film = make(text, 2, { state: "running" });
  assert.deepEqual(states({ ...film, now: 2 }, text), ["done", "done", "running", "missing", "missing", "missing"]);
  film.run.state = "failed";
  assert.deepEqual(states(film, text), ["done", "done", "failed", "missing", "missing", "missing"]);
  film.run.state = "stopped";
  assert.deepEqual(states(film, text).slice(0, 4), ["done", "done", "missing", "missing"]);
});

test("takes of a chunk, and the way back to one", () => {
  const text = "0: a\n3: b\n";
  const again = `${text}2 seed 7\n`;
  const film = make(again, 6, { take: "b", film: make(text, 6) });
  assert.deepEqual(states(film, again), ["reused", "reused", "done", "done", "done", "done"]);
  assert.deepEqual(takesOf(film, "b 2"), ["a 2", "b 2"]);
  assert.deepEqual(takesOf(film, "b 3"), ["b 3"]); // the other one follows another film
  const back = useTake(readSchedule(again), film, "a 2", WANTED).schedule.text;
  assert.equal(back, text);
  assert.deepEqual(states(film, back), ["reused", "reused", ...Array(4).fill("done")]);
  assert.equal(useTake(readSchedule(text), film, "b 2", WANTED).schedule.text, "0: a\n2 seed 7\n3: b\n");
  const other = make("0: a\n2: z\n", 6, { take: "c", film });
  assert.throws(() => useTake(readSchedule(text), other, "c 2", WANTED), { key: "other_words" });
});

test("what it costs to take one again", () => {
  const text = "0: a";
  const film = make(text, 5);
  const lane = laneChunks(film, readSchedule(text), WANTED);
  assert.deepEqual(costOf(film, lane, 2), { later: 2, seconds: 40 });
  assert.deepEqual(costOf(film, lane, 5), { later: 0, seconds: 10 });
});

test("a prompt with choices and notes is what they may give", () => {
  const prompt = "a {red|{dark |}blue} fox /* really */ in // tbd";
  for (const said of ["a red fox in", "a blue fox  in ", "a dark blue fox in"]) assert.ok(couldSay(prompt, said), said);
  for (const said of ["a green fox in", "a red fox", "a dark red fox in"]) assert.ok(!couldSay(prompt, said), said);
  assert.ok(couldSay("a \\{b\\} c.", "a {b} c.") && !couldSay("a \\{b\\} c.", "a {b} cd"));
  assert.ok(!couldSay("a {b", "a b"));
});

test("what other nodes added has no name here", () => {
  const film = make("0: a", 2);
  film.chunks["a 1"].picture = { file: "", weight: 1 };
  film.chunks["a 0"].prompt = "";
  assert.deepEqual(states(film, "0: a").slice(0, 2), ["done", "done"]);
});

test("a new seed is one that every widget can hold", () => {
  const seeds = Array.from({ length: 200 }, newSeed);
  assert.equal(new Set(seeds).size, 200);
  assert.ok(seeds.every((seed) => Number.isSafeInteger(Number(seed)) && String(Number(seed)) === seed));
});
