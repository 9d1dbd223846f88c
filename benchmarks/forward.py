"""Our transformer against diffusers', in one process: same weights, same inputs, taking turns.

    PYTHONPATH=. python benchmarks/forward.py  # speed at half and full size, small width
    PYTHONPATH=. python benchmarks/forward.py --memory  # peak activation memory of a block at the 14B's width
    PYTHONPATH=. python benchmarks/forward.py --full  # CUDA, 60 GB: the 14B, random bf16 weights; frames per second too

What is timed: one step at each pyramid stage, and a chunk of Distilled (2,2,2 steps). Our chunk includes embedding
history and text, which a step then need not do; diffusers does both in every step.
"""

import argparse
import gc
import statistics
import time
from functools import partial
from pathlib import Path

import torch
from diffusers import HeliosTransformer3DModel

from helios_core import (
    RECIPES,
    Chunk,
    HeliosConfig,
    HeliosTransformer,
    HistoryMemory,
    ScheduleDirector,
    film_records,
)
from helios_core.film.denoise import ModelDenoiser
from helios_core.film.prompts import PromptSchedule, Segment
from helios_core.network.checkpoint import rename_keys
from helios_core.network.config import CHUNK_LATENTS, HISTORY, HISTORY_LATENTS

SMALL = dict(num_attention_heads=4, ffn_dim=1376, text_dim=4096)
WIDE = dict(num_layers=2)  # the peak is the first one's: ours needs less in the last
STAGES = (4, 2, 1)  # of the full size


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", action="store_true", help="peak activation memory of one block at 14B width")
    parser.add_argument("--full", action="store_true", help="the whole 14B on a CUDA device")
    parser.add_argument("--layers", type=int, default=2, help="the fewer, the more the last one's dead rows count")
    parser.add_argument("--runs", type=int, default=5, help="timed runs of each, after one to warm up")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    where = torch.cuda.get_device_name() if args.device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"torch {torch.__version__}, {where}")
    with torch.inference_mode():
        if args.full:
            film(speed((48, 80), {}, args.device, args.runs), args.device)
        elif args.memory:
            memory(args.device)
        else:
            for size in ((24, 40), (48, 80)):
                speed(size, {**SMALL, "num_layers": args.layers}, args.device, args.runs)


