"""The command line, with a small random model in the layouts of the real files; what is said and what is kept."""

import contextlib
import fcntl
import hashlib
import itertools
import os
import re
import shlex
import shutil
import signal
import struct
import termios
import time
from dataclasses import replace
from pathlib import Path

import av
import pytest
import torch
from PIL import Image

from helios_core import HistoryMemory, Keyframe
from helios_core.command.generate import begin as begin_film
from helios_core.command.main import main
from helios_core.command.model_files import find_beside, is_demo
from helios_core.command.requests import GenerateRequest
from helios_core.files import demo_folder
from helios_core.film.beginning import encode_image
from helios_core.media.codecs import VideoCodec
from helios_core.media.frames import fit_frames, read_chunks, read_image
from helios_core.media.video import VideoWriter
from processes import start_helios

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("forks")


def run(*arguments, status=0):
    assert main([str(a) for a in arguments]) == status


def frames(path):
    with av.open(str(path)) as container:
        return [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]


def test_generate_and_extend(model, tmp_path, capsys):
    """The film and its memory are there; what goes on from the memory is what one run would have made."""
    at = ["--model", model, "--seed", "5"]
    run("generate", "A red star.", *at, "--size", "64x64", "--length", "3.5s", "-o", tmp_path / "whole.mp4")
    run("generate", "A red star.", *at, "--size", "64x64", "--length", 33, "-o", tmp_path / "new" / "a.mp4")
    run("extend", tmp_path / "new" / "a.safetensors", "--model", model, "--length", 66, "-o", tmp_path / "b.mp4")
    whole, rest = (HistoryMemory.load(tmp_path / name)[0] for name in ("whole.safetensors", "b.safetensors"))
    assert whole.chunk == rest.chunk == 3 and torch.equal(whole.frames, rest.frames)
    assert [len(frames(tmp_path / name)) for name in ("whole.mp4", "new/a.mp4", "b.mp4")] == [99, 33, 66]
    memory, notes = HistoryMemory.load(tmp_path / "b.safetensors")
    replace(memory, noise_device="cuda").save(tmp_path / "c.safetensors", notes)
    run("extend", tmp_path / "c.safetensors", "--length", 33)
    assert (tmp_path / "c-2.mp4").exists()
    assert "random numbers came from cuda" in (said := capsys.readouterr().err)
    assert "3 chunks, 99 frames" in said and re.search(r"66 frames in [\d.]+ s", said)


def test_a_schedule_an_image_and_a_video(model, tmp_path):
    (tmp_path / "story.txt").write_text("0: A red star.\n1 cut: A blue ball.\n")
    at = ["--model", model, "--size", "64x64", "--length", "66"]
    run("generate", "A red star.", *at, "-o", tmp_path / "plain.mp4")
    run("generate", "--schedule", tmp_path / "story.txt", *at, "-o", tmp_path / "story.mp4")
    picture = torch.randint(0, 255, (40, 60, 3), dtype=torch.uint8)
    Image.fromarray(picture.numpy()).save(tmp_path / "p.png")
    run("generate", "A red star.", "--image", tmp_path / "p.png", *at, "-o", tmp_path / "image.mp4")
    run("generate", "A red star.", "--video", tmp_path / "story.mp4", *at, "-o", tmp_path / "video.mp4")
    names = "plain", "story", "image", "video"
    films = {name: HistoryMemory.load(tmp_path / f"{name}.safetensors")[0] for name in names}
    ends = [memory.frames[:, :, -9:] for memory in films.values()]
    assert all(not torch.equal(a, b) for i, a in enumerate(ends) for b in ends[:i])
    assert torch.equal(films["plain"].anchor, films["story"].anchor)  # they part at chunk 1
    assert not torch.equal(films["plain"].anchor, films["image"].anchor)


