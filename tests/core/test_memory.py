"""The sampling loop and the memory that it hands on."""

import weakref
from dataclasses import FrozenInstanceError, replace

import pytest
import torch

from films import SEA, chunks_of, film_of, steps_of, toy
from helios_core import (
    RECIPES,
    Chunk,
    Go,
    HeliosTransformer,
    HistoryMemory,
    PromptSchedule,
    Segment,
    Start,
    Step,
    Stop,
    film_records,
    step_count,
)
from helios_core.diffusion.noise import coarsest
from helios_core.film.denoise import ModelDenoiser
from oracle import embeddings, models, relative_error

DISTILLED = RECIPES["distilled"]
FILMS = {
    "base": replace(RECIPES["base"], steps=(3,)),
    "mid": replace(RECIPES["mid"], steps=(3, 2, 2)),
    "distilled": DISTILLED,
    "distilled_skip": replace(DISTILLED, steps=(1, 1, 1), skip_first_chunk=True),
}


def text(seed):
    return embeddings(seed, length=16, tokens=5 + seed)


def network(recipe):
    _, ours = models(num_layers=2)
    return ModelDenoiser(ours, recipe, text(2))


def film(memory, chunks, recipe=DISTILLED, seed=3, denoise=None, schedule=SEA):
    return list(film_of(denoise or toy, memory, schedule, recipe, chunks, seed))


def assert_same_memory(a, b):
    assert (a.chunk, a.seed, a.noise_device) == (b.chunk, b.seed, b.noise_device)
    for name in ("frames", "anchor", "rng_state"):
        x, y = getattr(a, name), getattr(b, name)
        assert (x is None) == (y is None) and (x is None or torch.equal(x, y)), name


def copy_of(m):
    tensors = {k: v.clone() for k, v in vars(m).items() if isinstance(v, torch.Tensor)}
    return replace(m, **tensors)


@pytest.fixture(params=["empty", "image", "going_on"])
def memory(request):
    empty = HistoryMemory.empty(64, 64)
    if request.param == "empty":
        return empty
    if request.param == "image":
        g = torch.Generator().manual_seed(0)
        return replace(
            empty, frames=torch.randn(empty.frames.shape, generator=g), anchor=torch.randn(1, 16, 1, 8, 8, generator=g)
        )
    return film(empty, 2)[-1].memory


@torch.no_grad()
@pytest.mark.parametrize("name", FILMS)
def test_sampling_leaves_the_memory_alone(memory, name):
    before = copy_of(memory)
    schedule = PromptSchedule((Segment(0, text(1)),))
    records = film(memory, 2, FILMS[name], denoise=network(FILMS[name]), schedule=schedule)
    assert_same_memory(memory, before)
    assert records[-1].memory.chunk == before.chunk + 2


def test_a_memory_is_a_value():
    with pytest.raises(FrozenInstanceError):
        HistoryMemory.empty(64, 64).chunk = 3


def test_memories_compare_by_content(memory):
    same = copy_of(memory)
    assert same == memory and hash(same) == hash(memory) and len({memory, same}) == 1
    assert memory.frames is not same.frames and memory == memory and not memory != same
    assert memory != 3 and memory != "memory" and memory != None  # noqa: E711
    other = replace(memory, frames=memory.frames.clone())
    other.frames[0, 3, 18, 7, 7] += 1e-6
    shaped = replace(memory, frames=memory.frames.view(1, 16, 19, 4, 16))
    others = [
        other,
        shaped,
        replace(memory, frames=memory.frames.double()),
        replace(memory, anchor=torch.ones(1, 16, 1, 8, 8)),
        replace(memory, chunk=memory.chunk + 1),
        replace(memory, seed=4),
        replace(memory, noise_device="cuda"),
        replace(memory, rng_state=torch.Generator().manual_seed(9).get_state()),
        replace(memory, variant="mid"),
        replace(memory, log=(*memory.log, {"chunk": 7})),
    ]
    assert all(m != memory for m in others) and len({memory, *others}) == len(others) + 1


def appended(memory, record=None):
    return memory.append(torch.zeros(1, 16, 9, 8, 8), torch.Generator().get_state(), record)


def test_a_record_has_its_prompt_where_it_changes():
    memory = HistoryMemory.empty(64, 64)
    for prompt in ("sea", "sea", "sky", "", "", "sea"):
        memory = appended(memory, {"prompt": prompt, "seed": 3})
    told = [(entry["chunk"], entry.get("prompt")) for entry in memory.log]
    assert told == [(0, "sea"), (1, None), (2, "sky"), (3, ""), (4, None), (5, "sea")]
    assert [memory.record(k)["prompt"] for k in range(6)] == ["sea", "sea", "sky", "", "", "sea"]
    assert memory.record(1) == {"chunk": 1, "seed": 3, "prompt": "sea"}


