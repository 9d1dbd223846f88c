"""CONDITIONING of a film: checked, named by content, mixed where prompts blend."""

import uuid
from collections.abc import Iterable

import comfy.conds

from ...helios_core import HistoryMemory, PromptSchedule
from ...helios_core.film.prompts import blend_embeddings
from ...helios_core.film.record import Mix
from .identity import Unrecognisable, name_of
from .texts import check_finite

PROMPT = "helios_prompt"  # our key in conds: the name of the prompt that they are of
# What nodes for other models put beside a prompt, in words.
UNUSABLE = {
    "area": "an area",
    "mask": "a mask",
    "control": "a ControlNet",
    "concat_latent_image": "a start image",
    "clip_vision_output": "a CLIP Vision image",
    "reference_latents": "a reference image",
    "time_dim_concat": "a reference video",
    "context_latents": "reference frames",
    "vace_frames": "VACE frames",
    "control_video": "a control video",
    "pose_video_latent": "a pose video",
    "camera_conditions": "a camera path",
    "audio_embed": "sound",
}


def check_conditioning(schedule: PromptSchedule, negative, memory: HistoryMemory, channels: int) -> None:
    """Raise ValueError for what cannot be sampled: blends of unlike prompts, NaN, parts of a picture, other latents."""
    for before, segment in zip(schedule.segments, schedule.segments[1:]):
        if segment.blend and len(before.prompt) != len(segment.prompt):
            raise ValueError(
                f"schedule: the blend at chunk {segment.start} is between conditionings of {len(before.prompt)} and "
                f"{len(segment.prompt)} parts; both need the same number of parts, or use a cut there"
            )
    for segment in schedule.segments:
        check_finite(segment.prompt, f"The prompt at chunk {segment.start}")
    if negative is not None:
        check_finite(negative, "negative: the prompt")
    for _, values in [entry for s in schedule.segments for entry in s.prompt] + list(negative or ()):
        if unusable := [words for key, words in UNUSABLE.items() if values.get(key) is not None]:
            raise ValueError(
                f"The conditioning comes with {' and '.join(unusable)}, which Helios cannot use: connect the prompt "
                "without. A picture to begin with goes into Helios History Memory."
            )
    if memory.frames.shape[1] != channels:
        raise ValueError(f"memory: it has {memory.frames.shape[1]} latent channels, this model {channels}.")


class Prompts:
    """The prompts of a film by names of their content: so are the chunks on disk filed."""

    def __init__(self):
        self._by_name = {}

    def name(self, conditioning) -> str:
        """The fingerprint of a CONDITIONING, or a name for this run where it cannot be recognised again."""
        try:
            name = name_of(conditioning)
        except Unrecognisable:
            known = (n for n, c in self._by_name.items() if c is conditioning)
            name = next(known, uuid.uuid4().hex)
        self._by_name[name] = conditioning
        return name

    def conditioning(self) -> list:
        """All of them in one CONDITIONING, each part with its prompt's name."""
        return [[tensor, {**values, PROMPT: n}] for n, c in self._by_name.items() for tensor, values in c]


def mix_conds(conds: Iterable[dict], mix: Mix) -> list[dict]:
    """The conds of a chunk: those of its prompt, or in a blend the last prompt's with their embeddings mixed."""
    chosen = [(weight, [c for c in conds if c[PROMPT] == name]) for weight, name in mix]
    if not chosen or not all(entries for _, entries in chosen):  # the host would take no conds for a flow of zero
        raise ValueError(f"a prompt is none of the film's: {[name for _, name in mix]}")
    if len(chosen) == 1:
        return chosen[0][1]
    mixed = []
    for entries in zip(*(entries for _, entries in chosen)):
        weighted = [(w, c["model_conds"]["c_crossattn"].cond) for (w, _), c in zip(chosen, entries)]
        model_conds = {**entries[-1]["model_conds"], "c_crossattn": comfy.conds.CONDRegular(blend_embeddings(weighted))}
        mixed.append({**entries[-1], "model_conds": model_conds, "uuid": uuid.uuid4()})
    return mixed
