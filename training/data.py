"""Films of the demo's world as latents on disk with the scenes they show, encoded once: of four chunks, or of one."""

import json
import math
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from helios_core.files import write_whole
from helios_core.film.beginning import encode_image
from helios_core.media.codecs import VideoCodec
from helios_core.network.config import CHUNK_FRAMES

from .vae import things, to_video
from .world import Scene, Thing, changed, make_film, random_scene

CHUNKS = 4  # of a film: the last has a full history before it
SHARD = 80  # chunks in a file
ANYWHERE = 0.8  # of the films begin with their things anywhere
Encoded = tuple[dict[str, Tensor], list]  # films: their tensors, and their stories


def random_story(rng: np.random.Generator, chunks: int = CHUNKS) -> tuple[list[Scene], list[float]]:
    """Scenes of the chunks and their weights: one scene throughout, cuts, or a blend over two chunks."""
    scenes, blends, kind = [random_scene(rng)], [1.0], rng.random()
    blend_at = int(rng.integers(1, chunks)) if kind > 0.8 and chunks > 1 else None
    for k in range(1, chunks):
        cut = 0.4 < kind <= 0.8 and rng.random() < 0.5
        other = changed(scenes[-1], rng) if cut or k == blend_at else scenes[-1]
        while k == blend_at and len(other.things) != len(scenes[-1].things):  # nothing is half there
            other = changed(scenes[-1], rng)
        scenes.append(other)
        blends.append(float(rng.uniform(0.2, 0.8)) if k == blend_at else 1.0)
    return scenes, blends


def make_shard(codec: VideoCodec, seed: int, chunks: int = CHUNKS) -> Encoded:
    """latents (N, chunks, 16, 9, 16, 24) float16 in model space, `cover` (N, chunks, 9, 16, 24) the share of each
    latent's pixels that a thing covers, of films `still` (N, 16, 1, 16, 24), the last latent of a clip that repeats the
    first frame, and the stories."""
    rng, latents, cover, still, stories = np.random.default_rng(seed), [], [], [], []
    for _ in range(SHARD // chunks):
        scenes, blends = random_story(rng, chunks)
        # What goes on has to be found in the past: near the middle, a guess would do nearly as well.
        film = make_film(scenes, blends, rng, anywhere=chunks > 1 and rng.random() < ANYWHERE)
        windows = torch.from_numpy(film).split(CHUNK_FRAMES)
        latents.append(torch.cat([codec.encode(window) for window in windows]).half())
        if chunks > 1:
            still.append(encode_image(codec.encode, windows[0][:1])[1][0].half())
        mask = things(torch.cat(to_video(film).split(CHUNK_FRAMES, dim=2)))
        mask = torch.cat([mask[:, :, :1].expand(-1, -1, 4, -1, -1), mask[:, :, 1:]], dim=2)
        cover.append(F.avg_pool3d(mask, (4, 8, 8))[:, 0].half())
        stories.append({"scenes": [asdict(scene) for scene in scenes], "blends": blends})
    tensors = {"latents": latents, "cover": cover, "still": still}
    return {name: torch.stack(rows).contiguous() for name, rows in tensors.items() if rows}, stories


def make(codec: VideoCodec, folder: Path, shards: range, chunks: int = CHUNKS, log=print) -> None:
    """Encode the films of these shards into `folder`; what is there stays."""
    folder.mkdir(parents=True, exist_ok=True)
    begun = time.time()
    for done, number in enumerate(shards, 1):
        path = folder / f"{number:05d}.safetensors"
        if not path.exists():
            tensors, stories = make_shard(codec, chunks * 1_000_000 + number, chunks)
            write_whole(path, save(tensors, {"stories": json.dumps(stories)}))
            log(f"{folder.name} {done}/{len(shards)} shards, {time.time() - begun:.0f} s")


def make_all(number: int, runs: Path, films: int, clips: int, workers: int, device: str) -> None:
    """What process `number` of `workers` makes of so many films and clips."""
    torch.set_num_threads(1)
    codec = VideoCodec(runs / "vae.safetensors", device, None if device == "cpu" else torch.bfloat16)
    for name, count, chunks in (("films", films, CHUNKS), ("clips", clips, 1)):
        shards = range(number, math.ceil(count * chunks / SHARD), workers)
        make(codec, runs / name, shards, chunks, log=lambda text: print(text, flush=True))


def load(folder: Path, count: int) -> Encoded:
    """The first `count` films of a folder's shards; raises ValueError if there are fewer."""
    parts, stories = [], []
    for path in sorted(folder.glob("*.safetensors")):
        if len(stories) >= count:
            break
        with safe_open(path, "pt") as file:
            parts.append({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118, not a dict
            stories += json.loads(file.metadata()["stories"])
    if len(stories) < count:
        raise ValueError(f"{folder}: {len(stories)} films, not {count}")
    tensors = {name: torch.cat([part[name] for part in parts])[:count] for name in parts[0]}
    for story in stories:
        story["scenes"] = [
            Scene(scene["ground"], tuple(Thing(**thing) for thing in scene["things"])) for scene in story["scenes"]
        ]
    return tensors, stories[:count]
