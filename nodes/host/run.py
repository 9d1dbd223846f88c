"""What need not be computed twice while a film is sampled."""

from dataclasses import dataclass

import torch

from ...helios_core import History, HistoryMemory, Step, Text

RUN = "helios_run"  # our key in transformer_options


@dataclass(frozen=True, eq=False)
class ModelCall:
    """What one call of the network needs besides its latents: the transformer never looks further than this."""

    text: Text
    history: History
    timestep: torch.Tensor
    scale: torch.Tensor


class RunCache:
    """The state of one sampling run, handed to the model through transformer_options.

    It holds the current step, the history's tokens for this chunk, and each prompt's tokens (with `keep_keys_values`
    their keys and values in every block too) for as long as the prompt is used. Nothing is kept without `reuse`: where
    hooks change the weights from call to call.
    """

    def __init__(self, keep_keys_values: bool, reuse: bool):
        self.keep_keys_values, self.reuse = keep_keys_values, reuse
        self.clear()

    def start_chunk(self, memory: HistoryMemory, uuids: set) -> None:
        """A chunk begins: forget the last one's history, and the texts that these conds do not use."""
        self._memory = memory
        self._histories = {}
        self._texts = {key: text for key, text in self._texts.items() if set(key[0]) <= uuids}

    def start_step(self, step: Step) -> None:
        self._step = step

    def clear(self) -> None:
        """Let go of what lies on the GPU: the host may keep the patcher that leads here."""
        self._memory = self._step = None
        self._histories, self._texts = {}, {}

    def prepare(self, model, x, context, options, dtype) -> ModelCall:
        device, memory, step = x.device, self._memory, self._step
        uuids = tuple(options.get("uuids", ()))
        # Wrappers may split the batch, and the ids no longer say whose text this is.
        known = self.reuse and uuids and len(context) == len(uuids) * len(memory.frames)
        text = self._texts.get((uuids, device)) if known else None
        if text is None:
            text = model.embed_text(context.to(device, dtype), self.keep_keys_values)
            if known:  # a text is kept once, however the host batches it
                kept = {k: t for k, t in self._texts.items() if k[1] != device or not set(k[0]) & set(uuids)}
                self._texts = {**kept, (uuids, device): text}
        history = self._histories.get(device)
        if history is None or not self.reuse:
            history = self._histories[device] = model.embed_history(
                memory.frames.to(device), memory.anchor_or_zeros().to(device), dtype
            )
        # The table is made here, so that a compiled model finds it there and stays one graph.
        history.rope(tuple(size // p for size, p in zip(x.shape[2:], model.config.patch_size)))
        timestep = torch.tensor([step.timestep], device=device)
        # The host takes timestep / 1000 for sigma and forms x - sigma * output. Within a pyramid stage the noise
        # level is another number, so the output is scaled for that difference to be the true x0.
        scale = torch.tensor(step.sigma / host_sigma(step), device=device)
        return ModelCall(text, history, timestep, scale)


def host_sigma(step: Step) -> float:
    """How noisy a chunk is at a step, over all its stages, 1 to 0: what the host schedules conditioning by."""
    return step.timestep / 1000
