"""What Base, Mid and Distilled prescribe (arXiv 2603.04379; the reference's published scripts)."""

import math
import re
from dataclasses import dataclass, replace

from ..network.config import check_size


@dataclass(frozen=True)
class Recipe:
    """How one chunk is sampled.

    `steps` has one entry for each pyramid stage: a single one means no pyramid. `shift` is the form of the
    resolution-dependent time shift. `zero_steps` is the last step of stage 0 whose flow CFG-Zero* sets to zero. Raises
    ValueError for what cannot be sampled.
    """

    steps: tuple[int, ...]
    solver: str  # "unipc", "euler" or "dmd"
    shift: str  # "exponential" or "linear"
    cfg: float = 1.0
    cfg_zero_star: bool = False
    zero_steps: int = 1
    amplify_first_chunk: bool = False  # DMD only: twice the steps in chunk 0
    skip_first_chunk: bool = False  # take the anchor anew from chunk 1

    def __post_init__(self):
        if not self.steps or any(n < 1 for n in self.steps):
            raise ValueError(f"steps={self.steps}: at least one step for each stage is needed")
        if len(self.steps) not in (1, 3):
            raise ValueError(f"steps={self.steps}: use one number (no pyramid) or three (its stages, coarse to fine)")
        if self.solver not in ("unipc", "euler", "dmd"):
            raise ValueError(f"solver={self.solver!r}: use 'unipc', 'euler' or 'dmd'")
        if self.shift not in ("exponential", "linear"):
            raise ValueError(f"shift={self.shift!r}: use 'exponential' or 'linear'")
        if not 1 <= self.cfg < math.inf:
            raise ValueError(f"cfg={self.cfg:g}: guidance is 1 (none) or more")

    @property
    def stages(self) -> int:
        return len(self.steps)

    @property
    def guided(self) -> bool:
        """Whether the negative prompt counts, at the price of a second pass."""
        return self.cfg > 1

    @property
    def multiple(self) -> int:
        """Width and height in pixels must divide by this: 16 to be cut into patches, 64 through the pyramid."""
        return 16 * 2 ** (self.stages - 1)

    def check_size(self, width: int, height: int) -> None:
        """Raise ValueError unless a film of width x height pixels can be made."""
        check_size(width, height, self.multiple, "its pyramid stages" if self.stages > 1 else "its patches")

    def steps_of(self, chunk: int) -> tuple[int, ...]:
        """Steps of each stage in a chunk."""
        doubled = self.amplify_first_chunk and self.solver == "dmd" and chunk == 0
        return tuple(2 * n for n in self.steps) if doubled else self.steps

    def is_zero_init(self, stage: int, step: int) -> bool:
        """Whether CFG-Zero* starts here with a flow of zero, so that nothing need be computed."""
        return self.cfg_zero_star and self.guided and stage == 0 and step <= self.zero_steps


RECIPES = {
    "base": Recipe(steps=(50,), solver="unipc", shift="exponential", cfg=5.0),
    "mid": Recipe(steps=(20, 20, 20), solver="unipc", shift="exponential", cfg=5.0, cfg_zero_star=True),
    "distilled": Recipe(steps=(2, 2, 2), solver="dmd", shift="linear", amplify_first_chunk=True),
}
# A guidance of 5 puts halos around the demo's things, and half of Base's steps are enough for them.
DEMO_RECIPES = RECIPES | {
    "base": replace(RECIPES["base"], steps=(25,), cfg=2.5),
    "mid": replace(RECIPES["mid"], cfg=2.5),
}


def override(
    recipe: Recipe,
    *,
    steps: str = "auto",
    cfg: float | None = None,
    solver: str = "auto",
    amplify_first_chunk: str = "auto",
    skip_first_chunk: bool = False,
) -> Recipe:
    """A recipe with what a user wants otherwise: "auto" and None keep what it prescribes.

    `steps` is "30" or "2,2,2", `amplify_first_chunk` "on" or "off". Raises ValueError.
    """
    amplify = {"auto": recipe.amplify_first_chunk, "on": True, "off": False}[amplify_first_chunk]
    return replace(
        parse_steps(steps, recipe),
        cfg=recipe.cfg if cfg is None else cfg,
        solver=recipe.solver if solver == "auto" else solver,
        amplify_first_chunk=amplify,
        skip_first_chunk=skip_first_chunk,
    )


def parse_steps(text: str, recipe: Recipe) -> Recipe:
    """A recipe with the steps a user wrote: "auto" keeps them, "30" or "2,2,2" replace them."""
    if text.strip().lower() in ("", "auto"):
        return recipe
    numbers = [n.strip() for n in re.split("[,;]", text)]
    steps = tuple(map(int, numbers)) if all(re.fullmatch("[0-9]{1,4}", n) for n in numbers) else ()
    if len(steps) == 1 and recipe.stages > 1:
        steps *= recipe.stages
    if len(steps) != recipe.stages or any(not 1 <= n <= 1000 for n in steps):
        example = ",".join(map(str, recipe.steps))
        raise ValueError(
            f"steps={text!r}: this model takes {recipe.stages} whole number{'s' * (recipe.stages > 1)} "
            f"from 1 to 1000, for instance {example!r}, or 'auto'"
        )
    return replace(recipe, steps=steps)
