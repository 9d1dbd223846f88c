"""CONDITIONING of a film: checked, named by content, mixed where prompts blend."""

import uuid

import comfy.conds

from ...helios_core.film.prompts import blend_embeddings
from .identity import Unrecognisable, name_of


def check(film) -> None:
    for before, segment in zip(film.schedule.segments, film.schedule.segments[1:]):
        if segment.blend and len(before.prompt) != len(segment.prompt):
            raise ValueError(
                f"schedule: the blend at chunk {segment.start} is between conditionings of {len(before.prompt)} and "
                f"{len(segment.prompt)} parts; both need the same number of parts, or use a cut there"
            )
    for tensor_and_values in [e for s in film.schedule.segments for e in s.prompt] + list(film.negative or ()):
        unusable = {"area", "mask", "control", "concat_latent_image"} & tensor_and_values[1].keys()
        if unusable:
            raise ValueError(
                f"The conditioning has {' and '.join(sorted(unusable))}, which cannot work here: a chunk is made at "
                "several sizes. Connect it without; a picture to begin with goes into Helios History Memory."
            )
    channels = film.model.model.diffusion_model.config.in_channels
    if film.memory.frames.shape[1] != channels:
        raise ValueError(f"memory: it has {film.memory.frames.shape[1]} latent channels, this model {channels}.")


def keep_prompt(prompt, prompts: dict) -> str:
    """A prompt's fingerprint, under which it is put into `prompts`."""
    try:
        name = name_of(prompt)
    except Unrecognisable:  # it has a name for this run
        name = next((n for n, p in prompts.items() if p is prompt), uuid.uuid4().hex)
    prompts[name] = prompt
    return name


def mix_conds(conds: list[dict], mix) -> list[dict]:
    """The conds of a chunk: those of its prompt, or in a blend the last prompt's with their embeddings mixed."""
    chosen = [(weight, [c for c in conds if c["helios_prompt"] == name]) for weight, name in mix]
    if len(chosen) == 1:
        return chosen[0][1]
    mixed = []
    for entries in zip(*(entries for _, entries in chosen)):
        weighted = [(w, c["model_conds"]["c_crossattn"].cond) for (w, _), c in zip(chosen, entries)]
        model_conds = {**entries[-1]["model_conds"], "c_crossattn": comfy.conds.CONDRegular(blend_embeddings(weighted))}
        mixed.append({**entries[-1], "model_conds": model_conds, "uuid": uuid.uuid4()})
    return mixed
