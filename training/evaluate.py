"""What the demo really does, seen in its frames; beside it what it does without memory, or without being told.

Everything is measured on decoded frames, by the same analysis as on drawn films of the same prompts (the control).
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import psutil
import torch
from torch import Tensor

from helios_core import (
    RECIPES,
    Chunk,
    HeliosTransformer,
    HistoryMemory,
    PromptSchedule,
    Recipe,
    Segment,
    load_checkpoint,
    sample_chunks,
)
from helios_core.codecs import TextEncoder, VideoCodec
from helios_core.config import CHUNK_FRAMES
from helios_core.denoise import ModelDenoiser
from helios_core.prompts import parse_schedule

from .measure import follow, ground_of, is_motion, shape_of, things_of
from .world import COLOURS, GROUNDS, HEIGHT, SHAPES, WIDTH, Scene, Thing, caption, make_film, random_scene

WATCHED = slice(0, CHUNK_FRAMES, 4)  # frames of a chunk that are looked at


@dataclass
class Demo:
    """A transformer with what is around it, sampled by a recipe; `encode_text(str) -> (1, T, C)`."""

    model: torch.nn.Module
    encode_text: Callable[[str], Tensor]
    codec: VideoCodec
    recipe: Recipe
    forgets: bool = False  # baseline: every chunk sees an empty history
    deaf: bool = False  # baseline: every prompt is the empty one

    @classmethod
    def load(cls, folder: Path, variant: str, **baseline: bool) -> "Demo":
        """The files that ship."""
        model = HeliosTransformer.from_checkpoint(load_checkpoint(folder), "cpu", torch.float32)
        text, codec = TextEncoder(folder / "text_encoder.safetensors"), VideoCodec(folder / "vae.safetensors")
        return cls(model, text, codec, RECIPES[variant], **baseline)

    def film(self, *args, **kwargs) -> list[np.ndarray]:
        return list(self.chunks(*args, **kwargs))

    @torch.inference_mode()
    def chunks(self, prompts: list[tuple[int, int, str]], chunks: int, seed: int, memory=None) -> Iterator[np.ndarray]:
        """Chunks of frames (33, H, W, 3); `prompts` are (start, blend, text)."""
        segments = tuple(Segment(k, self.encode_text("" if self.deaf else text), blend=b) for k, b, text in prompts)
        negative = self.encode_text("") if self.recipe.cfg > 1 else None
        denoise, schedule = ModelDenoiser(self.model, self.recipe, negative), PromptSchedule(segments)
        memory = memory or HistoryMemory.empty(WIDTH, HEIGHT)
        for _ in range(chunks):
            if self.forgets:
                memory = replace(memory, frames=torch.zeros_like(memory.frames), anchor=None)
            for record in sample_chunks(denoise, memory, schedule, self.recipe, chunks=1, seed=seed):
                if isinstance(record, Chunk):
                    yield self.codec.decode(record.latents).numpy()
                    memory = record.memory


@dataclass
class Score:
    """Shares of what was looked at."""

    ground: list = field(default_factory=list)
    colour: list = field(default_factory=list)
    shape: list = field(default_factory=list)
    motion: list = field(default_factory=list)

    def add(self, frames: np.ndarray, scene: Scene) -> None:
        middle = frames[len(frames) // 2]
        self.ground.append(ground_of(middle)[0] == scene.ground)
        seen = {s.name for s in things_of(middle)[: len(scene.things)]}
        for thing in scene.things:
            self.colour.append(thing.colour in seen)
            shapes = [s for f in frames[4::12] for s in things_of(f) if s.name == thing.colour]
            votes = [shape_of(s) for s in shapes]
            self.shape.append(bool(votes) and max(set(votes), key=votes.count) == thing.shape)
            self.motion.append(is_motion(follow(frames[WATCHED], thing.colour), thing.motion))

    def shares(self) -> dict[str, float]:
        return {name: float(np.mean(values)) for name, values in vars(self).items() if values}


def prompts(demo: Demo, count: int, seed: int = 0) -> dict:
    """One chunk of `count` scenes that were kept from training; with the first ones' frames, `rows`."""
    rng, seen, rows = np.random.default_rng(seed), Score(), []
    for number, (scene, text) in enumerate(asked(rng, count)):
        (frames,) = demo.film([(0, 0, text)], 1, seed=number)
        seen.add(frames, scene)
        rows.append((text, list(frames[::16])))
    return {**seen.shares(), "rows": rows[:8]}


def drawn(count: int, seed: int = 0) -> dict[str, float]:
    """The control: drawn films of the same scenes."""
    rng, seen = np.random.default_rng(seed), Score()
    for scene, _ in asked(rng, count):
        seen.add(make_film([scene], [1.0], np.random.default_rng(seed)), scene)
    return seen.shares()


def asked(rng, count: int) -> list[tuple[Scene, str]]:
    scenes = [random_scene(rng, held_out=True) for _ in range(count)]
    return [(scene, caption(scene, rng)) for scene in scenes]


def cuts(demo: Demo, count: int, seed: int = 1) -> dict[str, float]:
    """Two chunks of one scene, then another: what the third chunk shows of it, and how often both ground and colour."""
    rng, seen = np.random.default_rng(seed), Score()
    for number in range(count):
        a, b = other_scenes(rng)
        film = demo.film([(0, 0, caption(a, rng)), (2, 0, caption(b, rng))], 3, seed=number)
        seen.add(film[2], b)
    return {"ground and colour": float(np.mean([*map(all, zip(seen.ground, seen.colour))])), **seen.shares()}