def test_a_film_with_a_style_a_seed_and_a_picture(model, tmp_path):
    """The picture lies in the text's own folder and gets the film's size. The same text extends the film."""
    story, picture = tmp_path / "story" / "film.txt", tmp_path / "story" / "sub" / "p.png"
    picture.parent.mkdir(parents=True)
    Image.radial_gradient("L").resize((90, 50)).save(picture)
    # The last one is never reached.
    story.write_text("style: at night\n0: A red star.\n1 seed 7\n1 image: sub/p.png\n9 image blend 2: sub/p.png\n")
    at = ["--schedule", story, "--resize", "pad", "--model", model]
    make = ["generate", *at, "--size", "64x64", "--seed", "3", "--length"]
    run(*make, 33, "-o", tmp_path / "first.mp4")
    run(*make, 99, "-o", tmp_path / "whole.mp4")
    run("extend", tmp_path / "first.mp4", *at, "--length", 66, "-o", tmp_path / "rest.mp4")
    (first, notes), (whole, _), (rest, _) = (
        HistoryMemory.load(tmp_path / f"{name}.safetensors") for name in ("first", "whole", "rest")
    )
    assert notes["prompt"] == "A red star. at night" and (first.seed, whole.seed) == (3, 7)
    assert whole.log[1]["picture"] == {"file": "sub/p.png", "weight": 1.0}
    latents = encode_image(VideoCodec(model / "vae.safetensors").encode, fit_frames(read_image(picture), 64, 64, "pad"))
    assert torch.equal(whole.anchor, Keyframe(1, *latents).apply(first, 7).anchor)
    assert torch.equal(rest.frames, whole.frames) and torch.equal(rest.anchor, whole.anchor)


@pytest.mark.parametrize("variant", ["base", "mid"])
def test_guided_variants(model, tmp_path, variant):
    steps = {"base": "3", "mid": "3,1,1"}[variant]
    at = ["--model", model, "--size", "64x64", "--length", "33", "--variant", variant, "--steps", steps]
    for name, extra in (("a", []), ("b", ["--negative", "A blue ball."]), ("c", ["--cfg", "1"])):
        run("generate", "A red star.", *at, *extra, "-o", tmp_path / f"{name}.mp4")
    ends = [HistoryMemory.load(tmp_path / f"{name}.safetensors")[0].frames for name in "abc"]
    assert not any(torch.equal(x, y) for x, y in itertools.combinations(ends, 2))


def test_streaming(model, tmp_path, capfdbinary):
    """What comes out of standard output is the same film, playable without going back."""
    film = ["A red star.", "--model", model, "--size", "64x64", "--length", "66"]
    run("generate", *film, "--stream", "-o", tmp_path / "a.mp4")
    (tmp_path / "piped.mp4").write_bytes(capfdbinary.readouterr().out)
    piped, file = frames(tmp_path / "piped.mp4"), frames(tmp_path / "a.mp4")
    assert len(piped) == len(file) == 66 and all((x == y).all() for x, y in zip(piped, file))


def begin(model, folder, *options, **output):
    """A film in a process of its own, that works in `folder`."""
    film = ["generate", "A red star.", "--model", model, "--size", "64x64", "--steps", "1"]
    return start_helios(folder, [*film, *options], **output)


def chunks_in_file(film):
    """As many as its memory counts; 0 where there is none yet."""
    memory = film.with_suffix(".safetensors")
    return HistoryMemory.load(memory)[0].chunk if memory.exists() else 0


def test_a_player_that_is_closed(model, tmp_path):
    """The film goes on without it."""
    (ours, theirs), said = os.pipe(), tmp_path / "said.txt"
    with said.open("w") as errors:
        options = "--length", "165", "--stream", "-o", "a.mp4"
        film = begin(model, tmp_path, *options, stdout=theirs, stderr=errors.fileno())
    os.close(theirs)
    assert os.read(ours, 100)
    os.close(ours)
    film.join(300)
    assert film.exitcode == 0
    assert "the film is still being made" in said.read_text() and "Traceback" not in said.read_text()
    assert len(frames(tmp_path / "a.mp4")) == 165
    assert HistoryMemory.load(tmp_path / "a.safetensors")[0].chunk == 5


