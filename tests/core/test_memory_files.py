"""Memories on disk: what is saved comes back, what is not a memory is refused in one sentence."""

import json
import os
import struct
import time
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from films import chunks_of, film_of
from helios_core import RECIPES, HistoryMemory, PromptSchedule, Segment
from helios_core.film.denoise import ModelDenoiser
from oracle import embeddings, models

RECIPE = RECIPES["distilled"]


@torch.no_grad()
def film(memory, chunks, seed=3):
    denoise = ModelDenoiser(models()[1], RECIPE)
    schedule = PromptSchedule((Segment(0, embeddings(1)),))
    return chunks_of(film_of(denoise, memory, schedule, RECIPE, chunks, seed))


@pytest.fixture(scope="module")
def memory():
    return film(HistoryMemory.empty(64, 64), 2)[-1].memory


def test_going_on_from_a_file_is_as_if_never_stopped(tmp_path):
    whole = film(HistoryMemory.empty(64, 64), 4)
    whole[1].memory.save(tmp_path / "film.safetensors", {"prompt": "the sea"})
    loaded, notes = HistoryMemory.load(tmp_path / "film.safetensors")
    assert notes == {"prompt": "the sea"} and loaded.chunk == 2
    for again, before in zip(film(loaded, 2), whole[2:]):
        assert torch.equal(again.latents, before.latents)


@pytest.mark.parametrize("anchor", [None, torch.ones(1, 16, 1, 8, 8)], ids=["none", "some"])
def test_every_field_comes_back(tmp_path, anchor):
    memory = HistoryMemory(torch.randn(1, 16, 19, 8, 8), anchor, chunk=7, seed=2**64 - 1, noise_device="cuda")
    memory.save(tmp_path / "m.safetensors")
    loaded, notes = HistoryMemory.load(tmp_path / "m.safetensors")
    assert notes == {} and torch.equal(loaded.frames, memory.frames) and loaded.rng_state is None
    assert (loaded.chunk, loaded.seed, loaded.noise_device) == (7, 2**64 - 1, "cuda")
    assert loaded.anchor is None if anchor is None else torch.equal(loaded.anchor, anchor)


@pytest.mark.parametrize("left, place", [(624, 624), (1, 1), (0, 0), (625, 0)])
def test_a_random_state_that_would_read_past_its_end(tmp_path, memory, left, place):
    state = bytearray(memory.rng_state.numpy().tobytes())
    struct.pack_into("<i", state, 8, left)
    struct.pack_into("<Q", state, 16, place)
    forged = replace(memory, rng_state=torch.frombuffer(state, dtype=torch.uint8))
    with pytest.raises(ValueError, match="m.safetensors: this memory cannot be saved"):
        forged.save(tmp_path / "m.safetensors")
    path = written(tmp_path / "m.safetensors", rng_state=forged.rng_state)
    with pytest.raises(ValueError, match="m.safetensors: not a Helios memory"):
        HistoryMemory.load(path)


def test_every_random_state_is_taken(tmp_path, memory):
    generator = torch.Generator().manual_seed(1)
    for draws in (0, 1, 1, 20, 602, 1, 623, 624, 625, 5000):
        torch.rand(draws, generator=generator)
        replace(memory, rng_state=generator.get_state()).save(tmp_path / "m.safetensors")
        assert torch.equal(HistoryMemory.load(tmp_path / "m.safetensors")[0].rng_state, generator.get_state())


ODD = {
    "a seed below 0": (dict(seed=-1), dict(seed=2**64 - 1)),
    "a seed beyond 64 bits": (dict(seed=2**64 + 5), dict(seed=5)),
    "half precision": (dict(frames=torch.ones(1, 16, 19, 8, 8).bfloat16()), dict(frames=torch.ones(1, 16, 19, 8, 8))),
    "a GPU of another kind": (dict(noise_device="privateuseone"), {}),
    "half a character": (
        dict(log=({"chunk": 0, "prompt": "a \ud83d b"},)),
        dict(log=({"chunk": 0, "prompt": "a ? b"},)),
    ),
    "what is no JSON": (dict(log=({"chunk": 0, "prompt": {1}},)), dict(log=({"chunk": 0, "prompt": "{1}"},))),
    "keys that are none": (dict(log=({"chunk": 0, (1,): 2},)), dict(log=({"chunk": 0},))),
}