def other_scenes(rng) -> tuple[Scene, Scene]:
    """Two scenes of one thing each that differ in ground and colour."""
    while True:
        a, b = (random_scene(rng, held_out=True) for _ in range(2))
        a, b = (replace(scene, things=scene.things[:1]) for scene in (a, b))
        if a.ground != b.ground and a.things[0].colour != b.things[0].colour:
            return a, b


def blends(demo: Demo, count: int, seed: int = 2) -> dict[str, float]:
    """How far the ground's colour has come, on the straight line from the old to the new, in chunks 1 to 4 of films
    whose prompt blends over chunks 2 to 4: means over the films."""
    rng, ways = np.random.default_rng(seed), []
    for number in range(count):
        a, b = other_scenes(rng)
        film = demo.film([(0, 0, caption(a, rng)), (2, 3, caption(b, rng))], 5, seed=number)
        old, new = (np.array(GROUNDS[scene.ground]) for scene in (a, b))
        colours = [np.median(ground_of(chunk[16])[1], axis=(0, 1)) for chunk in film[1:]]
        ways.append([float((colour - old) @ (new - old) / ((new - old) @ (new - old))) for colour in colours])
    return {f"chunk {k}": float(way) for k, way in enumerate(np.mean(ways, axis=0), 1)}


def pictures(demo: Demo, count: int, seed: int = 3) -> dict[str, float]:
    """Films that begin with a picture: PSNR of frame 0 in dB, and whether chunk 5 still has its colours."""
    rng, psnr, kept = np.random.default_rng(seed), [], []
    for number in range(count):
        scene = random_scene(rng, held_out=True)
        picture = torch.from_numpy(make_film([scene], [1.0], rng)[:1])
        memory = HistoryMemory.from_image(*demo.codec.encode_image(picture), seed=number)
        film = demo.film([(0, 0, caption(scene, rng))], 6, seed=number, memory=memory)
        error = float(np.square(film[0][0] - picture[0].numpy()).mean())
        psnr.append(-10 * np.log10(error))
        score = Score()
        score.add(film[5], scene)
        kept.append(score.ground[0] and score.colour[0])
    return {"PSNR, dB": float(np.mean(psnr)), "ground and colour of chunk 5": float(np.mean(kept))}


def videos(demo: Demo, count: int, seed: int = 4) -> dict[str, float]:
    """Films that go on from a video: whether it still moves as it did, and how many pixels from where it would be."""
    rng, moves, errors = np.random.default_rng(seed), [], []
    for number in range(count):
        colour, shape = str(rng.choice(list(COLOURS))), str(rng.choice(SHAPES))
        motion = str(rng.choice(["left", "right", "up", "down"]))
        scene = Scene(str(rng.choice(list(GROUNDS))), (Thing(shape, colour, "small", motion),))
        drawn = make_film([scene] * 2, [1.0] * 2, rng)
        given, wanted = torch.from_numpy(drawn[:CHUNK_FRAMES]), drawn[CHUNK_FRAMES:]
        memory = HistoryMemory.from_video(demo.codec.encode(given[:1]), demo.codec.encode(given), seed=number)
        made = demo.film([(0, 0, caption(scene, rng))], 1, seed=number, memory=memory)[0]
        path, want = follow(made[WATCHED], colour), follow(wanted[WATCHED], colour)
        moves.append(is_motion(path, motion) or is_motion(want, "still"))
        errors.append(float(np.nanmedian(np.hypot(*(path - want).T))))
    return {"goes on": float(np.mean(moves)), "pixels off": float(np.nanmedian(errors))}


def minute(demo: Demo, seed: int = 5, chunks: int = 44) -> dict:
    """A long film of one prompt: how far the thing's colour drifts from chunk 1's, in shares of the range, in how many
    chunks the thing is there, how many pixels it jumps where chunks meet (in the world it moves 1.4 a frame); and for
    each chunk its middle frame, its seconds and the process' memory in MB."""
    frames, ends, seconds, memory, process, begun = [], [], [], [], psutil.Process(), time.perf_counter()
    for chunk in demo.chunks([(0, 0, "A yellow star bounces from side to side on a navy background.")], chunks, seed):
        seconds.append(time.perf_counter() - begun)
        memory.append(process.memory_info().rss / 1e6)
        frames.append(chunk[CHUNK_FRAMES // 2])
        ends.append(follow(chunk[[0, -1]], "yellow"))
        begun = time.perf_counter()
    seen = [next((s for s in things_of(frame) if s.name == "yellow"), None) for frame in frames]
    colours = [s.colour for s in seen if s is not None]
    drift = max((float(np.abs(c - colours[0]).max()) for c in colours), default=1.0)
    jumps = [np.hypot(*(after[0] - before[1])) for before, after in zip(ends, ends[1:])]
    shares = {"colour drift": drift, "chunks with the thing": float(np.mean([s is not None for s in seen]))}
    shares["pixels from chunk to chunk"] = float(np.nanmean(jumps))
    return {**shares, "frames": frames, "seconds": seconds, "memory": memory}


def story(demo: Demo, seed: int = 0) -> list[np.ndarray]:
    """The film of demo/film.txt, as `make demo` makes it."""
    schedule = parse_schedule((Path(__file__).parents[1] / "demo/film.txt").read_text("utf-8"))
    return demo.film([(segment.start, segment.blend, segment.text) for segment in schedule.segments], 9, seed)