def test_info(model, tmp_path, capsys):
    run("info", model, "--checksums")
    said = capsys.readouterr().out
    weights = model / "transformer" / "diffusion_pytorch_model.safetensors"
    assert hashlib.sha256(weights.read_bytes()).hexdigest() in said and "distilled" in said and "bfloat16" in said
    notes = {"prompt": "the sea", "model": "demo", "options": "--steps=3,2,1"}
    HistoryMemory.empty(128, 64).save(tmp_path / "m.safetensors", notes)
    run("info", tmp_path / "m.mp4")
    assert "128x64" in (said := capsys.readouterr().out) and "the sea" in said and "model: demo --steps=3,2,1\n" in said


def test_estimate(model, capsys):
    run("estimate", "--model", model, "--size", "256x128", "--length", "10s")
    said = capsys.readouterr().out
    assert "8 chunks, 264 frames, 11.0 s of 256x128 with distilled, 54 steps" in said
    # 264 frames of 256x128 at 0.3 bits; 20 latents of 16 channels, 16x32, in float32
    assert "disk: the film 0.3 MB at 0.3 bits a pixel, memory file 0.7 MB at any length" in said
    assert "finished chunks 2.4 MB" in said  # 72 latents
    later, first, decoding = map(float, re.search(r"([\d.]+) s a chunk \(([\d.]+) .+ decoding ([\d.]+)", said).groups())
    seconds = 264 / float(re.search(r"([\d.]+) frames a second", said)[1])
    rounded = seconds**2 / 264 * 0.005  # the rate is said to 0.01, as the parts are
    assert seconds == pytest.approx(first + 7 * later + 8 * decoding, abs=rounded + 16 * 0.005 + 0.01)
    assert float(re.search(r"(\d+) s in all", said)[1]) == pytest.approx(seconds, abs=rounded + 0.51)


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["generate"], "there is no prompt"),
        (["generate", "x", "--size", "70x64"], "multiples of 64"),
        (["generate", "x", "--image", "nowhere.png"], "nowhere.png"),
        (["generate", "--schedule", "nowhere.txt"], "nowhere.txt"),
        (["generate", "x", "--vae", "transformer/diffusion_pytorch_model.safetensors"], "not a Wan 2.1 VAE"),
        (["generate", "x", "--text-encoder", "vae.safetensors"], "not a UMT5 text encoder"),
        (["extend", "nowhere.mp4"], "nowhere.safetensors: there is no such file"),
        (["extend", "vae.safetensors"], "vae.safetensors: not a Helios memory"),
        (["generate", "x", "--device", "gpu"], "--device gpu: "),
        (["generate", "x", "--device", "xpu"], "--device xpu: "),
        (["generate", "x", "--vae", "transformer"], "not a Wan 2.1 VAE"),
        (["estimate", "--vae", "cut.safetensors"], "cut.safetensors: damaged"),
        (["generate", "--schedule", "utf16.txt"], "utf16.txt: this is not a text file in UTF-8"),
        (["generate", "x", "--image", "utf16.txt"], "utf16.txt"),
        (
            ["generate", "--schedule", "gone.txt"],
            "line 3: there is no “utf8.txt” in the folder of gone.txt; did you mean",
        ),
        (["generate", "--schedule", "none.txt"], "schedule, line 2: utf16.txt: cannot be read as a picture"),
        (
            ["generate", "--schedule", "far.txt"],
            "schedule, line 2: “//host/boat.png” is in a network; copy the picture",
        ),
    ],
)
def test_what_goes_wrong_is_said_in_a_line(model, tmp_path, monkeypatch, capsys, arguments, said):
    (tmp_path / "cut.safetensors").write_bytes((model / "vae.safetensors").read_bytes()[:-9])
    (tmp_path / "utf16.txt").write_text("0: A red star.", "utf-16")
    (tmp_path / "gone.txt").write_text("0: x\noff 1 image: gone.png\n1 image: utf8.txt")
    (tmp_path / "none.txt").write_text("0: x\n1 image: utf16.txt")
    (tmp_path / "far.txt").write_text("0: x\n1 image: //host/boat.png")
    (tmp_path / "transformer").symlink_to(model / "transformer")
    for name in ("vae", "text_encoder"):
        (tmp_path / f"{name}.safetensors").symlink_to(model / f"{name}.safetensors")
    monkeypatch.chdir(tmp_path)
    output = [] if arguments[0] == "estimate" else ["-o", tmp_path / "x.mp4"]
    run(*arguments, "--model", model, *output, status=1)
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("helios: ") and said in error
    assert not list(tmp_path.glob("*x.mp4*")) and not (tmp_path / "helios-chunks").exists()


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--length", "0"], "'0': write frames, such as 240, or seconds, such as 10s"),
        (["--length", "ten"], "'ten': write frames"),
        (["--length", "infs"], "'infs': write frames"),
        (["--length", "1e12s"], "'1e12s': write frames"),
        (["--seed", "-1"], "'-1': write a whole number"),
        (["--seed", str(2**64)], "from 0 to 2^64 - 1"),
        (["--cfg", "nan"], "cfg=nan: guidance is 1 (none) or more"),
        (["--cfg", "0.5"], "cfg=0.5: guidance is 1 (none) or more"),
        (["--cfg", "x"], "'x': write a number, 1 or more"),
        (["--size", "64"], "WIDTHxHEIGHT"),
    ],
)
def test_arguments_are_checked_before_anything_is_read(capsys, arguments, said):
    with pytest.raises(SystemExit):
        main(["generate", "x", *arguments])
    assert said in capsys.readouterr().err


