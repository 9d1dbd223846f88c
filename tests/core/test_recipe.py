"""What the variants prescribe and what users may change of it."""

from dataclasses import FrozenInstanceError, replace

import pytest

from helios_core import RECIPES, chunk_count, override, parse_steps, step_count
from helios_core.diffusion.recipe import Recipe
from helios_core.film.loop import film_length

BASE, MID, DISTILLED = (RECIPES[v] for v in ("base", "mid", "distilled"))


def test_recipes_are_the_published_ones():
    assert RECIPES == {
        "base": Recipe(
            steps=(50,),
            solver="unipc",
            shift="exponential",
            cfg=5.0,
            cfg_zero_star=False,
            zero_steps=1,
            amplify_first_chunk=False,
            skip_first_chunk=False,
        ),
        "mid": Recipe(
            steps=(20, 20, 20),
            solver="unipc",
            shift="exponential",
            cfg=5.0,
            cfg_zero_star=True,
            zero_steps=1,
            amplify_first_chunk=False,
            skip_first_chunk=False,
        ),
        "distilled": Recipe(
            steps=(2, 2, 2),
            solver="dmd",
            shift="linear",
            cfg=1.0,
            cfg_zero_star=False,
            zero_steps=1,
            amplify_first_chunk=True,
            skip_first_chunk=False,
        ),
    }


def test_a_recipe_is_a_value():
    with pytest.raises(FrozenInstanceError):
        BASE.cfg = 1.0


@pytest.mark.parametrize("recipe,stages,multiple", [(BASE, 1, 16), (MID, 3, 64), (DISTILLED, 3, 64)])
def test_stages_and_multiple(recipe, stages, multiple):
    assert (recipe.stages, recipe.multiple) == (stages, multiple)


@pytest.mark.parametrize("text", ["", "auto", " Auto ", "AUTO\n"])
@pytest.mark.parametrize("variant", RECIPES)
def test_auto_keeps_the_recipe(variant, text):
    assert parse_steps(text, RECIPES[variant]) is RECIPES[variant]


@pytest.mark.parametrize(
    "recipe,text,steps",
    [
        (BASE, "30", (30,)),
        (BASE, " 1 ", (1,)),
        (BASE, "1000", (1000,)),
        (MID, "8", (8, 8, 8)),
        (MID, "20,10,5", (20, 10, 5)),
        (DISTILLED, "1,1,1", (1, 1, 1)),
        (DISTILLED, "3; 2; 1", (3, 2, 1)),
        (DISTILLED, "4, 3 ,2", (4, 3, 2)),
    ],
)
def test_parse_steps(recipe, text, steps):
    assert parse_steps(text, recipe) == replace(recipe, steps=steps)
    assert recipe in RECIPES.values()


@pytest.mark.parametrize(
    "text",
    ["many", "0", "-1", "1001", "2.5", "2,2", "2,2,2,2", "2,,2", "2,2,0", "2 2 2", ",", "1,2,x", "None", "9" * 5000],
)
@pytest.mark.parametrize("variant", RECIPES)
def test_bad_steps(variant, text):
    wanted = {
        "base": r"takes 1 whole number from 1 to 1000, for instance '50', or 'auto'$",
        "mid": r"takes 3 whole numbers from 1 to 1000, for instance '20,20,20', or 'auto'$",
        "distilled": r"takes 3 whole numbers from 1 to 1000, for instance '2,2,2', or 'auto'$",
    }
    with pytest.raises(ValueError, match=wanted[variant]) as error:
        parse_steps(text, RECIPES[variant])
    assert str(error.value).startswith(f"steps={text!r}: ")


def test_three_numbers_do_not_fit_base():
    with pytest.raises(ValueError, match=r"^steps='2,2,2': this model takes 1 whole number from"):
        parse_steps("2,2,2", BASE)


