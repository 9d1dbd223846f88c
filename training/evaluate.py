"""What the demo really does, seen in its frames; beside it what it does without memory, or without being told.

Everything is measured on decoded frames, by the same analysis as on drawn films of the same scenes that went
through the VAE (the control).
"""

import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import psutil
import torch
from torch import Tensor

from helios_core import (
    Chunk,
    HistoryMemory,
    PromptSchedule,
    Recipe,
    ScheduleDirector,
    Segment,
    film_records,
    load_checkpoint,
)
from helios_core.diffusion.recipe import DEMO_RECIPES
from helios_core.film.beginning import encode_image
from helios_core.film.denoise import ModelDenoiser
from helios_core.film.schedule_text import parse_schedule
from helios_core.media.codecs import VideoCodec
from helios_core.media.text_encoder import TextEncoder
from helios_core.network.config import CHUNK_FRAMES
from helios_core.network.load import load_transformer

from .measure import Seen, apart, follow, ground_of, is_motion, largest, look, size_of, usual_shape
from .world import GROUNDS, HEIGHT, WIDTH, Scene, Thing, caption, make_film, random_scene

WATCHED = slice(0, CHUNK_FRAMES, 4)  # frames of a chunk that are looked at
LOST = 100.0  # pixels off, where a thing is not seen at all
NEAR = 8.0  # pixels; the narrowest thing, a small bar, is 16 wide
MANY = 500  # films, more than are asked of any question
Script = list[tuple[int, int, Scene]]  # (start, blend, scene), as a schedule's segments


@dataclass
class Demo:
    """A transformer with what is around it, sampled by a recipe; `encode_text(str) -> (1, T, C)`."""

    model: torch.nn.Module
    encode_text: Callable[[str], Tensor]
    codec: VideoCodec
    recipe: Recipe
    forgets: bool = False  # baseline: every chunk sees an empty history
    deaf: bool = False  # baseline: every prompt is about some other scene

    @classmethod
    def load(cls, folder: Path, variant: str, **baseline: bool) -> "Demo":
        """The files that ship."""
        model = load_transformer(load_checkpoint(folder), "cpu", torch.float32)
        text, codec = TextEncoder(folder / "text_encoder.safetensors"), VideoCodec(folder / "vae.safetensors")
        recipe = DEMO_RECIPES[variant]
        if baseline.get("forgets") and recipe.amplify_first_chunk:  # every chunk is a first one
            recipe = replace(recipe, steps=tuple(2 * n for n in recipe.steps), amplify_first_chunk=False)
        return cls(model, text, codec, recipe, **baseline)

    def film(self, *args, **kwargs) -> list[np.ndarray]:
        return list(self.chunks(*args, **kwargs))

    def chunks(self, script: Script, chunks: int, seed: int, memory=None, seen: int = 0) -> Iterator[np.ndarray]:
        """Chunks of frames (33, H, W, 3); of the film, `memory` has seen so many before."""
        rng = np.random.default_rng(seed)
        return self.sample(
            [(start, blend, caption(scene, rng)) for start, blend, scene in script], chunks, seed, memory
        )

    @torch.inference_mode()
    def sample(self, prompts: list[tuple[int, int, str]], chunks: int, seed: int, memory=None) -> Iterator[np.ndarray]:
        """As `chunks`, with prompts (start, blend, text)."""
        segments = tuple(Segment(start, self.encode_text(self.heard(text)), blend) for start, blend, text in prompts)
        negative = self.encode_text("") if self.recipe.guided else None
        denoise, schedule = ModelDenoiser(self.model, self.recipe, negative), PromptSchedule(segments)
        memory = memory or HistoryMemory.empty(WIDTH, HEIGHT)
        for _ in range(chunks):
            if self.forgets:
                memory = replace(memory, frames=torch.zeros_like(memory.frames), anchor=None)
            director = ScheduleDirector(schedule, seed, memory.chunk + 1)
            for record in film_records(denoise, memory, director, self.recipe):
                if isinstance(record, Chunk):
                    yield self.codec.decode(record.latents).numpy()
                    memory = record.memory

    def heard(self, text: str) -> str:
        if not self.deaf:
            return text
        rng = np.random.default_rng(zlib.crc32(text.encode()))
        return caption(random_scene(rng), rng)