def test_nothing_is_replaced_unasked(model, tmp_path, monkeypatch, capsys):
    """Films take the next free name; what is there stays without --force, what is no memory with it too."""
    monkeypatch.chdir(tmp_path)
    at = ["--size", "64x64", "--length", "33", "--model", model]
    for _ in range(2):
        run("generate", "A red star.", *at)
    assert f"helios extend {tmp_path}/helios-2.safetensors" in capsys.readouterr().err
    run("extend", "helios.mp4", "--length", "33")  # its memory is beside it, the model is remembered
    names = [f"helios{n}.{kind}" for n in ("", "-2", "-3") for kind in ("mp4", "safetensors")]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*names, "helios-chunks"])
    assert [HistoryMemory.load(name)[0].chunk for name in names[1::2]] == [1, 1, 2]
    before = Path("helios.mp4").read_bytes()
    run("generate", "A blue star.", *at, "-o", "helios.mp4", status=1)
    assert "helios.mp4: the film or its memory exists already; --force" in capsys.readouterr().err
    assert Path("helios.mp4").read_bytes() == before
    run("generate", "A blue star.", *at, "-o", "helios.mp4", "--force")
    assert Path("helios.mp4").read_bytes() != before
    weights = (model / "vae.safetensors").read_bytes()
    run("generate", "A blue star.", *at, "-o", model / "vae.mp4", "--force", status=1)
    assert (model / "vae.safetensors").read_bytes() == weights
    for wrong in ("film.safetensors", "film", tmp_path):
        run("generate", "A blue star.", *at, "-o", wrong, status=1)
        assert "must end in .mp4" in capsys.readouterr().err