def test_a_record_is_found_by_its_number_never_by_its_place():
    memory = replace(HistoryMemory.empty(64, 64), chunk=5)
    assert memory.record(5) == {}
    for seed in (3, 4):
        memory = appended(memory, {"seed": seed, "prompt": "sea", "chunk": 99})  # a chunk knows its number
    assert [memory.record(k) for k in (-1, 0, 4, 7, 99)] == 5 * [{}]
    assert [memory.record(k)["seed"] for k in (5, 6)] == [3, 4]


def test_append_leaves_what_it_was_given(memory):
    before, record = copy_of(memory), {"prompt": "sea", "seconds": 1.0}
    after = appended(memory, record)
    assert memory == before and record == {"prompt": "sea", "seconds": 1.0}
    assert after.log[:-1] == memory.log and appended(memory).log[-1] == {"chunk": memory.chunk}


@torch.no_grad()
@pytest.mark.parametrize("first,more", [(1, 2), (2, 1)])
@pytest.mark.parametrize("name", FILMS)
def test_going_on_is_as_if_never_stopped(name, first, more):
    recipe, schedule = FILMS[name], PromptSchedule((Segment(0, text(1)), Segment(1, text(4), 2)))
    empty = HistoryMemory.empty(64, 128)
    whole = chunks_of(film(empty, first + more, recipe, denoise=network(recipe), schedule=schedule))
    begun = chunks_of(film(empty, first, recipe, denoise=network(recipe), schedule=schedule))
    rest = chunks_of(film(begun[-1].memory, more, recipe, denoise=network(recipe), schedule=schedule))
    assert [c.index for c in whole] == [c.index for c in begun + rest] == list(range(first + more))
    for a, b in zip(whole, begun + rest):
        assert torch.equal(a.latents, b.latents)
        assert_same_memory(a.memory, b.memory)


@torch.no_grad()
def test_going_on_from_any_chunk_twice():
    whole = chunks_of(film(HistoryMemory.empty(64, 64), 3))
    for _ in range(2):
        again = chunks_of(film(whole[0].memory, 2))
        assert torch.equal(again[-1].latents, whole[-1].latents)


def first_noise(memory, seed, **options):
    seen = []
    records = film_of(lambda start: lambda x, step: seen.append(x) or x, memory, SEA, DISTILLED, 1, seed, **options)
    next(record for record in records if isinstance(record, Step))
    return seen[0]


@pytest.mark.parametrize("device", ["cpu:0", torch.device("cpu")], ids=str)
def test_a_device_by_any_name_continues_the_stream(device):
    def generator(memory):
        return memory.generator(3, device)

    empty = HistoryMemory.empty(64, 64)
    first = generator(empty)
    torch.randn(5, generator=first)
    memory = replace(empty, seed=3).append(torch.zeros(1, 16, 9, 8, 8), first.get_state())
    assert torch.equal(torch.randn(5, generator=generator(memory)), torch.randn(5, generator=first))


def test_the_same_seed_continues_the_stream_and_another_starts_one():
    memory = film(HistoryMemory.empty(64, 64), 1, seed=3)[-1].memory
    stream = torch.Generator()
    stream.set_state(memory.rng_state)
    shape = 1, 16, 9, 8, 8
    assert torch.equal(first_noise(memory, 3), coarsest(torch.randn(shape, generator=stream), 3))
    for seed in (3, 4):
        fresh = coarsest(torch.randn(shape, generator=torch.Generator().manual_seed(seed)), 3)
        assert torch.equal(first_noise(memory, seed), fresh) == (seed != 3)
    elsewhere = replace(memory, noise_device="cuda")  # its state is of another kind of generator
    assert torch.equal(first_noise(elsewhere, 3), first_noise(HistoryMemory.empty(64, 64), 3))


def test_seeds_matter_and_repeat():
    films = [film(HistoryMemory.empty(64, 64), 1, seed=seed)[-1].latents for seed in (3, 3, 4)]
    assert torch.equal(films[0], films[1]) and relative_error(films[0], films[2]) > 0.1


def test_global_random_numbers_are_neither_used_nor_changed():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    a = film(HistoryMemory.empty(64, 64), 1)[-1].latents
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert torch.equal(film(HistoryMemory.empty(64, 64), 1)[-1].latents, a)


