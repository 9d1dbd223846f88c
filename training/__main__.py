"""Make the demo from nothing: python -m training

Every stage leaves its result in training/runs and goes on with what is there: VAE, films as latents, transformer with
text encoder, few steps; then the demo's files, in training/runs/demo, and their evaluation. About twelve hours on two
CPU cores that know bfloat16, twenty on others. Other numbers of steps and rounds have files of their own; what else is
to differ wants another --runs, or it and what comes after it deleted.
"""

import argparse
import os
import shutil
from pathlib import Path

import torch
import torch.multiprocessing as processes

from . import data, distill, report, transformer, vae
from .export import save_text, save_transformer, save_vae
from .flow import Films
from .text import TOKENS


def log(text: str) -> None:
    print(text, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path(__file__).parent / "runs")
    parser.add_argument("--demo", type=Path, help="folder of the files: demo in --runs; to --evaluate, what ships")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--films", type=int, default=2400, help="of four chunks each: %(default)s")
    parser.add_argument("--clips", type=int, default=6400, help="of one chunk each: %(default)s")
    parser.add_argument("--steps", type=int, default=12400, help="of the transformer's training: %(default)s")
    parser.add_argument("--rounds", type=int, default=60, help="of sampling and learning for few steps: %(default)s")
    parser.add_argument("--guided", type=int, default=60, help="rounds of learning what guidance does: %(default)s")
    parser.add_argument("--eager", action="store_true", help="do not compile: slower, but needs no C++ compiler")
    parser.add_argument("--evaluate", action="store_true", help="only that, of what is in --demo: an hour")
    args = parser.parse_args()
    args.demo = args.demo or (Path(__file__).parents[1] if args.evaluate else args.runs) / "demo"
    for folder in (args.runs, args.demo):
        folder.mkdir(parents=True, exist_ok=True)
    workers = os.cpu_count() or 1  # drawing and evaluation are the CPU's work
    if args.evaluate:
        return report.write(args.demo, args.runs, workers, log)
    if not args.eager:
        torch.compile(torch.sin)(torch.ones(8, device=args.device))  # without a compiler it fails now, not after hours
    codec = args.runs / "vae.safetensors"
    if not codec.exists():
        save_vae(vae.train(args.runs / "vae.pt", device=args.device, log=log), codec)
    drawers = workers if args.device == "cpu" else min(workers, 8)  # each has the VAE on the device
    processes.spawn(data.make_all, (args.runs, args.films, args.clips, drawers, args.device), nprocs=drawers)
    films = Films(data.load(args.runs / "films", args.films), data.load(args.runs / "clips", args.clips))
    how = {"device": args.device, "compiled": not args.eager, "log": log}
    steps, rounds, guided = args.steps, args.rounds, args.guided
    teacher = transformer.train(films, args.runs / f"transformer_{steps}.pt", steps, **how)
    student = distill.train(films, teacher, args.runs / f"distilled_{steps}_{rounds}.pt", rounds, **how)
    path = args.runs / f"guided_{steps}_{rounds}_{guided}.pt"
    student = distill.guide(films, student, path, guided, **how).cpu()
    shutil.copy(codec, args.demo)
    save_transformer(student.transformer, args.demo / "transformer")
    save_text(student.text, student.tokenizer.serialized_model_proto(), TOKENS, args.demo / "text_encoder.safetensors")
    report.write(args.demo, args.runs, workers, log)


if __name__ == "__main__":
    main()