def test_a_stopped_film_goes_on_with_the_words_of_its_last_chunk(model, tmp_path, capsys):
    (tmp_path / "story.txt").write_text("0: A red star.\n1: A blue ball.\n8: A purple square.\n")
    at = ["--size", "64x64", "--length", "66", "--model", model, "-o", tmp_path / "a.mp4"]
    run("generate", "--schedule", tmp_path / "story.txt", *at, "--variant", "base", "--steps", "2", "--cfg", "1")
    assert HistoryMemory.load(tmp_path / "a.safetensors")[1]["prompt"] == "A blue ball."
    error = capsys.readouterr().err
    assert "The film ends before chunk 2 (2.75 s). 1 prompt" in error and "A purple square" in error
    said = re.search(r"to continue in a new film: helios (extend .+)", error)[1]
    run(*said.split(), "--length", 33, "A red ball.")  # as it was told to, in two steps
    memory, notes = HistoryMemory.load(tmp_path / "a-2.safetensors")
    assert (memory.variant, notes["prompt"]) == ("base", "A red ball.")
    assert notes["options"] == "--variant=base --steps=2 --cfg=1.0"
    assert "2/2 [" in capsys.readouterr().err
    run(*said.split(), "--length", 33, "--steps", "3")
    assert HistoryMemory.load(tmp_path / "a-3.safetensors")[1]["options"] == "--variant=base --steps=3 --cfg=1.0"
    run(*said.split(), "--length", 33, "--variant", "distilled")  # in its own steps
    assert HistoryMemory.load(tmp_path / "a-4.safetensors")[1]["options"] == "--variant=distilled"
    with pytest.raises(SystemExit):
        main(["extend", "a.safetensors", "--length", "33", "A red", "ball."])
    assert "not known: A red ball." in capsys.readouterr().err


def test_a_film_that_is_interrupted_goes_on_with_its_schedule(model, tmp_path, capsys, monkeypatch):
    """For the frames that are missing; the whole is what one run makes."""
    (tmp_path / "story.txt").write_text("0: A red star.\n1 blend 2: A blue ball.\n2 image: p.png\n")
    Image.radial_gradient("L").resize((90, 50)).save(tmp_path / "p.png")
    at = ["--schedule", tmp_path / "story.txt", "--size", "64x64", "--length", "99", "--model", model]
    at += ["--resize", "stretch"]
    run("generate", *at, "-o", tmp_path / "whole.mp4")
    capsys.readouterr()

    def interrupt(film, frames, then):
        if film.frames:
            raise KeyboardInterrupt
        write(film, frames, then)

    write = VideoWriter.write
    with monkeypatch.context() as patch:
        patch.setattr(VideoWriter, "write", interrupt)
        run("generate", *at, "-o", tmp_path / "a.mp4", status=130)
    said = re.search(r"to continue in a new film: helios (extend .+)", capsys.readouterr().err)[1]
    run(*shlex.split(said))
    whole, rest = (HistoryMemory.load(tmp_path / f"{name}.safetensors")[0] for name in ("whole", "a-2"))
    assert whole.chunk == rest.chunk == 3 and torch.equal(whole.frames, rest.frames)


def test_a_video_begins_with_its_last_windows(tmp_path):
    """Of 40 frames the last 33, and the first as anchor."""
    path, codec = tmp_path / "v.mp4", VideoCodec(ROOT / "demo" / "vae.safetensors")
    with VideoWriter(path) as film:
        film.write(torch.linspace(0, 1, 40)[:, None, None, None].expand(40, 64, 64, 3))
    (shown,) = read_chunks(path, 40)
    wanted = HistoryMemory.from_video(codec.encode(shown[:1]), codec.encode(shown[7:]), seed=3)
    begun = begin_film(GenerateRequest(video=path), codec, 64, 64, 3)
    assert torch.equal(begun.frames, wanted.frames) and torch.equal(begun.anchor, wanted.anchor)


