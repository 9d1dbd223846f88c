"""`helios estimate`: what a film will take. Memory and disk are computed from sizes, time is measured."""

import torch

from ..film.loop import chunk_count, film_length, step_count
from ..media.codecs import cpu_dtype
from ..media.text_encoder import text_tokens
from ..network.config import CHUNK_FRAMES, CHUNK_LATENTS, HISTORY_LATENTS, SPATIAL_FACTOR
from ..network.load import load_transformer
from ..network.sizes import activation_bytes, text_bytes
from .measure import decode_seconds, seconds_per_chunk
from .model_files import ModelFiles, count_weights
from .requests import EstimateRequest

BITS = 0.3  # of a film's pixel, assumed: more where much moves


def estimate(request: EstimateRequest) -> None:
    """Print it. Raises ValueError or OSError for a model that cannot be read and for a size that does not divide."""
    files = ModelFiles.find(request.options)
    width, height = request.size or files.size
    files.recipe.check_size(width, height)
    chunks = chunk_count(request.length)
    vae_weights, _ = count_weights(files.vae)
    text_weights, notes = count_weights(files.text_encoder)
    tokens = text_tokens(notes)
    steps = step_count(files.recipe, 0, chunks)
    print(f"{film_length(chunks)} of {width}x{height} with {files.variant}, {steps} steps")
    print_memory(files, width, height, tokens, vae_weights, text_weights)
    print_disk(files, width, height, chunks)
    print_time(files, width, height, tokens, chunks)


def print_memory(files: ModelFiles, width: int, height: int, tokens: int, vae_weights: int, text_weights: int) -> None:
    config, h, w, number = files.checkpoint.config, *_latent_size(width, height), files.dtype.itemsize
    vae_dtype = cpu_dtype() if files.on_cpu else torch.float32
    needs = {
        "transformer": sum(tensor.numel() for tensor in files.checkpoint.tensors.values()) * number,
        "its activations": activation_bytes(config, h, w, number),
        "a prompt's keys and values": text_bytes(config, tokens, number) * (1 + files.recipe.guided),
        "VAE": vae_weights * vae_dtype.itemsize,
    }
    text = text_weights * files.text_dtype.itemsize / 1e9
    print(f"  memory of {files.device}, computed: {sum(needs.values()) / 1e9:.2f} GB, and more while the VAE decodes")
    for what, size in needs.items():
        print(f"    {what} {size / 1e9:.2f} GB")
    print(f"    before that, together with the VAE: text encoder {text:.2f} GB")
    if files.on_cuda:
        print(f"    free now {torch.cuda.mem_get_info(files.device)[0] / 1e9:.2f} GB")
    if not files.on_cpu:
        print(f"  main memory, computed: {text:.2f} GB, while the text encoder is read")


def print_disk(files: ModelFiles, width: int, height: int, chunks: int) -> None:
    h, w = _latent_size(width, height)
    frame = files.checkpoint.config.in_channels * h * w * 4
    film, memory, kept = (
        width * height * chunks * CHUNK_FRAMES * BITS / 8,
        frame * (HISTORY_LATENTS + 1),
        frame * chunks * CHUNK_LATENTS,
    )
    print(
        f"  disk: the film {film / 1e6:.1f} MB at {BITS} bits a pixel, memory file {memory / 1e6:.1f} MB at any length,"
    )
    print(f"    finished chunks {kept / 1e6:.1f} MB")


def print_time(files: ModelFiles, width: int, height: int, tokens: int, chunks: int) -> None:
    config = files.checkpoint.config
    model = load_transformer(files.checkpoint, files.device, files.dtype)
    first, later = seconds_per_chunk(model, files.recipe, tokens, width, height, files.device, files.dtype)
    latents = torch.zeros(1, config.in_channels, CHUNK_LATENTS, *_latent_size(width, height))
    decoding = decode_seconds(files.load_codec(), latents)
    if files.on_cuda:
        print(f"  memory, measured: at most {torch.cuda.max_memory_allocated(files.device) / 1e9:.2f} GB")
    seconds = first + (chunks - 1) * later + chunks * decoding
    print(
        f"  time, measured by one step of each stage: {later:.2f} s a chunk ({first:.2f} the first), "
        f"decoding {decoding:.2f}"
    )
    print(f"    {seconds:.0f} s in all, {chunks * CHUNK_FRAMES / seconds:.2f} frames a second")


def _latent_size(width: int, height: int) -> tuple[int, int]:
    return height // SPATIAL_FACTOR, width // SPATIAL_FACTOR
