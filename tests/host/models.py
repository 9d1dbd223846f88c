"""What the host tests share: a small Helios, graphs that make films with it, and the films that the core makes."""

import time
import uuid
from functools import cache

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from comfy_server import ComfyServer
from helios_core import Chunk, HeliosTransformer, HistoryMemory, PromptSchedule, ScheduleDirector, Segment, film_records
from helios_core.film.denoise import ModelDenoiser
from oracle import embeddings, models, relative_error

torch.set_num_threads(1)  # as in the servers: more only get into each other's way

SIZE, DEMO_SIZE = (128, 64), (192, 128)  # pixels
POSITIVE, OTHER, NEGATIVE = embeddings(1), embeddings(5, tokens=11), embeddings(2, tokens=7)

# LATENT is raw VAE space, the core's is normalised channel by channel with these, the numbers of Wan 2.1's VAE
# (`latents_mean` and `latents_std` in diffusers' AutoencoderKLWan).
MEAN = [-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508]
MEAN += [0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921]
STD = [2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743]
STD += [3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160]


@cache
def small():
    """(diffusers' transformer, ours), small and random, with the same weights; do not change them."""
    return models()


def small_tensors() -> dict[str, torch.Tensor]:
    """Its weights under diffusers' names."""
    return dict(small()[0].state_dict())


def small_config() -> str:
    """Its config.json: the size of a head cannot be seen in the weights."""
    return small()[0].to_json_string()


def install(server: ComfyServer, name: str, tensors: dict, kind: str = "diffusion_models", **metadata: str) -> str:
    """Write a file into the server's models folder, if it is not there, and wait until it is listed; its name."""
    path = server.models_dir / kind / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({k: v.contiguous() for k, v in tensors.items()}, path, metadata)
    return wait_listed(server, name, kind)


def wait_listed(server: ComfyServer, name: str, kind: str = "diffusion_models") -> str:
    """The server reads its folders anew every half second at most."""
    end = time.monotonic() + 10
    while name not in server.get(f"/models/{kind}").json():
        assert time.monotonic() < end, f"{name} is not listed"
        time.sleep(0.1)
    return name


def install_helios(server: ComfyServer, name: str = "small.safetensors", tensors=None, **metadata: str) -> str:
    """Install a checkpoint of the small model's architecture, by default with its weights."""
    return install(server, name, small_tensors() if tensors is None else tensors, config=small_config(), **metadata)


class Graph(dict):
    """A prompt in API form that grows node by node."""

    def __init__(self, server: ComfyServer):
        super().__init__()
        self.server = server

    def add(self, node_class: str, **inputs) -> list:
        """Add a node; a reference to its first output. Functions of the graph stand for what they return."""
        inputs = {k: v(self) if callable(v) else v for k, v in inputs.items()}
        key = f"{len(self) + 1} {node_class}"
        self[key] = {"class_type": node_class, "inputs": inputs}
        return [key, 0]

    def file(self, suffix=".safetensors") -> str:
        return str(self.server.base_dir / f"{uuid.uuid4().hex}{suffix}")

    def text(self, embedding: torch.Tensor) -> list:
        """Text embeddings as CONDITIONING."""
        path = self.file()
        save_file({"cond": embedding.contiguous()}, path)
        return self.add("TestConditioningFromFile", path=path)

    def images(self, frames: torch.Tensor) -> list:
        """Frames (T, H, W, C) in 0..1 as IMAGE."""
        path = self.file(".npy")
        np.save(path, frames.numpy())
        return self.add("TestImagesFromFile", path=path)

    def encoded(self, images: list) -> "SavedLatent":
        """Images as the host's own node encodes them, all as one clip."""
        return self.save(self.add("VAEEncode", pixels=images, vae=self.vae()))

    def vae(self) -> list:
        """The small VAE."""
        return self.add("VAELoader", vae_name="tiny_wan_vae.safetensors")

    def load(self, name: str = "", variant: str = "distilled", weight_dtype: str = "fp32") -> list:
        """Load a Helios, by default the small one."""
        name = name or install_helios(self.server)
        return self.add("HeliosModelLoader", model_name=name, variant=variant, weight_dtype=weight_dtype)

    def sample(self, model: list, size=SIZE, node="HeliosChunkSampler", **inputs) -> list:
        """A Helios Chunk Sampler; tensors become conditionings, what is not given has its default (two chunks).

        Nothing is kept on disk unless asked: tests would find each other's chunks.
        """
        defaults = dict(seed=3, length=66, steps="auto", cfg=0.0, solver="auto", amplify_first_chunk="auto")
        if "memory" not in inputs:
            inputs["memory"] = self.add("HeliosHistoryMemory", width=size[0], height=size[1])
        inputs = {k: self.text(v) if torch.is_tensor(v) else v for k, v in inputs.items() if v is not None}
        inputs = {**defaults, "skip_first_chunk": False, "noise_device": "cpu", "autosave": False, **inputs}
        return self.add(node, model=model, **inputs)

    def sample_to_video(self, model: list, vae: list, prefix="video/film", **inputs) -> list:
        """A Helios Sample to Video with the same defaults."""
        settings = dict(vae=vae, filename_prefix=prefix, fps=24.0, crf=18, tiling="auto", tile_size=256, overlap=64)
        return self.sample(model, node="HeliosSampleToVideo", **{**settings, **inputs})

    def decode(self, samples: list, vae: list | None = None, **inputs) -> list:
        """A Helios VAE Decode, by default with the small VAE."""
        settings = {"vae": vae or self.vae(), "tiling": "auto", "tile_size": 256, "overlap": 64, **inputs}
        return self.add("HeliosVAEDecode", samples=samples, **settings)

    def save_images(self, images: list) -> str:
        """Where they are, as .npy, once the graph has run."""
        path = self.file(".npy")
        self.add("TestImagesInfo", images=images, path=path)
        return path

    def save(self, samples: list) -> "SavedLatent":
        path = self.file()
        self.add("TestSaveLatent", samples=samples, path=path)
        return SavedLatent(path)

    def run(self, **queue_args) -> dict:
        return self.server.run(self, **queue_args)