def test_films_that_are_ended_from_outside(model, tmp_path):
    """Begun at once in one folder, none takes another's name. A film holds what its memory counts, to the frame unless
    it is killed; then up to a chunk more, never less. A second signal does not hurry it, nor does a player hold it."""
    (unread, player), nobody, films = os.pipe(), os.open(os.devnull, os.O_WRONLY), []
    said = [tmp_path / "hung up.txt", tmp_path / "killed.txt"]
    for stdout, errors in zip((player, nobody), said):
        with errors.open("w") as stderr:
            options = "--length", "100000", "--stream"
            films.append(begin(model, tmp_path, *options, stdout=stdout, stderr=stderr.fileno()))
        os.close(stdout)
    names = {"helios", "helios-2"}
    while not all(chunks_in_file(tmp_path / name) for name in names):
        assert all(film.is_alive() for film in films), [errors.read_text() for errors in said]
        time.sleep(0.05)
    for film, number, errors in zip(films, (signal.SIGHUP, signal.SIGKILL), said):
        os.kill(film.pid, number)
        if number == signal.SIGHUP:
            os.kill(film.pid, signal.SIGTERM)
        film.join(300)
        if number == signal.SIGKILL:
            (name,) = names
        else:
            assert film.exitcode == 130
            command = r": \S+ -m helios_core extend \S+/(\S+)\.safetensors --length (\d+)\nstopped\n$"
            name, missing = re.search(r"\nto continue in a new film" + command, errors.read_text()).groups()
            names.remove(name)
        counted = HistoryMemory.load(tmp_path / f"{name}.safetensors")[0].chunk * 33
        more = len(frames(tmp_path / f"{name}.mp4")) - counted
        assert more == 0 or number == signal.SIGKILL and 0 < more <= 33
        assert number == signal.SIGKILL or counted + int(missing) == 3031 * 33  # 100,000 frames and what fills a chunk
    os.close(unread)


def test_a_closed_terminal(model, tmp_path):
    """What is said to nobody does not end the film before its file is whole; nor does another signal."""
    (ours, terminal), said = os.openpty(), b""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))  # without a size there is no bar
    film = begin(model, tmp_path, "--length", "100000", stderr=terminal)
    os.close(terminal)
    os.set_blocking(ours, False)
    while not chunks_in_file(tmp_path / "helios"):
        with contextlib.suppress(BlockingIOError):
            said += os.read(ours, 4096)  # a terminal that nobody reads from would hold it
        time.sleep(0.01)
    os.close(ours)
    assert b"step/s" in said
    for number in (signal.SIGHUP, signal.SIGTERM):
        os.kill(film.pid, number)
    film.join(300)
    assert film.exitcode == 130
    counted = HistoryMemory.load(tmp_path / "helios.safetensors")[0].chunk * 33
    assert len(frames(tmp_path / "helios.mp4")) == counted


def test_nobody_listens(model, tmp_path):
    """A closed pipe does not end the film either."""
    ours, theirs = os.pipe()
    film = begin(model, tmp_path, "--length", "66", stderr=theirs)
    for end in (ours, theirs):
        os.close(end)
    film.join(300)
    assert film.exitcode == 0
    assert len(frames(tmp_path / "helios.mp4")) == 66


def test_a_place_that_cannot_be_written(model, tmp_path, capsys):
    """Is said before anything is sampled; as long a name as there can be is none."""
    (tmp_path / "file").touch()
    run("generate", "x", "--model", model, "-o", tmp_path / "file" / "x.mp4", status=1)
    run("generate", "x", "--model", model, "-o", tmp_path / ("x" * 300 + ".mp4"), "--force", status=1)
    assert "step" not in capsys.readouterr().err
    longest = tmp_path / ("x" * (255 - len(".safetensors")) + ".mp4")
    run("generate", "A red star.", "--model", model, "--size", "64x64", "--length", 33, "-o", longest)
    assert len(frames(longest)) == 33 and longest.with_suffix(".safetensors").exists()


