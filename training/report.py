"""demo/EVAL.md: everything of evaluate.py asked of the files that ship, in tables and pictures."""

import hashlib
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

import helios_core
from helios_core.command.download import checksum
from helios_core.diffusion.recipe import DEMO_RECIPES

from . import evaluate, measure, world
from .evaluate import Demo, Drawn
from .pictures import sheet
from .state import save_state

WAYS = {  # how films are made, with which recipe, and what is taken away from it
    "drawn": (Drawn, "distilled", {}),
    "Base": (Demo, "base", {}),
    "Distilled": (Demo, "distilled", {}),
    "Distilled, without memory": (Demo, "distilled", {"forgets": True}),
    "Distilled, another prompt": (Demo, "distilled", {"deaf": True}),
}
POINTLESS = [("Distilled, without memory", "prompts")]  # a first chunk has none anyway
FILMS = {"prompts": 100, "cuts": 40, "blends": 20, "pictures": 20, "videos": 40}
FEWER = {"prompts": 100, "cuts": 20, "blends": 8, "pictures": 8, "videos": 20}  # of Base, which is slow, and baselines
SEEDS = {question: 100 + n for n, question in enumerate([*FILMS, "minute"])}  # looked at for nothing else
MAKERS = (
    "checkpoint codecs config denoise guidance keyframes layers memory model noise prompts recipe rope sampler "
    "schedule solvers"
).split()
TEXT = """\
# What the demo does

Written by `python -m training --evaluate` from the files in this folder: {files} (SHA-256).
Everything is measured on decoded frames, by the same image analysis (`training/measure.py`); "drawn" is the control,
drawn films of the same scenes after encoding and decoding. All scenes but the minute's are combinations of ground,
shape, colour and motion that were kept from training. Base takes {steps[base]} steps a chunk, with a guidance of
{guidance:g}; Distilled takes {steps[distilled]} at three sizes, without, and twice as many in the first chunk. Two
baselines show what memory and prompt do: in one every chunk sees an empty history, and takes as many steps as the first
one; in the other every prompt is about another scene. Where two numbers of films are given, the smaller is Base's and
the baselines'. With 20 films, a share of 0.9 may be anything from 0.70 to 0.97; with 100, from 0.83 to 0.94.

## Prompts

One chunk of each of {prompts} scenes of one or two things: the shares that are right. Ground, colour and size are those
of the middle frame, shape what most of three frames show, motion what nine do; a colour, or a shape, that is like none
of the world's is wrong. "count": in the middle frame there are as many things as asked, and nothing else of 80 pixels
or more. A bounce may be a way to one side, or to one and back: in a chunk one cannot tell.

{prompts_table}

![frames 0, 16 and 32 of eight films](eval/prompts.png)

## Cuts

Two chunks of one prompt, then one of another with another colour on another ground, both of one thing and the grounds
not alike: what chunk 2, the third, shows of it ({cuts} or {fewer_cuts} films). Things that rest at an edge already
cannot move on, not even drawn ones.

{cuts_table}

## Blends

How far the ground has come from the old colour to the new in the middle of chunks 1 to 4 of films with such scenes,
where the prompt blends over chunks 2 to 4 with the weights 0, 0.5 and 1 ({blends} or {fewer_blends} films).
"between" are the films whose chunk 3 is a fifth of the way or more from either end.

{blends_table}

## Image to video

Six chunks after a drawn picture ({pictures} or {fewer_pictures} films): PSNR of the first frame against
it, how often the first thing in it is less than {near:g} pixels from where the picture has it, the median of these
distances ({lost:g} where it is not seen), and how often the middle frame of chunk 5, the sixth, still has its ground
and colour, which the prompt says too. "a guess" is the median distance from the middle of all these places.

{pictures_table}

## Video to video

A chunk after a drawn video of a thing that moves to a side, and has room to move on ({videos} or {fewer_videos}
films): how often it goes on as it moved, which the prompt says too; how often it is at first less than {near:g}
pixels from where it would be, and the median of its distances from there in all frames, which the prompt does not
say; and, as a guess, the same median from the middle of all places where things that go the same way would be.

{videos_table}

## A minute

One film of 44 chunks and one prompt, of a combination that it was trained on. Drift is the farthest that a chunk's
usual colour, the median of nine frames, is from that of the first chunk, in shares of the range. The thing is in a
chunk when it is in most of these. A jump is how far it is, in the first frame of a chunk, from where it was in the
last one before ({lost:g} pixels where it is not seen); in the world it moves 1.4.

{minute_table}

![the middle frame of each of the 44 chunks, Distilled](eval/minute.png)

Distilled, on {threads} CPU threads: chunks 1 to 10 took {seconds[0]:.2f} s each and {memory[0]:.0f} MB, the last ten
{seconds[1]:.2f} s and {memory[1]:.0f} MB.

![seconds and main memory of each chunk](eval/cost.png)
"""