class DemoGraph(Graph):
    """A graph with the demo in it."""

    def __init__(self, server, variant="distilled"):
        super().__init__(server)
        self.demo = self.add("HeliosDemoLoader", variant=variant)[0]

    def vae(self) -> list:
        return [self.demo, 2]

    def prompt(self, text: str) -> list:
        return self.add("CLIPTextEncode", clip=[self.demo, 1], text=text)

    def schedule(self, text: str) -> list:
        return self.add("HeliosPromptSchedule", clip=[self.demo, 1], schedule=text, fps=24.0)

    def begin(self, **inputs) -> list:
        return self.add("HeliosHistoryMemory", width=DEMO_SIZE[0], height=DEMO_SIZE[1], vae=self.vae(), **inputs)

    def film(self, prompt: str = "", **inputs) -> list:
        """A sampler, with one prompt for all of it if there is one."""
        texts = {"positive": self.prompt(prompt)} if prompt else {}
        return self.sample([self.demo, 0], size=DEMO_SIZE, **{**texts, **inputs})

    def frames(self, *samples: list) -> list[np.ndarray]:
        """Run it: the frames (33 * n, 128, 192, 3) of each sampler's film."""
        paths = [self.save_images(self.decode(s)) for s in samples]
        self.run()
        return [np.load(path) for path in paths]


class SavedLatent:
    """A LATENT on disk, there once its graph has run."""

    def __init__(self, path: str):
        self.path = path

    @property
    def raw(self) -> torch.Tensor:
        return load_file(self.path)["samples"]

    @property
    def latents(self) -> torch.Tensor:
        """As the core has them."""
        mean, std = (torch.tensor(v).view(1, 16, 1, 1, 1) for v in (MEAN, STD))
        return (self.raw - mean) / std

    @property
    def rest(self) -> dict[str, str]:
        with safe_open(self.path, "pt") as file:
            return file.metadata() or {}


def two_prompts(graph, second, start=2) -> dict:
    """Inputs of a sampler: a schedule of two prompts."""
    s = graph.add("HeliosPromptSegment", conditioning=graph.text(POSITIVE), start=0, transition="cut", blend_chunks=3)
    text = graph.text(second)
    s = graph.add("HeliosPromptSegment", conditioning=text, start=start, transition="cut", blend_chunks=3, schedule=s)
    return {"schedule": s}


def prompts(variant: str) -> dict:
    """The sampler's prompts: all but Distilled need a negative one."""
    return {"positive": POSITIVE} if variant == "distilled" else {"positive": POSITIVE, "negative": NEGATIVE}


def film(server, variant="distilled", name="", weight_dtype="fp32", patch=lambda graph, model: model, **inputs):
    """The latents, as the core has them, of a film made on the server."""
    graph = Graph(server)
    model = patch(graph, graph.load(name, variant, weight_dtype))
    saved = graph.save(graph.sample(model, **{**prompts(variant), **inputs}))
    graph.run()
    return saved.latents


@torch.no_grad()
def core_film(
    recipe,
    *,
    positive=POSITIVE,
    negative=NEGATIVE,
    schedule=None,
    size=SIZE,
    memory=None,
    chunks=2,
    seed=3,
    model=None,
):
    """The same film made by the core alone."""
    model: HeliosTransformer = model or small()[1]
    memory = memory or HistoryMemory.empty(*size)
    schedule = schedule or PromptSchedule((Segment(0, positive),))
    director = ScheduleDirector(schedule, seed, memory.chunk + chunks)
    records = film_records(ModelDenoiser(model, recipe, negative), memory, director, recipe)
    return torch.cat([record.latents for record in records if isinstance(record, Chunk)], dim=2)


__all__ = ["embeddings", "relative_error"]