@pytest.mark.parametrize(
    "changes,message",
    [
        (dict(steps=()), r"^steps=\(\): at least one step for each stage"),
        (dict(steps=(2, 0, 2)), r"^steps=\(2, 0, 2\): at least one step for each stage"),
        (dict(steps=(2, 2)), r"^steps=\(2, 2\): use one number .* or three"),
        (dict(solver="ddim"), r"^solver='ddim': use 'unipc', 'euler' or 'dmd'$"),
        (dict(shift="none"), r"^shift='none': use 'exponential' or 'linear'$"),
    ],
)
def test_recipes_that_cannot_be(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(MID, **changes)


@pytest.mark.parametrize("solver", ["unipc", "euler", "dmd"])
@pytest.mark.parametrize("amplify", [True, False])
def test_only_dmds_first_chunk_is_doubled(solver, amplify):
    recipe = replace(DISTILLED, steps=(3, 2, 1), solver=solver, amplify_first_chunk=amplify)
    doubled = solver == "dmd" and amplify
    assert recipe.steps_of(0) == ((6, 4, 2) if doubled else (3, 2, 1))
    assert recipe.steps_of(1) == recipe.steps_of(7) == (3, 2, 1)


@pytest.mark.parametrize("zero_steps", [0, 1, 3])
def test_zero_init(zero_steps):
    recipe = replace(MID, zero_steps=zero_steps)
    zeroed = {(stage, step) for stage in range(3) for step in range(6) if recipe.is_zero_init(stage, step)}
    assert zeroed == {(0, step) for step in range(zero_steps + 1)}


@pytest.mark.parametrize("changes", [dict(cfg=1.0), dict(cfg_zero_star=False)], ids=str)
def test_no_zero_init_without_cfg_zero_star(changes):
    assert MID.is_zero_init(0, 0)
    assert not replace(MID, **changes).is_zero_init(0, 0)


@pytest.mark.parametrize("frames,chunks", [(-5, 1), (0, 1), (1, 1), (33, 1), (34, 2), (66, 2), (67, 3), (240, 8)])
def test_chunk_count_rounds_up(frames, chunks):
    assert chunk_count(frames) == chunks


@pytest.mark.parametrize(
    "recipe,first,chunks,steps",
    [(BASE, 0, 2, 100), (MID, 0, 1, 60), (DISTILLED, 0, 1, 12), (DISTILLED, 0, 3, 24), (DISTILLED, 1, 3, 18)],
)
def test_step_count(recipe, first, chunks, steps):
    assert step_count(recipe, first, chunks) == steps


@pytest.mark.parametrize("chunks,text", [(1, "1 chunk, 33 frames, 1.4 s"), (3, "3 chunks, 99 frames, 4.1 s")])
def test_film_length(chunks, text):
    assert film_length(chunks) == text


@pytest.mark.parametrize("cfg", [0, 0.0, 0.5, 0.999, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_no_guidance_below_1(recipe, cfg):
    for change in (lambda: replace(recipe, cfg=cfg), lambda: override(recipe, cfg=cfg)):
        with pytest.raises(ValueError, match=r"^cfg=.*: guidance is 1 \(none\) or more$"):
            change()


@pytest.mark.parametrize("cfg, guided", [(1, False), (1.0, False), (1.001, True), (100, True)])
def test_guided(cfg, guided):
    assert replace(MID, cfg=cfg).guided is guided
    assert replace(MID, cfg=cfg).is_zero_init(0, 0) is guided


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_override_keeps_what_nobody_wants_otherwise(recipe):
    assert override(recipe) == override(recipe, steps="auto", solver="auto", amplify_first_chunk="auto") == recipe


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize(
    "wish, change",
    [
        (dict(steps="3"), None),
        (dict(cfg=7.5), dict(cfg=7.5)),
        (dict(cfg=1), dict(cfg=1)),
        (dict(solver="euler"), dict(solver="euler")),
        (dict(amplify_first_chunk="on"), dict(amplify_first_chunk=True)),
        (dict(amplify_first_chunk="off"), dict(amplify_first_chunk=False)),
        (dict(skip_first_chunk=True), dict(skip_first_chunk=True)),
    ],
    ids=str,
)
def test_override(recipe, wish, change):
    before = replace(recipe)
    assert override(recipe, **wish) == replace(recipe, **(change or dict(steps=(3,) * recipe.stages)))
    assert recipe == before


@pytest.mark.parametrize("wish", [dict(steps="0"), dict(steps="2,2"), dict(solver="ddim")], ids=str)
def test_override_refuses(wish):
    with pytest.raises(ValueError, match=rf"^{next(iter(wish))}="):
        override(DISTILLED, **wish)
