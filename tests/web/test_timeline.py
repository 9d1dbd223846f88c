"""The timeline's modules that need no page: run by Node, which Playwright brings along."""

import json
import random
import re
import shutil
import subprocess
from pathlib import Path

import playwright
import pytest

from helios_core.film.schedule_text import parse_schedule

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web"
CASES = json.loads((ROOT / "tests/schedule_cases.json").read_text("utf-8"))
READ = """
import { readFileSync } from "node:fs";
const { parseSchedule } = await import(process.argv[1]);
const read = ([text, fps]) => {
  try {
    return parseSchedule(text, fps);
  } catch (error) {
    if (error.name !== "ScheduleError") throw error;
    return error.message;
  }
};
console.log(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(read)));
"""


def node(*args, **options) -> subprocess.CompletedProcess:
    found = next((Path(playwright.__file__).parent / "driver").glob("node*"), None) or shutil.which("node")
    return subprocess.run([found, *args], capture_output=True, text=True, encoding="utf-8", cwd=ROOT, **options)


def read_by_page(texts: list[tuple[str, float]]) -> list[dict | str]:
    module = (WEB / "timeline/schedule.js").as_uri()
    done = node("--input-type=module", "-e", READ, module, input=json.dumps(texts))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def read_by_core(text: str, fps: float) -> dict | str:
    try:
        schedule = parse_schedule(text, fps)
    except ValueError as error:
        return str(error)
    return {
        "segments": [{"start": s.start, "prompt": s.prompt, "blend": s.blend} for s in schedule.segments],
        "pictures": [{"start": k.start, "file": k.name, "blend": k.blend} for k in schedule.keyframes],
        "seeds": [{"start": s.start, "seed": str(s.seed)} for s in schedule.seeds],
    }


def compared(found: dict | str) -> dict | str:
    return found if isinstance(found, str) else {key: found[key] for key in ("segments", "pictures", "seeds")}


def expected(case: dict) -> dict | str:
    if "error" in case:
        return case["error"]
    return {
        "segments": [{"start": k, "prompt": prompt, "blend": blend} for k, blend, prompt in case["segments"]],
        "pictures": [{"start": k, "file": file, "blend": blend} for k, blend, file in case.get("pictures", ())],
        "seeds": [{"start": k, "seed": seed} for k, seed in case.get("seeds", ())],
    }


def test_core_and_page_agree_on_the_shared_cases():
    assert len(CASES) >= 300 and sum("error" in case for case in CASES) >= 100
    texts = [(case["text"], case.get("fps", 24)) for case in CASES]
    for case, (text, fps), by_page in zip(CASES, texts, read_by_page(texts), strict=True):
        assert read_by_core(text, fps) == expected(case), text
        assert compared(by_page) == expected(case), text


PIECES = (
    *("0", "1", "4", "12", "0:", "4:", "9: x", "5s", "5.5s", "33f", "1 s", "9.7", "1:30", "3", "+3", "2.5"),
    *("cut", "blend", "blend 3", "blend 1", "fade 3", "seed", "seed 12", "9 seed 99", "18446744073709551616"),
    *("image", "image:", "6 image: x.png", "off", "off ", "style:", "style: s.", "style"),
    *("a", "the sea, calm", "a very long prompt about the sea and the lighthouse, again and again and again", "{a|b}"),
    *(
        ":",
        " : ",
        "\n",
        "\n",
        "\n",
        "\n  ",
        "\n\t",
        "\n# c\n",
        "\n  # c\n",
        " ",
        " ",
        "\r\n",
        "#",
        "\v",
        "\x85",
        "\u2028",
    ),
    *(
        "\u3000",
        "\u200b",
        "\ufeff",
        "\uff1a",
        "\uff11\uff12",
        "\u0663",
        "\u017f",
        "\u00e9",
        "\U0001f98a",
        "\U0001d7d7",
        "\ud83d",
    ),
)


def test_core_and_page_agree_on_ten_thousand_texts():
    draw = random.Random(20261128)
    texts = []
    for _ in range(10_000):
        text = "".join(draw.choices(PIECES, k=draw.randint(1, 10)))
        texts.append((draw.choice(["", "0: a\n"]) + text, draw.choice([24.0, 24.0, 30.0, 16.0, 23.976])))
    by_core = [read_by_core(*text) for text in texts]
    for text, core, page in zip(texts, by_core, read_by_page(texts), strict=True):
        assert compared(page) == core, text
    assert sum(isinstance(found, dict) for found in by_core) > 1000
    kinds = {re.sub(r"[\d.]+|“.*”|‘.*’", "", found) for found in by_core if isinstance(found, str)}
    assert len(kinds) >= 12, kinds


TELL = """
import { readFileSync } from "node:fs";
const at = name => new URL(name, process.argv[1]);
const { readSchedule, used } = await import(at("schedule.js"));
const { pictureAt, seedAt, wordsAt } = await import(at("takes.js"));
const tell = text => {
  const { segments, pictures, seeds } = used(readSchedule(text).entries);
  return Array.from({ length: 16 }, (_, k) => [wordsAt(segments, k), pictureAt(pictures, k), seedAt(seeds, k, "5")]);
};
console.log(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(tell)));
"""


def test_core_and_page_tell_each_chunk_the_same():
    """Its words with their weights, in blends that overlap too, its picture and its seed."""
    draw, texts = random.Random(20261129), []
    for _ in range(300):
        starts = sorted(draw.sample(range(1, 14), draw.randint(0, 4)))
        lines = ["0: start", *(f"{k}{draw.choice(['', ' blend 2', ' blend 5'])}: words {k}" for k in starts)]
        lines += [f"{k} image{draw.choice(['', ' blend 3'])}: {k}.png" for k in draw.sample(range(14), 2)]
        lines += [f"{k} seed {draw.randrange(2**64)}" for k in draw.sample(range(14), 2)]
        texts.append("\n".join(lines))
    done = node("--input-type=module", "-e", TELL, (WEB / "timeline/").as_uri() + "/", input=json.dumps(texts))
    assert done.returncode == 0, done.stderr
    blended = 0
    for text, chunks in zip(texts, json.loads(done.stdout), strict=True):
        schedule = parse_schedule(text)
        for chunk, (words, picture, seed) in enumerate(chunks):
            assert [said for _, said in words] == [said for _, said in schedule.words_at(chunk)], text
            assert [weight for weight, _ in words] == pytest.approx([w for w, _ in schedule.words_at(chunk)])
            expected = schedule.picture_at(chunk)
            assert (picture and picture["file"]) == (expected and expected.name)
            assert seed == str(schedule.seed_at(chunk, 5))
            blended += len(words) > 2
    assert blended > 20


@pytest.mark.parametrize("file", sorted(Path(__file__).parent.glob("*.test.mjs")), ids=lambda file: file.stem)
def test_in_node(file):
    done = node("--test", "--test-reporter=spec", str(file))
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert re.search(r"pass [1-9]", done.stdout) and "fail 0" in done.stdout


def test_types():
    tsc = ROOT / ".venv/npm/node_modules/typescript/bin/tsc"
    if not tsc.exists():
        pytest.skip("no typescript: make setup fetches it where there is npm")
    done = node(str(tsc), "-p", str(ROOT))
    assert done.returncode == 0, done.stdout
