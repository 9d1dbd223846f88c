"""What a film needs to go on: its last frames, its anchor and the state of its random numbers."""

import json
import struct
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..diffusion.noise import draw
from ..diffusion.recipe import RECIPES
from ..files import write_whole
from ..network.config import CHUNK_LATENTS, HISTORY_LATENTS, SPATIAL_FACTOR, check_size
from .fingerprint import fingerprint

FILE_FORMAT = "helios-memory-1"
TENSORS = ("frames", "anchor", "rng_state")
NOISE_DEVICES = ("cpu", "cuda", "mps", "xpu", "npu", "mlu", "hpu", "mtia", "xla", "privateuseone")  # torch's names

NoiseRange = tuple[float, float]
NOISE: NoiseRange = (0.111, 0.135)  # strengths that Helios was trained to expect of a history that it did not make


def add_noise(x: Tensor, strengths: NoiseRange | None, count: int, generator: torch.Generator) -> Tensor:
    """s * noise + (1 - s) * x for frames x (B, C, T, H, W), s drawn `count` times: 1 for all frames, or T."""
    if strengths is None:
        return x.float()
    low, high = strengths
    s = (torch.rand(count, generator=generator, device=generator.device) * (high - low) + low).to(x.device)
    s = s.view(1, 1, count, 1, 1)
    return s * draw(tuple(x.shape), generator, x.device) + (1 - s) * x.float()


