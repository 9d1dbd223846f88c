"""One step towards less noise, given the flow v = noise - data that the network predicts.

A solver is made for one stage with its sigmas (n + 1) and the latents it starts from; `step(i, x, flow)` returns the
next latents and the estimate x0 of the stage's end. Latents are float32, scalars float64.
"""

import math

import torch
from torch import Tensor


class Euler:
    """x moves along the flow by the difference of the noise levels."""

    def __init__(self, sigmas: tuple[float, ...], start: Tensor):
        self.sigmas = sigmas

    def step(self, i: int, x: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        return x + (self.sigmas[i + 1] - self.sigmas[i]) * flow, x - self.sigmas[i] * flow


class DMD:
    """The distilled generator's step: predict the end, then noise it again with the stage's own start.

    Distribution matching distillation (arXiv 2405.14867); reference: HeliosDMDScheduler. The estimate is taken in
    float64, as there.
    """

    def __init__(self, sigmas: tuple[float, ...], start: Tensor):
        self.sigmas = sigmas
        self.start = start

    def step(self, i: int, x: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        # Elsewhere (MPS, many XPUs) there is no float64.
        wide = torch.float64 if x.device.type in ("cpu", "cuda") else torch.float32
        x0 = (x.to(wide) - self.sigmas[i] * flow.to(wide)).to(x.dtype)
        following = self.sigmas[i + 1]
        return (1 - following) * x0 + following * self.start if following else x0, x0


class UniPC:
    """UniPC of order 2 with B(h) = e^h - 1, predicting data (arXiv 2302.04867, algorithms 5 and 6).

    Each step first corrects the latents it was given, with the flow now known there (UniC), then predicts the next
    ones (UniP). The first and the last prediction are of order 1.
    """

    def __init__(self, sigmas: tuple[float, ...], start: Tensor):
        self.sigmas = sigmas
        self.estimates: list[Tensor] = []  # the last two x0, newest last
        self.corrected: Tensor | None = None  # those that the newest estimate was made from
        self.order = 0  # of the prediction that led here

    def step(self, i: int, x: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        x0 = x - self.sigmas[i] * flow
        if self.corrected is not None:
            x = self._correct(i, x0)
        self.estimates = [*self.estimates[-1:], x0]
        self.corrected = x
        steps = len(self.sigmas) - 1
        self.order = min(2, steps - i, len(self.estimates))
        return self._predict(i, x), x0

    def _predict(self, i: int, x: Tensor) -> Tensor:
        x0 = self.estimates[-1]
        alpha, ratio, h, weight = self._between(i, i + 1)
        change = -alpha * weight
        if self.order == 1:
            return ratio * x + change * x0
        slope = (self.estimates[-2] - x0) / (self._log_snr_gap(i, i - 1) / h)
        return ratio * x + change * (x0 + 0.5 * slope)

    def _correct(self, i: int, x0: Tensor) -> Tensor:
        before = self.estimates[-1]
        alpha, ratio, h, weight = self._between(i - 1, i)
        change = -alpha * weight
        if self.order == 1:
            return ratio * self.corrected + change * (before + 0.5 * (x0 - before))
        r = self._log_snr_gap(i - 1, i - 2) / h
        # Weights that make the correction exact for quadratics: [[1, 1], [r, 1]] rho = [b1, b2]
        phi1 = weight / -h - 1
        phi2 = phi1 / -h - 0.5
        b1, b2 = phi1 / weight, 2 * phi2 / weight
        rho_old = (b1 - b2) / (1 - r)
        rho_new = b1 - rho_old
        slope = (self.estimates[-2] - before) / r
        return ratio * self.corrected + change * (before + rho_old * slope + rho_new * (x0 - before))

    def _between(self, a: int, b: int) -> tuple[float, float, float, float]:
        """From level a to level b: alpha there, ratio of the sigmas, step h in log-SNR, e^-h - 1."""
        h = self._log_snr_gap(a, b)
        return 1 - self.sigmas[b], self._sigma(b) / self._sigma(a), h, math.expm1(-h)

    def _log_snr_gap(self, a: int, b: int) -> float:
        return self._log_snr(b) - self._log_snr(a)

    def _log_snr(self, i: int) -> float:
        return math.log(1 - self.sigmas[i]) - math.log(self._sigma(i))

    def _sigma(self, i: int) -> float:
        return max(self.sigmas[i], 1e-8)  # the last level is 0, its logarithm is not wanted


SOLVERS = {"euler": Euler, "dmd": DMD, "unipc": UniPC}
