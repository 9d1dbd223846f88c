"""What a Helios transformer is made of, and the numbers every Helios shares."""

from dataclasses import dataclass, fields

CHUNK_FRAMES = 33  # pixel frames made at a time ...
CHUNK_LATENTS = 9  # ... and their latents: the VAE's first latent is one frame, every other four
HISTORY = (16, 2, 1)  # latent frames remembered: long, mid, short
HISTORY_LATENTS = sum(HISTORY)
SPATIAL_FACTOR = 8  # pixels of a latent's edge (Wan 2.1 VAE)
TEXT_TOKENS = 512  # UMT5's window: a prompt is filled up with zeros, which the model attends to
FPS = 24


@dataclass(frozen=True)
class HeliosConfig:
    """Architecture of a checkpoint; the defaults are the 14B's, the names those of its `config.json`."""

    patch_size: tuple[int, int, int] = (1, 2, 2)
    num_attention_heads: int = 40
    attention_head_dim: int = 128
    in_channels: int = 16
    out_channels: int = 16
    text_dim: int = 4096
    freq_dim: int = 256
    ffn_dim: int = 13824
    num_layers: int = 40
    eps: float = 1e-6
    rope_dim: tuple[int, int, int] = (44, 42, 42)  # of a head: time, height, width
    rope_theta: float = 10000.0
    cross_attn_norm: bool = True
    guidance_cross_attn: bool = True  # only the noisy tokens attend to the text
    zero_history_timestep: bool = True  # the history is modulated as clean (timestep 0)
    is_amplify_history: bool = False  # learned scale on the history's keys ...
    history_scale_mode: str = "per_head"  # ... one for each head, or "scalar" for all

    def __post_init__(self):
        if min(self.num_attention_heads, self.num_layers, self.ffn_dim, self.text_dim, self.freq_dim) < 1:
            raise ValueError("heads, layers and widths must be 1 or more")
        if not all(len(t) == 3 and all(type(n) is int and n > 0 for n in t) for t in (self.patch_size, self.rope_dim)):
            raise ValueError("patch_size and rope_dim have three whole numbers each: time, height, width")
        if not (0 < self.eps < 1 and 0 < self.rope_theta < float("inf")):
            raise ValueError(
                f"eps={self.eps} and rope_theta={self.rope_theta}: positive numbers are needed, eps below 1"
            )
        if sum(self.rope_dim) != self.attention_head_dim or any(d % 2 for d in self.rope_dim):
            raise ValueError(
                f"rope_dim={self.rope_dim}: three even numbers that add up to attention_head_dim="
                f"{self.attention_head_dim} are needed, for instance {rope_split(self.attention_head_dim)}"
            )
        if self.history_scale_mode not in ("per_head", "scalar"):
            raise ValueError(f"history_scale_mode={self.history_scale_mode!r}: use 'per_head' or 'scalar'")

    @property
    def dim(self) -> int:
        """Width of a token."""
        return self.num_attention_heads * self.attention_head_dim

    @classmethod
    def from_dict(cls, values: dict) -> "HeliosConfig":
        """From a `config.json` as diffusers writes it; what this class does not know is left out.

        Raises ValueError for a value of another kind than the default's.
        """
        kept = {}
        for f in fields(cls):
            if f.name in values:
                value, kind = values[f.name], type(f.default)
                value = tuple(value) if isinstance(value, list) else value
                if type(value) is not kind and not (kind is float and type(value) is int):
                    raise ValueError(f"{f.name}={value!r}: a value like {f.default!r} is needed")
                kept[f.name] = value
        return cls(**kept)


def rope_split(head_dim: int) -> tuple[int, int, int]:
    """Wan's split of a head's channels over time, height and width: 128 -> (44, 42, 42)."""
    side = 2 * (head_dim // 6)
    return head_dim - 2 * side, side, side


def check_size(width: int, height: int, multiple: int, why: str) -> None:
    """Raise ValueError, naming the nearest size that works, unless width and height (pixels) divide by `multiple`."""
    if width < multiple or height < multiple or width % multiple or height % multiple:
        near = [max(multiple, multiple * ((2 * size + multiple) // (2 * multiple))) for size in (width, height)]
        raise ValueError(
            f"width={width}, height={height}: multiples of {multiple} are needed for {why}; "
            f"the nearest that works is {near[0]}x{near[1]}"
        )