@pytest.mark.parametrize("skip", [False, True])
def test_anchor_of_text_to_video(skip):
    """Zeros in chunk 0, then its first frame; taken anew from chunk 1 where that is asked for."""
    records = film(HistoryMemory.empty(64, 64), 4, replace(DISTILLED, skip_first_chunk=skip))
    used = {r.chunk: r.memory.anchor_or_zeros() for r in records if isinstance(r, Start)}
    first = [c.latents[:, :, :1] for c in chunks_of(records)]
    assert not used[0].any() and used[0].shape == (1, 16, 1, 8, 8)
    for chunk, source in {1: 0, 2: 1 if skip else 0, 3: 1 if skip else 0}.items():
        assert torch.equal(used[chunk], first[source])


@pytest.mark.parametrize("skip", [False, True])
def test_anchor_of_an_image(skip):
    anchor = torch.randn(1, 16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    memory = replace(HistoryMemory.empty(64, 64), anchor=anchor)
    chunks = chunks_of(film(memory, 3, replace(DISTILLED, skip_first_chunk=skip)))
    assert torch.equal(chunks[0].memory.anchor, anchor)
    for chunk in chunks[1:]:
        assert torch.equal(chunk.memory.anchor, chunks[1].latents[:, :, :1] if skip else anchor)


def test_frames_are_the_last_nineteen_oldest_first():
    chunks = chunks_of(film(HistoryMemory.empty(64, 64), 3))
    done = torch.cat([torch.zeros(1, 16, 19, 8, 8), *(c.latents for c in chunks)], dim=2)
    for i, chunk in enumerate(chunks, 1):
        assert torch.equal(chunk.memory.frames, done[:, :, 9 * i : 9 * i + 19])


def owned_bytes(tensor):
    return tensor.untyped_storage().nbytes()


def test_memory_does_not_grow():
    """Neither by what a memory holds nor by what the loop keeps of chunks already handed out."""
    alive = []
    for record in film_of(toy, HistoryMemory.empty(64, 64), SEA, DISTILLED, chunks=6):
        if isinstance(record, Chunk):
            memory = record.memory
            assert memory.frames.shape == (1, 16, 19, 8, 8)
            assert owned_bytes(memory.frames) == 4 * 16 * 19 * 8 * 8
            assert owned_bytes(memory.anchor) == 4 * 16 * 8 * 8
            alive.append(weakref.ref(record.latents))
        elif isinstance(record, Step) and record.index == 0:
            assert sum(ref() is not None for ref in alive) <= 1
    assert len(alive) == 6


@pytest.mark.parametrize("name", FILMS)
@pytest.mark.parametrize("start", [0, 2])
def test_records_come_in_order(name, start):
    recipe = FILMS[name]
    memory = replace(HistoryMemory.empty(128, 64, batch=2), chunk=start)
    records, at = film(memory, 2, recipe), iter(film(memory, 2, recipe))
    for chunk in (start, start + 1):
        record = next(at)
        assert isinstance(record, Start) and record.chunk == record.memory.chunk == chunk
        assert record.prompt == ((1.0, "sea"),) and not record.stored
        for stage, steps in enumerate(recipe.steps_of(chunk)):
            shrink = 2 ** (recipe.stages - 1 - stage)
            for index in range(steps):
                record = next(at)
                assert isinstance(record, Step)
                assert (record.chunk, record.stage, record.index) == (chunk, stage, index)
                assert record.x0.shape == (2, 16, 9, 8 // shrink, 16 // shrink) and record.x0.dtype == torch.float32
        last, record = record, next(at)
        assert isinstance(record, Chunk) and record.index == chunk and record.memory.chunk == chunk + 1
        assert record.latents.shape == (2, 16, 9, 8, 16)
        assert relative_error(last.x0, record.latents) < 1e-5
    assert next(at, None) is None
    assert len(steps_of(records)) == step_count(recipe, start, 2)


def test_levels_fall_within_a_stage():
    steps = steps_of(film(HistoryMemory.empty(64, 64), 1, FILMS["mid"]))
    for a, b in zip(steps, steps[1:]):
        if a.stage == b.stage:
            assert b.sigma < a.sigma and b.timestep < a.timestep
        else:
            assert b.sigma > 0.99 and b.timestep <= a.timestep


def test_denoise_is_called_once_a_chunk_and_its_flow_once_a_step_with_the_record_to_come():
    begun, calls = [], []

    def denoise(start):
        begun.append(start)

        def flow(x, step):
            calls.append((step, x.shape))
            return toy(start)(x, step)

        return flow

    records = film(HistoryMemory.empty(64, 64), 2, denoise=denoise)
    starts, steps = [r for r in records if isinstance(r, Start)], steps_of(records)
    assert len(begun) == 2 and all(a is b for a, b in zip(begun, starts, strict=True))
    assert [vars(replace(s, x0=None)) for s in steps] == [vars(s) for s, _ in calls]
    assert [s.x0.shape for s in steps] == [shape for _, shape in calls]


@pytest.mark.parametrize("zero_steps", [0, 1])
@pytest.mark.parametrize("cfg_zero_star", [True, False])
def test_zero_init_calls_no_network(zero_steps, cfg_zero_star):
    recipe = replace(FILMS["mid"], zero_steps=zero_steps, cfg_zero_star=cfg_zero_star)
    called = []

    def denoise(start):
        return lambda x, step: called.append((step.stage, step.index)) or toy(start)(x, step)

    seen = [(s.stage, s.index) for s in steps_of(film(HistoryMemory.empty(64, 64), 1, recipe, denoise=denoise))]
    zeroed = [(0, i) for i in range(zero_steps + 1)] if cfg_zero_star else []
    assert seen[: len(zeroed)] == zeroed and called == seen[len(zeroed) :]


class Changing:
    """A director who changes their mind while the film runs."""

    def __init__(self):
        self.prompt, self.asked = "calm", []

    def direct(self, chunk):
        self.asked.append(chunk)
        return Go(((1.0, self.prompt),), seed=3) if chunk < 3 else Stop()


def test_the_director_is_asked_when_a_chunk_begins():
    director, heard = Changing(), []
    for record in film_records(toy, HistoryMemory.empty(64, 64), director, DISTILLED):
        if isinstance(record, Start):
            heard.append((record.chunk, record.prompt[0][1]))
        if isinstance(record, Step):
            assert director.asked == list(range(record.chunk + 1))
            director.prompt = f"changed in chunk {record.chunk}"
    assert heard == [(0, "calm"), (1, "changed in chunk 0"), (2, "changed in chunk 1")]


@pytest.mark.parametrize("pulled", [0, 1, 2, 6])  # one more than the calls: the first is the Start
def test_closing_stops(pulled):
    calls, director = [], Changing()

    def denoise(start):
        return lambda x, step: calls.append(step) or x

    records = film_records(denoise, HistoryMemory.empty(64, 64), director, DISTILLED)
    for _ in range(pulled):
        next(records)
    records.close()
    called = max(0, pulled - 1)
    assert len(calls) == called and director.asked == ([0] if pulled else [])
    assert next(records, None) is None and len(calls) == called


@pytest.mark.parametrize("chunks", [0, 1])
def test_number_of_chunks(chunks):
    assert len(chunks_of(film(HistoryMemory.empty(64, 64), chunks))) == chunks


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("chunk,stage,index", [(0, 0, 0), (0, 2, 3), (1, 1, 1)])
def test_not_a_number(value, chunk, stage, index):
    def flow(x, step):
        v = torch.zeros_like(x)
        if (step.chunk, step.stage, step.index) == (chunk, stage, index):
            v[0, 3, 4, 0, 0] = value
        return v

    done = []
    with pytest.raises(FloatingPointError, match=rf"latents of chunk {chunk}, stage {stage}, step {index}: try "):
        for record in film_of(lambda start: flow, HistoryMemory.empty(64, 64), SEA, DISTILLED, chunks=3):
            done.append(record)
    assert len(chunks_of(done)) == chunk and sum(isinstance(r, Start) for r in done) == chunk + 1
    assert len(steps_of(done)) == step_count(DISTILLED, 0, chunk) + sum(DISTILLED.steps_of(chunk)[:stage]) + index


@pytest.mark.parametrize(
    "variant,size,nearest",
    [
        ("distilled", (96, 64), "128x64"),
        ("distilled", (640, 360), "640x384"),
        ("mid", (1280, 720), "1280x704"),
        ("mid", (32, 16), "64x64"),
        ("mid", (63, 65), "64x64"),
        ("base", (24, 40), "32x48"),
        ("base", (8, 0), "16x16"),
        ("base", (640, 360), "640x368"),
    ],
)
def test_sizes_that_do_not_divide(variant, size, nearest):
    recipe = RECIPES[variant]
    reason = "its patches" if variant == "base" else "its pyramid stages"
    message = (
        f"^width={size[0]}, height={size[1]}: multiples of {recipe.multiple} are needed for {reason}; "
        f"the nearest that works is {nearest}$"
    )
    with pytest.raises(ValueError, match=message):
        recipe.check_size(*size)
    width, height = map(int, nearest.split("x"))
    recipe.check_size(width, height)
    assert HistoryMemory.empty(width, height).frames.shape[-2:] == (height // 8, width // 8)


def test_sampling_checks_the_size():
    with pytest.raises(ValueError, match=r"^width=96, height=64: .* pyramid stages; the nearest that works is 128x64$"):
        film(HistoryMemory.empty(96, 64), 1)
    assert film(HistoryMemory.empty(96, 64), 1, replace(FILMS["base"], cfg=1.0))[-1].latents.shape[-2:] == (8, 12)


@pytest.mark.parametrize("size", [(100, 64), (64, 72), (8, 16)], ids=str)
def test_no_memory_of_a_size_that_no_model_makes(size):
    with pytest.raises(ValueError, match=rf"^width={size[0]}, height={size[1]}: multiples of 16 are needed"):
        HistoryMemory.empty(*size)


def test_the_empty_memory():
    memory = HistoryMemory.empty(640, 384, batch=2, channels=4)
    assert memory.frames.shape == (2, 4, 19, 48, 80) and not memory.frames.any()
    assert (memory.width, memory.height, memory.chunk) == (640, 384, 0)
    assert memory.anchor is None and memory.rng_state is None
    assert memory.anchor_or_zeros().shape == (2, 4, 1, 48, 80)


def test_to_moves_the_frames_alone():
    memory = film(HistoryMemory.empty(64, 64), 1)[-1].memory
    moved = memory.to("meta")
    assert moved.frames.device.type == moved.anchor.device.type == "meta"
    assert (moved.chunk, moved.seed) == (1, 3) and torch.equal(moved.rng_state, memory.rng_state)
    assert HistoryMemory.empty(64, 64).to("meta").anchor is None
    assert memory.frames.device.type == "cpu"


def test_network_computes_history_once_a_chunk_and_text_once_a_prompt(monkeypatch):
    counts = {"embed_history": 0, "embed_text": 0}
    for name in counts:
        method = getattr(HeliosTransformer, name)

        def counted(self, *args, _name=name, _method=method, **kwargs):
            counts[_name] += 1
            return _method(self, *args, **kwargs)

        monkeypatch.setattr(HeliosTransformer, name, counted)
    schedule = PromptSchedule((Segment(0, text(1)), Segment(2, text(4), 3)))
    with torch.no_grad():
        film(HistoryMemory.empty(64, 64), 5, DISTILLED, denoise=network(DISTILLED), schedule=schedule)
    # chunks 0 to 2 say the first prompt, 3 is half and half, 4 says the second; one more for the negative prompt
    assert counts == {"embed_history": 5, "embed_text": 1 + 3}


@pytest.mark.parametrize("cfg,fails", [(5.0, True), (1.0, False)])
def test_guidance_needs_a_negative_prompt(cfg, fails):
    _, ours = models(num_layers=1)
    recipe = replace(RECIPES["base"], cfg=cfg)
    if not fails:
        assert ModelDenoiser(ours, recipe).negative is None
        return
    with pytest.raises(ValueError, match=r"^cfg=5\.0: a negative prompt's embedding is needed, or cfg=1$"):
        ModelDenoiser(ours, recipe)


@torch.no_grad()
@pytest.mark.parametrize("cfg", [1.0, 3.0])
def test_negative_prompt_counts_with_guidance_alone(cfg):
    _, ours = models(num_layers=2)
    recipe, schedule = replace(FILMS["base"], cfg=cfg), PromptSchedule((Segment(0, text(1)),))
    films = [
        film(HistoryMemory.empty(64, 64), 1, recipe, denoise=ModelDenoiser(ours, recipe, negative), schedule=schedule)
        for negative in (text(2), text(5))
    ]
    assert torch.equal(films[0][-1].latents, films[1][-1].latents) == (cfg <= 1)


@torch.no_grad()
def test_half_precision_network_keeps_latents_in_float32():
    _, full = models(num_layers=2)
    half = HeliosTransformer(full.config, dtype=torch.bfloat16).eval()
    half.load_state_dict(full.state_dict())
    schedule = PromptSchedule((Segment(0, text(1)),))
    want, got = (
        film(HistoryMemory.empty(64, 64), 1, denoise=ModelDenoiser(m, DISTILLED, dtype=d), schedule=schedule)[-1]
        for m, d in ((full, torch.float32), (half, torch.bfloat16))
    )
    assert got.latents.dtype == got.memory.frames.dtype == torch.float32
    assert 0 < relative_error(got.latents, want.latents) < 5e-2