@pytest.mark.parametrize("case", ODD)
def test_what_is_saved_can_be_loaded(tmp_path, memory, case):
    changes, wanted = ODD[case]
    odd = replace(memory, **changes)
    odd.save(tmp_path / "m.safetensors", {"prompt": "half a \udc00 character"})
    loaded, notes = HistoryMemory.load(tmp_path / "m.safetensors")
    assert loaded == replace(odd, **wanted) and notes == {"prompt": "half a ? character"}


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(frames=torch.full((1, 16, 19, 8, 8), torch.nan)), "its frames hold NaN or infinity"),
        (dict(anchor=torch.full((1, 16, 1, 8, 8), torch.inf)), "its frames hold NaN or infinity"),
        (dict(anchor=torch.zeros(1, 16, 1, 8, 16)), "its anchor is of another size"),
        (dict(chunk=-1), "chunk=-1"),
        (dict(log=("a record",)), "its log no list of records"),
    ],
    ids=str,
)
def test_what_could_not_be_loaded_is_not_saved(tmp_path, memory, changes, message):
    with pytest.raises(ValueError, match=f"^m.safetensors: this memory cannot be saved: .*{message}"):
        replace(memory, **changes).save(tmp_path / "m.safetensors")
    assert not list(tmp_path.iterdir())


def test_half_a_character_in_a_file_of_before(tmp_path):
    path = written(tmp_path / "m.safetensors", header(log=[{"chunk": 0, "prompt": "a \ud83d b"}]))
    assert HistoryMemory.load(path)[0].log[0]["prompt"] == "a ? b"


def test_a_failing_disk_leaves_the_old_file(tmp_path, memory, monkeypatch):
    path = tmp_path / "m.safetensors"
    memory.save(path, {"take": "1"})

    def full(*args):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        memory.save(path, {"take": "2"})
    assert HistoryMemory.load(path)[1] == {"take": "1"}
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


GOOD = dict(format="helios-memory-1", helios_memory=json.dumps(dict(chunk=1, seed=3, noise_device="cpu")))


def written(path, metadata=GOOD, **tensors):
    tensors = {"frames": torch.zeros(1, 16, 19, 8, 8), **tensors}
    save_file({k: t for k, t in tensors.items() if t is not None}, path, metadata)
    return path


def header(**changes):
    return GOOD | {"helios_memory": json.dumps(dict(chunk=1, seed=3, noise_device="cpu") | changes)}


@pytest.mark.parametrize(
    "metadata, tensors, message",
    [
        (None, {}, "its format is None, 'helios-memory-1' is needed"),
        (GOOD | {"format": "helios-memory-2"}, {}, "its format is 'helios-memory-2'"),
        ({"format": "helios-memory-1"}, {}, "helios_memory"),
        (GOOD | {"helios_memory": "{"}, {}, "can be read here"),
        (GOOD | {"helios_memory": "[]"}, {}, "can be read here"),
        (GOOD | {"notes": "[1]"}, {}, "its notes are no object"),
        (header(chunk=-1), {}, "chunk=-1"),
        (header(chunk="../../x"), {}, r"chunk='\.\./\.\./x'"),
        (header(seed=2**64), {}, "seed=18446744073709551616"),
        (header(noise_device="disk"), {}, "noise_device='disk'"),
        (GOOD, {"frames": None, "anchor": torch.zeros(1)}, "its frames are not"),
        (GOOD, {"frames": torch.zeros(1, 16, 18, 8, 8)}, "its frames are not"),
        (GOOD, {"frames": torch.zeros(1, 16, 19, 8, 8).half()}, "its frames are not float32"),
        (GOOD, {"frames": torch.zeros(1, 16, 19, 7, 8)}, "multiples of 16"),
        (GOOD, {"frames": torch.zeros(1, 16, 19, 0, 0)}, "multiples of 16"),
        (GOOD, {"frames": torch.full((1, 16, 19, 8, 8), torch.nan)}, "NaN"),
        (GOOD, {"anchor": torch.zeros(1, 16, 2, 8, 8)}, "its anchor is of another size"),
        (GOOD, {"anchor": torch.zeros(1, 16, 1, 8, 8).int()}, "its anchor is of another size"),
        (GOOD, {"rng_state": torch.zeros(5056, dtype=torch.uint8)}, "can be read here"),
        (GOOD, {"rng_state": torch.zeros(3, dtype=torch.uint8)}, "can be read here"),
        (GOOD, {"rng_state": torch.zeros(5056)}, "no row of bytes"),
    ],
    ids=str,
)
def test_what_is_no_memory_is_refused(tmp_path, metadata, tensors, message):
    path = written(tmp_path / "m.safetensors", metadata, **tensors)
    with pytest.raises(ValueError, match=rf"^m\.safetensors: .*{message}"):
        HistoryMemory.load(path)


