"""The model and options that made a film, kept in its memory file as text. Anybody may have written that file."""

import argparse
import shlex
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path

from .model_files import DEMO
from .parser import add_model
from .requests import ModelOptions

REMEMBERED = ("variant", "steps", "cfg", "negative", "text_encoder", "vae", "dtype")


def options_text(options: ModelOptions) -> str:
    """The options as one writes them on a command line; the device is left out, which may be another machine's."""
    given = {name.replace("_", "-"): value for name in REMEMBERED if (value := getattr(options, name)) is not None}
    return shlex.join(f"--{k}={v.absolute() if isinstance(v, Path) else v}" for k, v in given.items())


def recall_options(options: ModelOptions, notes: Mapping[str, str], variant: str, file: str) -> ModelOptions:
    """`options`, and where they say nothing what a film was made with: `notes` and `variant` of its memory `file`.

    Raises ValueError for notes that cannot be understood or that name files in a network.
    """
    if options.model is not None:
        return options
    if "model" not in notes:
        raise ValueError(f"{file}: it does not say which model made it; add --model ('--model demo' for the demo)")
    try:
        then = _Recalled().read(shlex.split(notes.get("options", "")), notes["model"])
    except ValueError as error:
        raise ValueError(f"{file}: its options cannot be used: {error}") from error
    then = replace(then, variant=then.variant or variant or None)
    if options.variant not in (None, then.variant):
        then = replace(then, steps=None, cfg=None)  # they were another variant's
    missing = {name: getattr(then, name) for name in ("model", *REMEMBERED) if getattr(options, name) is None}
    for name, value in missing.items():
        if isinstance(value, Path) and str(value).startswith((r"\\", "//")):  # Windows would log in there
            raise ValueError(f"{file}: it names {value} in a network; add --{name.replace('_', '-')} yourself")
    if missing["model"] == Path(DEMO):
        missing["model"] = None
    return replace(options, **missing)


class _Recalled(argparse.ArgumentParser):
    """Understands the options of a model and passes over all others."""

    def __init__(self):
        super().__init__(add_help=False, allow_abbrev=False)
        add_model(self)
        self.add_argument("--negative")

    def read(self, words: list[str], model: str) -> ModelOptions:
        found, _ = self.parse_known_args([*words, f"--model={model}"])
        return ModelOptions(**{f.name: getattr(found, f.name) for f in fields(ModelOptions)})

    def error(self, message: str):
        raise ValueError(message)