@dataclass(frozen=True, eq=False)
class HistoryMemory:
    """A value: sampling makes a new one, and two are equal where all that is in them is.

    `frames` (B, C, 19, H/8, W/8) are the last latent frames, oldest first, in model space, zeros where there is no
    past yet. `anchor` (B, C, 1, H/8, W/8) is the first frame of the film, None until there is one. `chunk` counts the
    chunks made. `rng_state` is the generator's after them, `seed` and `noise_device` what it was made with.

    For people only: `variant` made the last chunk, `log` has a record of each chunk that is known (see `Chunk`), with
    "prompt" only where it is new.
    """

    frames: Tensor
    anchor: Tensor | None = None
    chunk: int = 0
    seed: int | None = None
    noise_device: str = "cpu"
    rng_state: Tensor | None = None
    variant: str = ""
    log: tuple[dict, ...] = ()

    @classmethod
    def empty(cls, width: int, height: int, batch: int = 1, channels: int = 16) -> "HistoryMemory":
        """The beginning of a text-to-video film of width x height pixels, multiples of 16."""
        check_size(width, height, 16, "Helios' patches")
        size = height // SPATIAL_FACTOR, width // SPATIAL_FACTOR
        return cls(torch.zeros(batch, channels, HISTORY_LATENTS, *size))

    @classmethod
    def from_image(
        cls,
        image: Tensor,
        last: Tensor,
        *,
        seed: int,
        noise_device: str = "cpu",
        anchor_noise: NoiseRange | None = NOISE,
        history_noise: NoiseRange | None = NOISE,
    ) -> "HistoryMemory":
        """The beginning of an image-to-video film.

        `image` (B, C, 1, H/8, W/8) is the picture encoded alone, `last` the last latent of a 33-frame clip that repeats
        it. They become anchor and newest frame, each with noise of a strength drawn from its range; None adds none.
        """
        generator = torch.Generator(noise_device).manual_seed(seed)
        anchor = add_noise(image, anchor_noise, 1, generator)
        newest = add_noise(last, history_noise, 1, generator)
        return cls._begun(anchor, newest, seed, generator)

    @classmethod
    def from_video(
        cls,
        first: Tensor,
        windows: Tensor,
        *,
        seed: int,
        count: int | None = None,
        noise_device: str = "cpu",
        anchor_noise: NoiseRange | None = NOISE,
        history_noise: NoiseRange | None = NOISE,
    ) -> "HistoryMemory":
        """The beginning of a film that goes on from a video.

        `first` (B, C, 1, H/8, W/8) is the video's first frame encoded alone, `windows` (B, C, 9n, H/8, W/8) its last
        whole windows of 33 frames, each encoded alone, of `count` in all. Three are enough for the 19 latents that are
        remembered, but the reference draws noise for every one.
        """
        b, c, frames, h, w = windows.shape
        count = frames // CHUNK_LATENTS if count is None else count
        generator = torch.Generator(noise_device).manual_seed(seed)
        anchor = add_noise(first, anchor_noise, 1, generator)
        unused = torch.zeros(b, c, CHUNK_LATENTS, h, w)
        for _ in range(count - frames // CHUNK_LATENTS):
            add_noise(unused, history_noise, CHUNK_LATENTS, generator)
        noisy = [add_noise(x, history_noise, CHUNK_LATENTS, generator) for x in windows.split(CHUNK_LATENTS, dim=2)]
        return cls._begun(anchor, torch.cat(noisy, dim=2), seed, generator)

    @classmethod
    def _begun(cls, anchor: Tensor, past: Tensor, seed: int, generator: torch.Generator) -> "HistoryMemory":
        b, c, _, h, w = past.shape
        frames = torch.cat([past.new_zeros(b, c, HISTORY_LATENTS, h, w), past], dim=2)[:, :, -HISTORY_LATENTS:].clone()
        return cls(frames, anchor, seed=seed, noise_device=generator.device.type, rng_state=generator.get_state())

    @property
    def width(self) -> int:
        return self.frames.shape[-1] * SPATIAL_FACTOR

    @property
    def height(self) -> int:
        return self.frames.shape[-2] * SPATIAL_FACTOR

    def anchor_or_zeros(self) -> Tensor:
        return torch.zeros_like(self.frames[:, :, :1]) if self.anchor is None else self.anchor

    def generator(self, seed: int, device: str = "cpu") -> torch.Generator:
        """The film's own random stream where seed and device are its own, else a new one."""
        generator = torch.Generator(device)
        if self.rng_state is not None and (seed, generator.device.type) == (self.seed, self.noise_device):
            generator.set_state(self.rng_state.cpu())
            return generator
        return generator.manual_seed(seed)

    def __eq__(self, other) -> bool:
        if not isinstance(other, HistoryMemory):
            return NotImplemented
        return self is other or fingerprint(self) == fingerprint(other)

    def __hash__(self) -> int:
        return hash((self.chunk, self.seed, self.noise_device, self.variant, self.frames.shape))

    def record(self, chunk: int) -> dict:
        """What is known of a chunk, its prompt included; empty for one that this memory knows nothing of."""
        found = next((entry for entry in self.log if entry["chunk"] == chunk), None)
        return {} if found is None else {"prompt": self._prompt(chunk), **found}

    def _prompt(self, chunk: int) -> str:
        said = (entry["prompt"] for entry in reversed(self.log) if entry["chunk"] <= chunk and "prompt" in entry)
        return next(said, "")

    def append(
        self, latents: Tensor, rng_state: Tensor, record: dict | None = None, renew_anchor: bool = False
    ) -> "HistoryMemory":
        """The memory after a chunk of latents (B, C, 9, H/8, W/8), which left its generator in `rng_state`.

        `record` is what is noted of the chunk; the log keeps its prompt where it differs from the one before.
        """
        first = latents[:, :, :1].clone()
        record = {**(record or {}), "chunk": self.chunk}
        if record.get("prompt") == self._prompt(self.chunk):
            del record["prompt"]
        return replace(
            self,
            frames=torch.cat([self.frames, latents], dim=2)[:, :, -HISTORY_LATENTS:].clone(),
            anchor=first if self.anchor is None or renew_anchor else self.anchor,
            chunk=self.chunk + 1,
            rng_state=rng_state,
            log=(*self.log, record),
        )

    def save(self, path: str | Path, notes: dict[str, str] | None = None) -> None:
        """Write a .safetensors file, whole or not at all; `notes` are kept beside, for people.

        Raises ValueError for what `load` would not take, before anything is written.
        """
        tensors = {"frames": self.frames.float(), "anchor": self.anchor, "rng_state": self.rng_state}
        tensors["anchor"] = None if self.anchor is None else self.anchor.float()
        tensors = {k: t.detach().cpu().contiguous() for k, t in tensors.items() if t is not None}
        header = {name: getattr(self, name) for name in ("chunk", "seed", "noise_device", "variant", "log")}
        header["seed"] = None if self.seed is None else self.seed % 2**64  # as torch takes it
        metadata = {"format": FILE_FORMAT, "helios_memory": to_json(header), "notes": to_json(notes or {})}
        try:
            self._checked(metadata, tensors)
        except (ValueError, TypeError, RuntimeError) as error:
            raise ValueError(f"{Path(path).name}: this memory cannot be saved: {error}") from error
        write_whole(path, save(tensors, metadata))

    @classmethod
    def load(cls, path: str | Path) -> tuple["HistoryMemory", dict[str, str]]:
        """A saved memory and its notes. Raises ValueError, with the file's name, for anything else."""
        path = Path(path)
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name).clone() for name in file.keys() if name in TENSORS}
        except SafetensorError as error:
            raise ValueError(f"{path.name}: damaged or not a Helios memory ({error})") from error
        try:
            return cls._checked(metadata, tensors)
        except (ValueError, TypeError, KeyError, RuntimeError) as error:
            raise ValueError(f"{path.name}: not a Helios memory that can be read here: {error}") from error

    @classmethod
    def _checked(cls, metadata: dict, tensors: dict[str, Tensor]) -> tuple["HistoryMemory", dict[str, str]]:
        if metadata.get("format") != FILE_FORMAT:
            raise ValueError(f"its format is {metadata.get('format')!r}, {FILE_FORMAT!r} is needed")
        header, notes = from_json(metadata["helios_memory"]), from_json(metadata.get("notes", "{}"))
        frames, anchor, rng_state = (tensors.get(name) for name in TENSORS)
        chunk, seed, device = header["chunk"], header["seed"], header["noise_device"]
        if frames is None or frames.ndim != 5 or frames.shape[2] != HISTORY_LATENTS or frames.dtype != torch.float32:
            raise ValueError("its frames are not float32 (B, C, 19, H/8, W/8)")
        b, c, _, h, w = frames.shape
        check_size(w * SPATIAL_FACTOR, h * SPATIAL_FACTOR, 16, "Helios' patches")
        if anchor is not None and (anchor.shape != (b, c, 1, h, w) or anchor.dtype != torch.float32):
            raise ValueError("its anchor is of another size or type than its frames")
        if not all(torch.isfinite(t).all() for t in (frames, anchor) if t is not None):
            raise ValueError("its frames hold NaN or infinity")
        if (
            type(chunk) is not int
            or not 0 <= chunk < 10**9
            or not (seed is None or type(seed) is int and 0 <= seed < 2**64)
        ):
            raise ValueError(f"chunk={chunk!r}, seed={seed!r}")
        if device not in NOISE_DEVICES:
            raise ValueError(f"noise_device={device!r}")
        variant, log = header.get("variant", ""), header.get("log", [])
        if variant not in ("", *RECIPES) or type(log) is not list or not all(type(entry) is dict for entry in log):
            raise ValueError("its variant is no Helios or its log no list of records")
        # Files of before have no numbers: their records are of the film's last chunks.
        log = [{**entry, "chunk": entry.get("chunk", chunk - len(log) + i)} for i, entry in enumerate(log)]
        if not all(type(entry["chunk"]) is int for entry in log):
            raise ValueError("its log has a record of no chunk")
        if not isinstance(notes, dict):
            raise ValueError("its notes are no object")
        if rng_state is not None:
            if rng_state.dtype != torch.uint8 or rng_state.ndim != 1:
                raise ValueError("its random state is no row of bytes")
            if device == "cpu":
                check_state(rng_state)
        memory = cls(frames, anchor, chunk, seed, device, rng_state, variant, tuple(log))
        return memory, {str(k): str(v) for k, v in notes.items()}

    def to(self, device) -> "HistoryMemory":
        """The same with its frames on another device."""
        anchor = None if self.anchor is None else self.anchor.to(device)
        return replace(self, frames=self.frames.to(device), anchor=anchor)


def to_json(value) -> str:
    """What cannot be written becomes text, halves of a character (lone surrogates) question marks."""
    return json.dumps(value, default=str, skipkeys=True, ensure_ascii=False).encode("utf-8", "replace").decode()


def from_json(text: str):
    """Without lone surrogates, which no file, font or browser takes."""
    return json.loads(to_json(json.loads(text)))


def check_state(rng_state: Tensor) -> None:
    """Raise RuntimeError or ValueError for what is no state of a CPU's generator.

    torch itself takes one whose place and remainder do not agree, and then reads past its numbers.
    """
    torch.Generator().set_state(rng_state)
    _, left, _, place = struct.unpack("<QiiQ", rng_state[:24].numpy().tobytes())
    if (left, place) != (1, 0) and left + place != 625:
        raise ValueError("its random state is damaged")