def speed(size, settings, device, runs):
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    theirs, ours = pair(settings, device, dtype)
    inputs = Inputs(size, device, dtype)
    print(f"\nlatents {size[0]}x{size[1]}, width {ours.config.dim}, {ours.config.num_layers} layers, {dtype}")
    print(f"{'':10}{'diffusers':>12}{'ours':>12}{'ratio':>8}{'difference':>12}")
    text, history = ours.embed_text(inputs.text), ours.embed_history(inputs.frames, inputs.anchor)
    total = [0.0, 0.0]
    for stage, shrink in enumerate(STAGES):
        x = inputs.noisy(shrink)
        calls = [partial(their_step, theirs, x, inputs), partial(ours, x, inputs.timestep, text, history)]
        times = take_turns(calls, runs, device)
        total = [a + b for a, b in zip(total, times)]
        row(f"stage {stage}", times, difference(*(call() for call in calls)))
    row("summed", total)

    def chunk_theirs():
        for shrink in STAGES:
            for _ in range(2):
                their_step(theirs, inputs.noisy(shrink), inputs)

    def chunk_ours():
        text, history = ours.embed_text(inputs.text), ours.embed_history(inputs.frames, inputs.anchor)
        for shrink in STAGES:
            for _ in range(2):
                ours(inputs.noisy(shrink), inputs.timestep, text, history)

    row("chunk", take_turns([chunk_theirs, chunk_ours], max(1, runs // 2), device))
    return ours


def memory(device):
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    theirs, ours = pair(WIDE, device, dtype)
    inputs = Inputs((48, 80), device, dtype)
    x = inputs.noisy(1)
    text, history = ours.embed_text(inputs.text, False), ours.embed_history(inputs.frames, inputs.anchor)
    history.rope((CHUNK_LATENTS, 24, 40))
    calls = [partial(their_step, theirs, x, inputs), partial(ours, x, inputs.timestep, text, history)]
    peaks = [peak(call, device) for call in calls]
    held = sum(t.nbytes for t in (text.tokens, history.tokens, history.rope((CHUNK_LATENTS, 24, 40)))) / 2**20
    print(f"\na block at width {ours.config.dim}, 384x640, {dtype}: peak activations")
    print(
        f"diffusers {peaks[0]:.0f} MB, ours {peaks[1] + held:.0f} MB (history and text, kept, included): "
        f"{(peaks[1] + held) / peaks[0]:.2f} of diffusers'"
    )


def film(model, device, chunks=5):
    """Sample Distilled's film, as it is and then compiled: seconds of a chunk, without encoding text and decoding.

    The first chunk, which has twice the steps, is not counted; in it what is compiled is.
    """
    torch._dynamo.config.recompile_limit = 64
    recipe, dtype = RECIPES["distilled"], torch.bfloat16
    schedule = PromptSchedule((Segment(0, torch.randn(1, 512, 4096, device=device, dtype=dtype)),))
    memory = HistoryMemory.empty(640, 384).to(device)
    for compiled in (False, True):
        if compiled:
            for block in model.blocks:
                block.compile(dynamic=False)
        torch.cuda.reset_peak_memory_stats()
        times = []
        denoise = ModelDenoiser(model, recipe, dtype=dtype)
        director = ScheduleDirector(schedule, 0, chunks)
        for record in film_records(denoise, memory, director, recipe):
            if isinstance(record, Chunk):
                torch.cuda.synchronize()
                times.append(time.perf_counter())
        seconds = statistics.median(b - a for a, b in zip(times, times[1:]))
        used = torch.cuda.max_memory_allocated() / 2**30
        how = "compiled" if compiled else "as it is"
        print(f"film, {how}: {seconds:.3f} s a chunk, {33 / seconds:.1f} FPS, {used:.1f} GiB at the most", flush=True)


def pair(settings, device, dtype):
    torch.manual_seed(0)
    with torch.device(device):  # the 14B's random numbers would take minutes on a CPU
        theirs = HeliosTransformer3DModel(**settings).eval().to(dtype)
    ours = HeliosTransformer(HeliosConfig.from_dict(settings), device=device, dtype=dtype).eval()
    shapes = ours.state_dict()
    ours.load_state_dict({k: v.reshape(shapes[k].shape) for k, v in rename_keys(theirs.state_dict()).items()})
    return theirs, ours


class Inputs:
    def __init__(self, size, device, dtype):
        self.options = dict(device=device, dtype=dtype)
        self.size = size
        self.frames = torch.randn(1, 16, HISTORY_LATENTS, *size, **self.options)
        self.anchor = torch.randn(1, 16, 1, *size, **self.options)
        self.text = torch.randn(1, 512, 4096, **self.options)
        self.timestep = torch.tensor([500.0], device=device)

    def noisy(self, shrink):
        h, w = self.size
        return torch.randn(1, 16, CHUNK_LATENTS, h // shrink, w // shrink, **self.options)


def their_step(model, x, inputs):
    long, mid, short = inputs.frames.split(HISTORY, dim=2)
    times = torch.arange(1 + HISTORY_LATENTS + CHUNK_LATENTS)[None]
    anchor, long_times, mid_times, short_times, noisy = times.split([1, *HISTORY, CHUNK_LATENTS], dim=1)
    return model(
        hidden_states=x,
        timestep=inputs.timestep,
        encoder_hidden_states=inputs.text,
        indices_hidden_states=noisy,
        indices_latents_history_short=torch.cat([anchor, short_times], dim=1),
        indices_latents_history_mid=mid_times,
        indices_latents_history_long=long_times,
        latents_history_short=torch.cat([inputs.anchor, short], dim=2),
        latents_history_mid=mid,
        latents_history_long=long,
        return_dict=False,
    )[0]


def take_turns(calls, runs, device):
    """Median seconds of each call, the calls alternating so that a drift of the machine meets all."""
    times = [[] for _ in calls]
    for i in range(runs + 1):
        for call, kept in zip(calls, times):
            start = time.perf_counter()
            call()
            if device == "cuda":
                torch.cuda.synchronize()
            if i:
                kept.append(time.perf_counter() - start)
    return [statistics.median(kept) for kept in times]


def peak(call, device):
    """MB of memory that a call needs on top of what is there before it."""
    gc.collect()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    Path("/proc/self/clear_refs").write_text("5")  # Linux: resets the high-water mark of resident memory
    before = resident("VmRSS")
    call()
    return (resident("VmHWM") - before) / 1024


def resident(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1])


def difference(a, b):
    return ((a.double() - b.double()).norm() / a.double().norm()).item()


def row(name, times, error=None):
    shown = f"{error:12.1e}" if error is not None else ""
    print(f"{name:10}{times[0]:11.3f}s{times[1]:11.3f}s{times[0] / times[1]:8.2f}{shown}", flush=True)


if __name__ == "__main__":
    main()