def test_a_memory_from_elsewhere(model, tmp_path, monkeypatch, capsys):
    """It decides neither where files are read in a network nor what is written."""
    from safetensors.torch import load_file

    memory, path = HistoryMemory.empty(64, 64), tmp_path / "m.safetensors"
    notes = {"prompt": "A red star.", "model": r"\\evil\share"}
    memory.save(path, notes)
    run("extend", path, status=1)
    assert "in a network; add --model yourself" in capsys.readouterr().err
    memory.save(path, {**notes, "model": "demo", "options": "--vae //evil/vae.safetensors"})
    run("extend", path, status=1)
    assert "add --vae yourself" in capsys.readouterr().err
    run("extend", path, "--vae", model / "vae.safetensors", "--length", 33, "-o", tmp_path / "-said.mp4")
    monkeypatch.chdir(tmp_path)
    run("extend", "--length", 33, "--", "-said.safetensors")
    capsys.readouterr()
    for options, said in (("--cfg nan", "--cfg"), ("--variant 'x", "quotation"), ("--variant nonsense", "nonsense")):
        memory.save(path, {**notes, "model": "demo", "options": options})
        run("extend", path, status=1)
        error = capsys.readouterr().err
        assert error.startswith("helios: m.safetensors: its options cannot be used: ") and said in error
    memory.save(path, {**notes, "model": "demo", "options": "--help"})
    run("extend", path, "--length", 33, "-o", tmp_path / "help.mp4", "--negative=-blur", "--force")
    assert HistoryMemory.load(tmp_path / "help.safetensors")[1]["options"] == "--negative=-blur"
    run("extend", tmp_path / "help.safetensors", "--length", 33)
    assert HistoryMemory.load("help-2.safetensors")[1]["options"] == "--variant=distilled --negative=-blur"
    capsys.readouterr()
    memory.save(path, {**notes, "model": str(model), "options": f"--force -o {tmp_path / 'other.mp4'} --length 99"})
    run("extend", path, "--length", 33)
    assert not (tmp_path / "other.mp4").exists() and len(frames(tmp_path / "m-2.mp4")) == 33
    assert f"distilled of {model}" in capsys.readouterr().err
    two = replace(memory, frames=memory.frames.repeat(2, 1, 1, 1, 1))
    two.save(path, notes)
    assert len(load_file(path)["frames"]) == 2
    run("extend", path, "--model", model, status=1)
    assert "2 films at once" in capsys.readouterr().err


def test_a_model_in_the_working_folder(model, tmp_path, monkeypatch):
    monkeypatch.chdir(model)
    run("generate", "A red star.", "--model", ".", "--size", "64x64", "--length", 33, "-o", tmp_path / "a.mp4")
    assert HistoryMemory.load(tmp_path / "a.safetensors")[1]["model"] == str(model)


def test_a_folder_of_ones_own_called_demo(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_demo(None) and is_demo(Path("demo")) and is_demo(demo_folder()) and not is_demo(model)
    (tmp_path / "demo").symlink_to(model)
    assert not is_demo(Path("demo"))


def test_a_checkouts_demo_where_the_pack_is_installed(tmp_path):
    shutil.copytree(demo_folder() / "transformer", tmp_path / "demo" / "transformer")
    assert is_demo(tmp_path / "demo")


def test_parts_are_found_beside_a_model(tmp_path):
    """In the layout of a download, wherever that is, and through a link to another disk."""
    w, disk = tmp_path / "w", tmp_path / "disk" / "Helios-Mid"
    for folder in (w / "diffusion_models", w / "text_encoders", disk):
        folder.mkdir(parents=True)
    wanted = w / "text_encoders" / "umt5_xxl_fp16.safetensors"
    for file in (wanted, wanted.with_name("umt5-xxl-enc-bf16.safetensors")):
        file.touch()
    (w / "diffusion_models" / "Helios-Mid").symlink_to(disk)
    assert find_beside(w / "diffusion_models" / "Helios-Mid", "text_encoder") == wanted
    with pytest.raises(FileNotFoundError, match="--vae"):
        find_beside(w / "diffusion_models" / "Helios-Mid", "vae")


def test_parts_are_found_in_the_hubs_cache(tmp_path):
    snapshot = tmp_path / "models--BestWishYsh--Helios-Mid" / "snapshots" / "abc"
    for part in ("transformer", "text_encoder", "vae"):
        (snapshot / part).mkdir(parents=True)
    assert find_beside(tmp_path / "models--BestWishYsh--Helios-Mid", "vae") == snapshot / "vae"


def test_a_model_that_does_not_tell_its_variant(model, tmp_path, capsys):
    (tmp_path / "some").symlink_to(model)
    run("generate", "x", "--model", tmp_path / "some", status=1)
    assert "add --variant base, mid or distilled" in capsys.readouterr().err
