"""Draw what the demo's workflows begin with: web/demo/, pictures and a video of the world that the demo knows."""

import sys
from pathlib import Path

PACK = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PACK))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402

from helios_core.media.video import VideoWriter  # noqa: E402
from training.world import Scene, Thing, make_film  # noqa: E402

THINGS = {
    "triangle.png": (Thing("triangle", "pink", "small", "right"), "gray", -40),
    "square.png": (Thing("square", "green", "large", "right"), "black", -30),
    "star.png": (Thing("star", "orange", "large", "up"), "white", 0),
    "bar.mp4": (Thing("bar", "cyan", "small", "left"), "black", 40),
}


def main():
    folder = PACK / "web" / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    for name, (thing, ground, right) in THINGS.items():
        film = make_film([Scene(ground, (thing,))], [1.0], np.random.default_rng(3))
        film = np.roll(film, right, axis=2)
        path = folder / f"helios_demo_{name}"
        if path.suffix == ".png":
            Image.fromarray((film[0] * 255).round().astype(np.uint8)).save(path, optimize=True)
        else:
            with VideoWriter(path) as video:
                video.write(torch.from_numpy(film))


if __name__ == "__main__":
    main()
