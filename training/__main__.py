"""Make the demo from nothing: python -m training

Every stage leaves its result in training/runs and goes on with what is there: VAE, films as latents, transformer with
text encoder. Hours on two CPU cores, minutes on a GPU.
"""

import argparse
from pathlib import Path

import torch
import torch.multiprocessing as processes

from . import data, transformer, vae
from .flow import Films


def log(text: str) -> None:
    print(text, flush=True)


def encode_films(number: int, runs: Path, films: int, workers: int, device: str) -> None:
    torch.set_num_threads(1)
    model = vae.make_vae()
    model.load_state_dict(torch.load(runs / "vae.pt", map_location="cpu")["model"])
    data.make(model.to(device).eval(), runs / "films", films, first=number, every=workers, log=log)


def load_films(runs: Path) -> Films:
    """The encoded films, with the statistics by which their latents become those of model space."""
    tensors, stories = data.load(runs / "films")
    latents = tensors["latents"].float()
    mean, std = (f(latents, dim=(0, 1, 3, 4, 5)) for f in (torch.mean, torch.std))
    return Films(tensors, stories, mean.view(-1, 1, 1, 1), std.view(-1, 1, 1, 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path(__file__).parent / "runs")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--films", type=int, default=2500, help="of four chunks each: 2500")
    parser.add_argument("--steps", type=int, default=9000, help="of the transformer's training: 9000")
    args = parser.parse_args()
    args.runs.mkdir(parents=True, exist_ok=True)
    vae.train(args.runs / "vae.pt", device=args.device, log=log)
    workers = torch.get_num_threads() if args.device == "cpu" else 1
    processes.spawn(encode_films, (args.runs, args.films, workers, args.device), nprocs=workers)
    transformer.train(load_films(args.runs), args.runs / "transformer.pt", args.steps, args.device, log=log)


if __name__ == "__main__":
    main()