def test_other_tensors_are_left_alone(tmp_path):
    path = written(tmp_path / "m.safetensors", GOOD, **{"../../evil": torch.zeros(4)})
    assert HistoryMemory.load(path)[0].chunk == 1
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


@given(data=st.data())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_broken_bytes_are_refused_or_read(tmp_path, memory, data):
    """Cut anywhere, or with any bytes changed: a clear error, or a memory of finite frames."""
    path = tmp_path / "m.safetensors"
    memory.save(path)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        end = 8 + struct.unpack("<Q", content[:8])[0]  # the header is where damage can do harm
        for _ in range(data.draw(st.integers(1, 8))):
            content[data.draw(st.integers(0, min(end + 64, len(content) - 1)))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        loaded, _ = HistoryMemory.load(path)
    except ValueError as error:
        assert str(error).startswith("m.safetensors: ")
    else:
        assert torch.isfinite(loaded.frames).all()


def test_the_log_comes_back(tmp_path, memory):
    odd = "two lines\n, \U0001f30a and \u200b"
    film = memory.append(torch.zeros(1, 16, 9, 8, 8), memory.rng_state, {"prompt": odd, "seconds": 1.5, "vram": 2**40})
    film = replace(film, variant="distilled")
    film.save(tmp_path / "m.safetensors")
    loaded, _ = HistoryMemory.load(tmp_path / "m.safetensors")
    assert loaded == film and hash(loaded) == hash(film) and loaded.log == film.log
    assert loaded.record(2) == {"chunk": 2, "prompt": odd, "seconds": 1.5, "vram": 2**40}


NUMBERLESS = [{"seed": 3, "prompt": "sea"}, {"seed": 3}, {"seed": 3, "prompt": "sky"}]


@pytest.mark.parametrize("chunk", [3, 5, 100])
def test_logs_of_before_get_their_numbers(tmp_path, chunk):
    """Their records are of the film's last chunks: of one begun elsewhere the first ones are not known."""
    path = written(tmp_path / "m.safetensors", header(chunk=chunk, log=NUMBERLESS))
    loaded, _ = HistoryMemory.load(path)
    assert [entry["chunk"] for entry in loaded.log] == [chunk - 3, chunk - 2, chunk - 1]
    assert loaded.record(chunk - 2) == {"chunk": chunk - 2, "seed": 3, "prompt": "sea"}
    assert loaded.record(chunk - 1)["prompt"] == "sky" and loaded.record(chunk - 4) == loaded.record(chunk) == {}
    loaded.save(path)
    assert HistoryMemory.load(path)[0] == loaded  # and keep them
    longer = loaded.append(torch.zeros(1, 16, 9, 8, 8), torch.Generator().get_state(), {"prompt": "sky", "seed": 4})
    assert longer.log[-1] == {"chunk": chunk, "seed": 4} and longer.record(chunk)["prompt"] == "sky"


@pytest.mark.parametrize(
    "log", [{}, "log", [3], [[]], [{"chunk": "1"}], [{"chunk": 1.0}], [{"chunk": True}], [{"chunk": None}], 3], ids=str
)
def test_what_is_no_log_is_refused(tmp_path, log):
    path = written(tmp_path / "m.safetensors", header(log=log))
    with pytest.raises(ValueError, match=r"^m\.safetensors: .* its (variant is no Helios or its )?log "):
        HistoryMemory.load(path)


def test_a_film_of_thousands_of_chunks(tmp_path, memory):
    """Its log is some hundred bytes a chunk, and a chunk more costs no more than a look at it."""
    log = tuple({"chunk": k, "seed": 3, "seconds": 12.345, "vram": 2**34, "ram": 2**33} for k in range(5000))
    film = replace(memory, chunk=5000, log=({**log[0], "prompt": "sea " * 100}, *log[1:]))
    film.save(tmp_path / "m.safetensors")
    assert (tmp_path / "m.safetensors").stat().st_size < 5000 * 120 + 10**6
    begun = time.perf_counter()
    loaded, _ = HistoryMemory.load(tmp_path / "m.safetensors")
    for _ in range(20):
        loaded = loaded.append(loaded.frames[:, :, :9], memory.rng_state, {"prompt": "sea " * 100})
        assert loaded.record(loaded.chunk - 1)["prompt"] == "sea " * 100
    assert len(loaded.log) == 5020 and sum("prompt" in entry for entry in loaded.log) == 1
    assert time.perf_counter() - begun < 5
