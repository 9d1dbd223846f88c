"""A film of a thousand chunks in a real ComfyUI: does memory or time per chunk grow, and does the file play to its end?

    python benchmarks/soak.py [--chunks 1000]

Helios Sample to Video with a small random model at 64x64, autosave on; measured from outside, by the chunks on disk.
Needs what the host tests need: a ComfyUI, found as they find it.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

PACK = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PACK), *(str(PACK / "tests" / folder) for folder in ("host", "core"))]

import av  # noqa: E402
import psutil  # noqa: E402

from checkpoints import write_tiny_wan_vae  # noqa: E402
from comfy_server import ComfyServer, find_comfyui  # noqa: E402
from models import POSITIVE, Graph  # noqa: E402

AT_LEAST = 50  # chunks before memory is compared: caches fill, allocators settle


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chunks", type=int, default=1000)
    chunks = parser.parse_args().chunks
    with tempfile.TemporaryDirectory() as folder, ComfyServer(find_comfyui(), Path(folder)) as server:
        write_tiny_wan_vae(server.models_dir / "vae" / "tiny_wan_vae.safetensors")
        graph = Graph(server)
        settings = dict(size=(64, 64), positive=POSITIVE, steps="1", length=33 * chunks, autosave=True)
        graph.sample_to_video(graph.load(), graph.vae(), "video/soak", **settings)
        process, prompt_id = psutil.Process(server._process.pid), server.queue(graph)
        times, sizes = watch(server, process, chunks)
        server.wait(prompt_id, timeout=600)
        (film,) = (server.output_dir / "video").glob("soak_*.mp4")
        with av.open(str(film)) as container:
            noted = container.streams.video[0].frames
            played = sum(1 for _ in container.decode(video=0))
    report(times, sizes)
    print(f"frames: {33 * chunks} wanted, {noted} noted in the file, {played} played")
    if played != 33 * chunks or noted != played:
        raise SystemExit("the file is not whole")


def watch(server, process, chunks):
    """(seconds since the first chunk, MB of main memory) for each chunk as it comes to lie on disk."""
    folder, times, sizes, seen = server.output_dir / "helios" / "autosave", [], [], 0
    while seen < chunks:
        count = len(list(folder.rglob("[0-9a-f]*.safetensors")))
        now, rss = time.monotonic(), process.memory_info().rss / 1e6
        for _ in range(count - seen):
            times.append(now)
            sizes.append(rss)
        seen = count
        time.sleep(0.02)
    return times, sizes


def report(times, sizes):
    end = len(times) - 1
    print("chunk        MB   ms a chunk before it (median)")
    for k in sorted({AT_LEAST, *range(100, end, 100), end}):
        window = [1000 * (b - a) for a, b in zip(times[k - AT_LEAST : k], times[k - AT_LEAST + 1 : k + 1])]
        print(f"{k:5} {sizes[k]:9.1f}   {statistics.median(window):6.1f}")
    print(f"memory after chunk {end} against chunk {AT_LEAST}: {sizes[end] - sizes[AT_LEAST]:+.1f} MB")


if __name__ == "__main__":
    main()