class Drawn(Demo):
    """The control: the scenes themselves, through the VAE."""

    def chunks(self, script: Script, chunks: int, seed: int, memory=None, seen: int = 0) -> Iterator[np.ndarray]:
        schedule = PromptSchedule(tuple(Segment(start, scene, blend) for start, blend, scene in script))
        weights, scenes = zip(*(schedule.at(k)[-1] for k in range(seen + chunks)))
        # What is given to go on from is `film_anywhere`, so that this is its continuation.
        film = make_film(list(scenes), list(weights), np.random.default_rng(seed), anywhere=memory is not None)
        for window in torch.from_numpy(film).split(CHUNK_FRAMES)[seen:]:
            yield self.codec.decode(self.codec.encode(window)).numpy()


@dataclass
class Score:
    """Shares of what was looked at; `count`: as many things as asked, and no more."""

    ground: list = field(default_factory=list)
    colour: list = field(default_factory=list)
    shape: list = field(default_factory=list)
    motion: list = field(default_factory=list)
    size: list = field(default_factory=list)
    count: list = field(default_factory=list)

    def add(self, frames: np.ndarray, scene: Scene) -> list[list[Seen]]:
        """A chunk (33, H, W, 3) of a scene; returns what is seen in the frames that are watched."""
        looks = look(frames[WATCHED])
        middle = looks[len(looks) // 2]
        self.ground.append(ground_of(frames[CHUNK_FRAMES // 2])[0] == scene.ground)
        self.count.append(len(middle) == len(scene.things))
        for thing in scene.things:
            seen = largest(middle[: len(scene.things)], thing.colour)
            self.colour.append(seen is not None)
            self.size.append(seen is not None and size_of(seen) == thing.size)
            self.shape.append(usual_shape(looks[1::3], thing.colour) == thing.shape)
            self.motion.append(is_motion(follow(looks, thing.colour), thing.motion))
        return looks

    def shares(self) -> dict[str, float]:
        return {name: float(np.mean(values)) for name, values in vars(self).items() if values}


def prompts(demo: Demo, count: int, seed: int) -> dict:
    """One chunk of `count` scenes that were kept from training; with frames of the first ones, `rows`."""
    rng, seen, rows = np.random.default_rng(seed), Score(), []
    for number in seeds_of_films(seed, count):
        scene = random_scene(rng, held_out=True)
        (frames,) = demo.film([(0, 0, scene)], 1, seed=number)
        seen.add(frames, scene)
        if len(rows) < 8:
            rows.append((caption(scene, np.random.default_rng(number)), list(frames[::16].copy())))
    return {**seen.shares(), "rows": rows}


def seeds_of_films(seed: int, count: int) -> range:
    """Of the films of a question: others than another question's."""
    return range(1000 * seed, 1000 * seed + count)


def cuts(demo: Demo, count: int, seed: int) -> dict[str, float]:
    """Two chunks of one scene, then another: what the third chunk shows of it, and how often both ground and colour."""
    rng, seen = np.random.default_rng(seed), Score()
    for number in seeds_of_films(seed, count):
        a, b = other_scenes(rng)
        seen.add(demo.film([(0, 0, a), (2, 0, b)], 3, seed=number)[2], b)
    return {"ground and colour": float(np.mean([*map(all, zip(seen.ground, seen.colour))])), **seen.shares()}


def other_scenes(rng) -> tuple[Scene, Scene]:
    """Two scenes of one thing each that differ in colour, and clearly in their grounds."""
    while True:
        a, b = (random_scene(rng, held_out=True) for _ in range(2))
        a, b = (replace(scene, things=scene.things[:1]) for scene in (a, b))
        apart = np.abs(np.subtract(GROUNDS[a.ground], GROUNDS[b.ground])).max()
        if apart > 0.3 and a.things[0].colour != b.things[0].colour:
            return a, b


def blends(demo: Demo, count: int, seed: int) -> dict[str, float]:
    """How far the ground's colour has come, on the straight line from the old to the new, in chunks 1 to 4 of films
    whose prompt blends over chunks 2 to 4: means over the films, and in how many chunk 3 is a fifth of the way or more
    from either end."""
    rng, ways = np.random.default_rng(seed), []
    for number in seeds_of_films(seed, count):
        a, b = other_scenes(rng)
        film = demo.film([(0, 0, a), (2, 3, b)], 5, seed=number)
        old, new = (np.array(GROUNDS[scene.ground]) for scene in (a, b))
        colours = [np.median(ground_of(chunk[16])[1], axis=(0, 1)) for chunk in film[1:]]
        ways.append([float((colour - old) @ (new - old) / ((new - old) @ (new - old))) for colour in colours])
    between = float(np.mean([0.2 <= way[2] <= 0.8 for way in ways]))
    return {**{f"chunk {k}": float(way) for k, way in enumerate(np.mean(ways, axis=0), 1)}, "between": between}


def pictures(demo: Demo, count: int, seed: int) -> dict[str, float]:
    """Films that begin with a picture: PSNR of frame 0 in dB, where the first thing in it is (`offsets`), and
    whether chunk 5 still has its colours."""
    rng, psnr, made, wanted, kept = np.random.default_rng(seed), [], [], [], []
    for number in seeds_of_films(seed, count):
        scene = random_scene(rng, held_out=True)
        picture = film_anywhere(scene, 1, number)[:1]
        memory = HistoryMemory.from_image(*encode_image(demo.codec.encode, torch.from_numpy(picture)), seed=number)
        film = demo.film([(0, 0, scene)], 6, seed=number, memory=memory)
        error = float(np.square(film[0][0] - picture[0]).mean())
        psnr.append(-10 * np.log10(max(error, 1e-10)))
        colour = scene.things[0].colour
        made.append(follow(look(film[0][:1]), colour))
        wanted.append(follow(look(picture), colour))
        score = Score()
        score.add(film[5], scene)
        kept.append(score.ground[0] and all(score.colour))
    return {
        "PSNR, dB": float(np.mean(psnr)),
        **offsets(made, wanted),
        "ground and colour of chunk 5": float(np.mean(kept)),
    }


def videos(demo: Demo, count: int, seed: int) -> dict[str, float]:
    """Films that go on from a video: whether it still moves as it did, and where it is in each frame (`offsets`)."""
    rng, moves, made, wanted, motions = np.random.default_rng(seed), [], [], [], []
    for number in seeds_of_films(seed, MANY):
        if len(made) == count:
            break
        scene = moving_scene(rng)
        thing = scene.things[0]
        film = film_anywhere(scene, 2, number)
        given, after = torch.from_numpy(film[:CHUNK_FRAMES]), follow(look(film[CHUNK_FRAMES:][WATCHED]), thing.colour)
        if not is_motion(after, thing.motion):  # it is at the edge
            continue
        memory = HistoryMemory.from_video(demo.codec.encode(given[:1]), demo.codec.encode(given), seed=number)
        (chunk,) = demo.film([(0, 0, scene)], 1, number, memory, seen=1)
        made.append(follow(look(chunk[WATCHED]), thing.colour))
        wanted.append(after)
        motions.append(thing.motion)
        moves.append(is_motion(made[-1], thing.motion))
    return {"goes on": float(np.mean(moves)), **offsets(made, wanted, motions)}


def film_anywhere(scene: Scene, chunks: int, seed: int) -> np.ndarray:
    """What is given to go on from."""
    return make_film([scene] * chunks, [1.0] * chunks, np.random.default_rng(seed), anywhere=True)


def offsets(made: list[np.ndarray], wanted: list[np.ndarray], told: list[str] | None = None) -> dict[str, float]:
    """Of where things are and where they would be, (T, 2) for each film: in how many films they are near at first, the
    usual distance in pixels, and as a guess what it would be from the middle of all wanted places; of those films, if
    the prompt says something of the place, that are `told` the same."""

    def distances(places: list[np.ndarray]) -> list[np.ndarray]:
        return [np.nan_to_num(np.hypot(*(at - to).T), nan=LOST) for at, to in zip(places, wanted)]

    def typical(places: list[np.ndarray]) -> float:
        return float(np.median([np.median(film) for film in distances(places)]))

    near = float(np.mean([film[0] < NEAR for film in distances(made)]))
    told, alike = told or [""] * len(wanted), {}
    for film, said in zip(wanted, told):
        alike.setdefault(said, []).append(film)
    middles = {said: np.nanmedian(np.concatenate(films), axis=0, keepdims=True) for said, films in alike.items()}
    return {"begins there": near, "pixels off": typical(made), "a guess": typical([middles[said] for said in told])}


def moving_scene(rng) -> Scene:
    """A thing alone that goes to a side."""
    while True:
        scene = random_scene(rng, held_out=True)
        thing = scene.things[0]
        if len(scene.things) == 1 and thing.motion in ("left", "right"):
            return scene


def minute(demo: Demo, seed: int, chunks: int = 44) -> dict:
    """A long film of one prompt: how far the usual colours of the largest thing and of the ground drift from chunk
    0's, in shares of the range; in how many chunks the thing is there in most frames, alone, has its shape, moves as
    asked and is on its ground; how many pixels it jumps where chunks meet, usually and at the most (in the world it
    moves 1.4 a frame). And for each chunk its middle frame, its seconds and the memory in MB."""
    things, found, ends, grounds, seconds, memory, process = [], [], [], [], [], [], psutil.Process()
    frames = np.ones((chunks, HEIGHT, WIDTH, 3), np.float32)  # all of it now: what grows is to be the film's
    scene, score = Scene("navy", (Thing("star", "yellow", "medium", "bounce"),)), Score()
    begun = time.perf_counter()
    for k, chunk in enumerate(demo.chunks([(0, 0, scene)], chunks, seed)):
        seconds.append(time.perf_counter() - begun)
        memory.append(process.memory_info().rss / 1e6)
        looks = score.add(chunk, scene)
        frames[k] = chunk[CHUNK_FRAMES // 2]
        grounds.append(usual([np.median(ground_of(frame)[1], axis=(0, 1)) for frame in chunk[WATCHED]]))
        things.append(usual([seen[0].colour for seen in looks if seen]))
        found.append(2 * sum(largest(seen, "yellow") is not None for seen in looks) > len(looks))
        ends.append((looks[:1], looks[-1:]))
        begun = time.perf_counter()
    jumps = [apart(before, after, "yellow")[0] for (_, before), (after, _) in zip(ends, ends[1:])]
    jumps = np.nan_to_num(jumps, nan=LOST)
    return {
        "thing's drift": farthest(things),
        "ground's drift": farthest(grounds),
        "chunks with the thing": float(np.mean(found)),
        "alone": float(np.mean(score.count)),
        "its shape": float(np.mean(score.shape)),
        "its motion": float(np.mean(score.motion)),
        "its ground": float(np.mean(score.ground)),
        "usual jump, pixels": float(np.median(jumps)),
        "largest jump, pixels": float(np.max(jumps)),
        "frames": list(frames),
        "seconds": seconds,
        "memory": memory,
    }


def usual(colours: list[np.ndarray]) -> np.ndarray | None:
    """The median of colours (3,), None without any."""
    return np.median(colours, axis=0) if colours else None


def farthest(colours: list) -> float:
    """The most that any channel of any colour (3,) differs from the first one's; 1 without a first one."""
    if colours[0] is None:
        return 1.0
    return max(float(np.abs(colour - colours[0]).max()) for colour in colours if colour is not None)


def story(demo: Demo, seed: int = 0) -> list[np.ndarray]:
    """The film of demo/film.txt, as `make demo` makes it."""
    schedule = parse_schedule((Path(__file__).parents[1] / "demo/film.txt").read_text("utf-8"))
    return list(demo.sample([(s.start, s.blend, s.text) for s in schedule.segments], 9, seed))