def write(folder: Path, runs: Path, workers: int, log=print) -> None:
    """Evaluate the demo in `folder`: its EVAL.md, and pictures in eval/. Answers are kept in `runs` for these files."""
    weights = sorted(folder.rglob("*.safetensors"))
    asked = [*weights, *(Path(module.__file__) for module in (evaluate, measure, world))]
    asked += [Path(helios_core.__file__).with_name(f"{name}.py") for name in MAKERS]
    sums = {path: checksum(path) for path in sorted(asked)}
    threads, answers = torch.get_num_threads(), {question: {} for question in [*FILMS, "minute"]}
    what = repr((*sums.values(), SEEDS, threads))
    kept = runs / f"eval-{hashlib.sha256(what.encode()).hexdigest()[:12]}"
    kept.mkdir(exist_ok=True)
    files = ", ".join(f"{path.name} {sums[path][:12]}" for path in weights)
    jobs = [(folder, kept, way, question, 1) for way in WAYS for question in answers]
    jobs = [job for job in jobs if job[2:4] not in POINTLESS]
    timed = (folder, kept, "Distilled", "minute", threads)  # its time and memory are measured: nothing beside it
    for some, size in (([timed], 1), (jobs, workers)):
        with ProcessPoolExecutor(size, mp_context=get_context("spawn")) as pool:
            for (_, _, way, question, _), found in zip(some, pool.map(answer, some)):
                answers[question][way] = found
                log(f"evaluation: {question}, {way}: {numbers(found)}")
    (folder / "EVAL.md").write_text(page(answers, threads, files), encoding="utf-8")
    film = evaluate.story(Demo.load(folder, "distilled"))
    draw(folder / "eval", answers["prompts"]["Distilled"]["rows"], answers["minute"]["Distilled"], film)


def answer(job: tuple[Path, Path, str, str, int]) -> dict:
    """What is found for a way and a question, or was before."""
    folder, kept, way, question, threads = job
    torch.set_num_threads(threads)
    (kind, recipe, baseline), count = WAYS[way], (FILMS if way in ("drawn", "Distilled") else FEWER).get(question)
    path = kept / f"{way} {recipe} {sorted(baseline)} {question} {count}.pt"
    if not path.exists():
        demo = kind.load(folder, recipe, **baseline)
        save_state(getattr(evaluate, question)(demo, *([count] if count else []), seed=SEEDS[question]), path)
    return torch.load(path, weights_only=False)


def page(answers: dict[str, dict], threads: int, files: str) -> str:
    """Markdown of the answers {question: {way: what was found}}."""
    tables = {f"{question}_table": table(ways) for question, ways in answers.items()}
    counts = {**FILMS, **{f"fewer_{question}": count for question, count in FEWER.items()}}
    minute = answers["minute"]["Distilled"]
    cost = {name: [np.mean(minute[name][1:11]), np.mean(minute[name][-10:])] for name in ("seconds", "memory")}
    known = {"threads": threads, "files": files, "lost": evaluate.LOST, "near": evaluate.NEAR}
    known["guidance"] = DEMO_RECIPES["base"].cfg
    known["steps"] = {name: ", ".join(map(str, recipe.steps)) for name, recipe in DEMO_RECIPES.items()}
    return TEXT.format(**tables, **counts, **cost, **known)


def numbers(found: dict) -> dict[str, str]:
    return {name: f"{value:.4g}" for name, value in found.items() if isinstance(value, float)}


def table(ways: dict[str, dict]) -> str:
    """Markdown: a row for each way, a column for each number."""
    rows = {way: numbers(ways[way]) for way in WAYS if way in ways}
    columns = list(next(iter(rows.values())))
    lines = [["", *columns], ["---"] * (1 + len(columns))]
    lines += [[way, *(found[name] for name in columns)] for way, found in rows.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def draw(folder: Path, rows: list, minute: dict, film: list) -> None:
    """The page's pictures."""
    folder.mkdir(exist_ok=True)
    sheet(folder / "prompts.png", rows, width=200)
    thirds = [frame for chunk in film for frame in chunk[::16]]
    sheet(folder / "film.png", [(f"chunks {k // 3} to {k // 3 + 2}", thirds[k : k + 9]) for k in range(0, 27, 9)], 104)
    frames = minute["frames"]
    sheet(folder / "minute.png", [(f"chunk {k}", frames[k : k + 11]) for k in range(0, len(frames), 11)], width=96)
    figure = Figure(figsize=(8, 2.6), layout="constrained")
    for axes, name, unit in zip(figure.subplots(1, 2), ("seconds", "memory"), ("seconds a chunk", "main memory, MB")):
        axes.plot(minute[name])
        axes.set(xlabel="chunk", ylabel=unit, ylim=(0, None))
    figure.savefig(folder / "cost.png", dpi=100)
