"""Prompts to CONDITIONING, each text once for as long as its encoder lives."""

import comfy.model_management as mm
import comfy.sd

from .recent import Recent

KEPT = 32  # texts of an encoder, if no schedule has more; one is 8 MB with UMT5-XXL

_encoded = Recent()


def encode_texts(clip, texts: list[str]) -> dict[str, list]:
    """Each text's CONDITIONING, as CLIP Text Encode makes it; what `clip` encoded lately is not encoded again.

    Raises ValueError for a text that is encoded to NaN or infinity.
    """
    state, texts = _state_of(clip), list(dict.fromkeys(texts))
    found = {}
    for text in texts:
        mm.throw_exception_if_processing_interrupted()

        def encode(text=text):
            conditioning = clip.encode_from_tokens_scheduled(clip.tokenize(text))
            check_finite(conditioning, f"schedule: the prompt “{text if len(text) <= 60 else text[:57] + '...'}”")
            return conditioning

        if state is None or "embedding:" in text:  # that names a file, which may change
            found[text] = encode()
        else:
            conditioning = _encoded.get(clip, (state, text), encode, max(KEPT, len(texts)))
            # Lists and dicts of their own: nodes that get them may change theirs.
            found[text] = [[tensor, dict(values)] for tensor, values in conditioning]
    return found


def check_finite(conditioning, name: str) -> None:
    """Raises ValueError for NaN or infinity, for which the model would be blamed later, and for nothing at all."""
    if not conditioning:
        raise ValueError(f"{name} is empty; connect CLIP Text Encode or another node that gives CONDITIONING.")
    if not all(tensor.isfinite().all() for tensor, _ in conditioning):
        raise ValueError(
            f"{name} has NaN or infinity in its embeddings; correct weights such as (word:nan) in its text, or load "
            "the text encoder in a higher precision."
        )


def _state_of(clip):
    """What can change the embeddings of a CLIP in its place; None where that cannot be told.

    Nodes that change a CLIP, by LoRA or layer, hand on a clone, which is another object.
    """
    if type(clip) is not comfy.sd.CLIP:
        return None
    patcher = clip.patcher
    if patcher.forced_hooks is not None or patcher.hook_patches or clip.apply_hooks_to_conds:
        return None
    parts = id(clip.cond_stage_model), id(clip.tokenizer)
    options = repr(sorted(getattr(clip, "tokenizer_options", {}).items()))
    return parts, clip.layer_idx, patcher.patches_uuid, repr(sorted(patcher.object_patches)), options
