"""Tiny random checkpoints that ComfyUI's own loaders take for the real thing."""

from pathlib import Path

import torch
from safetensors.torch import save_file

WIDTHS = (1, 2, 4, 4)  # of the four resolutions, in base widths


def write_tiny_wan_vae(path: Path, base_dim: int = 4, seed: int = 0) -> Path:
    """A Wan 2.1 VAE (16 latent channels; 9 latent frames are 33 frames) with random weights."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in _wan_vae_shapes(base_dim):
        if name.endswith("gamma"):
            tensors[name] = torch.ones(shape)
        elif name.endswith("bias"):
            tensors[name] = torch.zeros(shape)
        else:
            tensors[name] = torch.randn(shape, generator=generator) / shape[1:].numel() ** 0.5
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)
    return path


def _wan_vae_shapes(base):
    """(name, shape) of every tensor."""
    widths = [base * w for w in WIDTHS]

    def conv(name, inputs, outputs, *kernel):
        yield f"{name}.weight", torch.Size((outputs, inputs, *kernel))
        yield f"{name}.bias", torch.Size((outputs,))

    def residual(name, inputs, outputs):
        yield f"{name}.residual.0.gamma", torch.Size((inputs, 1, 1, 1))
        yield from conv(f"{name}.residual.2", inputs, outputs, 3, 3, 3)
        yield f"{name}.residual.3.gamma", torch.Size((outputs, 1, 1, 1))
        yield from conv(f"{name}.residual.6", outputs, outputs, 3, 3, 3)
        if inputs != outputs:
            yield from conv(f"{name}.shortcut", inputs, outputs, 1, 1, 1)

    def middle(name, width):
        yield from residual(f"{name}.0", width, width)
        yield f"{name}.1.norm.gamma", torch.Size((width, 1, 1))
        yield from conv(f"{name}.1.to_qkv", width, 3 * width, 1, 1)
        yield from conv(f"{name}.1.proj", width, width, 1, 1)
        yield from residual(f"{name}.2", width, width)

    def head(name, inputs, outputs):
        yield f"{name}.0.gamma", torch.Size((inputs, 1, 1, 1))
        yield from conv(f"{name}.2", inputs, outputs, 3, 3, 3)

    yield from conv("conv1", 32, 32, 1, 1, 1)
    yield from conv("conv2", 16, 16, 1, 1, 1)

    yield from conv("encoder.conv1", 3, base, 3, 3, 3)
    index, inputs = 0, base
    for level, width in enumerate(widths):
        for _ in range(2):
            yield from residual(f"encoder.downsamples.{index}", inputs, width)
            index, inputs = index + 1, width
        if level < 3:  # halves the size; levels 1 and 2 also halve time
            yield from conv(f"encoder.downsamples.{index}.resample.1", width, width, 3, 3)
            if level > 0:
                yield from conv(f"encoder.downsamples.{index}.time_conv", width, width, 3, 1, 1)
            index += 1
    yield from middle("encoder.middle", widths[-1])
    yield from head("encoder.head", widths[-1], 32)

    yield from conv("decoder.conv1", 16, widths[-1], 3, 3, 3)
    yield from middle("decoder.middle", widths[-1])
    index, inputs = 0, widths[-1]
    for level, width in enumerate(reversed(widths)):
        for _ in range(3):
            yield from residual(f"decoder.upsamples.{index}", inputs, width)
            index, inputs = index + 1, width
        if level < 3:  # doubles the size; levels 0 and 1 also double time
            yield from conv(f"decoder.upsamples.{index}.resample.1", width, width // 2, 3, 3)
            if level < 2:
                yield from conv(f"decoder.upsamples.{index}.time_conv", width, 2 * width, 3, 1, 1)
            index, inputs = index + 1, width // 2
    yield from head("decoder.head", base, 3)


def tiny_wan_tensors(dim: int = 128, ffn_dim: int = 128, seed: int = 0) -> dict[str, torch.Tensor]:
    """A Wan 2.1 text-to-video transformer of one block, which ComfyUI's own loader takes."""
    linears = {
        "text_embedding.0": (dim, 4096),
        "text_embedding.2": (dim, dim),
        "time_embedding.0": (dim, 256),
        "time_embedding.2": (dim, dim),
        "time_projection.1": (6 * dim, dim),
        "head.head": (64, dim),
        "blocks.0.ffn.0": (ffn_dim, dim),
        "blocks.0.ffn.2": (dim, ffn_dim),
        **{f"blocks.0.{a}_attn.{m}": (dim, dim) for a in ("self", "cross") for m in "qkvo"},
    }
    shapes = {"patch_embedding.weight": (dim, 16, 1, 2, 2), "patch_embedding.bias": (dim,)}
    for name, (out, into) in linears.items():
        shapes |= {f"{name}.weight": (out, into), f"{name}.bias": (out,)}
    shapes |= {f"blocks.0.{a}_attn.norm_{m}.weight": (dim,) for a in ("self", "cross") for m in "qk"}
    shapes |= {"blocks.0.norm3.weight": (dim,), "blocks.0.norm3.bias": (dim,)}
    shapes |= {"blocks.0.modulation": (1, 6, dim), "head.modulation": (1, 2, dim)}
    generator = torch.Generator().manual_seed(seed)
    return {name: 0.1 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
