"""The state of one sampling run."""

import torch

RUN = "helios_run"  # our key in transformer_options


class ModelCall:
    """What one call of the network needs besides its latents: the transformer never looks further than this."""

    def __init__(self, text, history, timestep, scale):
        self.text, self.history, self.timestep, self.scale = text, history, timestep, scale


class Run:
    """The state of one sampling run, handed to the model through transformer_options.

    It holds the current step and what need not be computed twice: the history's tokens for this chunk, each prompt's
    keys and values for as long as the prompt is used.
    """

    def __init__(self):
        self.step = None
        self.cache = True  # not where hooks change the weights from call to call
        self.keep_keys_values = True
        self._histories = {}
        self._texts = {}

    def begin(self, step):
        if self.step is None or step.chunk != self.step.chunk:
            self._histories.clear()
        self.step = step

    def clear(self):
        """Let go of what lies on the GPU: the host may keep the patcher that leads here."""
        self.step = None
        self._histories.clear()
        self._texts.clear()

    def keep_texts(self, uuids):
        """Forget the texts that these conds do not use."""
        self._texts = {key: text for key, text in self._texts.items() if set(key[0]) <= uuids}

    def prepare(self, model, x, context, options, dtype) -> ModelCall:
        device = x.device
        uuids = tuple(options.get("uuids", ()))
        # Wrappers may split the batch, and the ids no longer say whose text this is.
        known = self.cache and uuids and len(context) == len(uuids) * len(self.step.memory.frames)
        text = self._texts.get((uuids, device)) if known else None
        if text is None:
            text = model.embed_text(context.to(device, dtype), self.keep_keys_values)
            if known:  # a text is kept once, however the host batches it
                kept = {k: t for k, t in self._texts.items() if k[1] != device or not set(k[0]) & set(uuids)}
                self._texts = {**kept, (uuids, device): text}
        history = self._histories.get(device)
        if history is None or not self.cache:
            memory = self.step.memory
            history = self._histories[device] = model.embed_history(
                memory.frames.to(device), memory.anchor_or_zeros().to(device), dtype
            )
        # The table is made here, so that a compiled model finds it there and stays one graph.
        history.rope(tuple(size // p for size, p in zip(x.shape[2:], model.config.patch_size)))
        timestep = torch.tensor([self.step.timestep], device=device)
        # The host takes timestep / 1000 for sigma and forms x - sigma * output. Within a pyramid stage the noise
        # level is another number, so the output is scaled for that difference to be the true x0.
        scale = torch.tensor(self.step.sigma / host_sigma(self.step), device=device)
        return ModelCall(text, history, timestep, scale)


def host_sigma(step) -> float:
    """Where in the chunk's whole course a step stands, 1 to 0: what the host schedules conditioning by."""
    return step.timestep / 1000
