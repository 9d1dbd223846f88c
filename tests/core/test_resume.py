"""A film that is cut off: the same command continues it, and nothing else does."""

import os
import random
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import av
import pytest
import torch
from filelock import FileLock
from PIL import Image

from helios_core import HistoryMemory
from helios_core.command import autosave
from helios_core.command.main import main
from helios_core.command.model_files import ModelFiles
from helios_core.film.index import FilmIndex
from helios_core.media.video import VideoWriter
from processes import start_helios

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("forks")
STAR = ["generate", "A large red star moves right on a navy background.", "--steps", "1", "--size", "64x64"]


def run(*arguments, status=0):
    assert main([*STAR, *map(str, arguments)]) == status


def frames(path):
    with av.open(str(path)) as container:
        return [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]


def same_film(a, b):
    """The same bits: frames, and what is remembered of them."""
    one, two = (HistoryMemory.load(path.with_suffix(".safetensors"))[0] for path in (a, b))
    assert torch.equal(one.frames, two.frames) and torch.equal(one.rng_state, two.rng_state) and one.chunk == two.chunk
    x, y = frames(a), frames(b)
    return len(x) == len(y) and all((p == q).all() for p, q in zip(x, y))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@contextmanager
def cut_off(chunks):
    """Films are interrupted when so many chunks are in the file."""
    write = VideoWriter.write

    def interrupted(film, frames, then):
        if film.frames == chunks * 33:
            raise KeyboardInterrupt
        write(film, frames, then)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VideoWriter, "write", interrupted)
        yield


@contextmanager
def no_sampling():
    """The network is not even loaded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ModelFiles, "load_denoiser", None)
        yield


def test_the_same_command_continues_its_film(folder, capsys):
    """Without -o too. A finished film's makes another file, from disk."""
    with cut_off(2):
        run("--length", 132, status=130)
    assert "to finish this film, run the same command again" in capsys.readouterr().err
    assert len(frames("helios.mp4")) == 66
    run("--length", 132)
    assert "chunks 0 to 2 were on disk; continuing at chunk 3" in capsys.readouterr().err
    assert [p.name for p in folder.glob("*.mp4")] == ["helios.mp4"]
    with no_sampling():
        run("--length", 132)
    assert "chunks 0 to 3 were on disk; nothing is left to make" in capsys.readouterr().err
    assert same_film(folder / "helios.mp4", folder / "helios-2.mp4") and len(frames("helios.mp4")) == 132


def test_a_film_may_become_longer_or_shorter(folder, capsys):
    with cut_off(1):
        run("--length", 99, "-o", "a.mp4", status=130)
    run("--length", 132, "-o", "a.mp4")
    assert len(frames("a.mp4")) == 132 and "chunks 0 to 1 were on disk" in capsys.readouterr().err


def test_an_extension_is_continued(folder, capsys):
    run("--length", 33)
    extend = ["extend", "helios.safetensors", "--length", "66"]
    with cut_off(1):
        assert main(extend) == 130
    assert main(extend) == 0
    assert "chunks 1 to 2 were on disk" in capsys.readouterr().err
    assert len(frames("helios-2.mp4")) == 66 and not Path("helios-3.mp4").exists()
    run("--length", 99, "-o", "whole.mp4", "--no-autosave")
    assert torch.equal(*(HistoryMemory.load(f"{n}.safetensors")[0].frames for n in ("whole", "helios-2")))


def test_a_schedule_with_a_picture_and_a_seed_is_continued(folder, capsys):
    """A comment may change, and how a picture is written to disk; what decides the film may not."""
    again = ["generate", "--schedule", "film.txt", "--steps", "1", "--size", "64x64", "--length", "66", "-o", "a.mp4"]
    text, picture = "0: A red star.\n0 seed 7\n1 image: a.png\n", Image.radial_gradient("L")
    Path("film.txt").write_text(text)
    picture.save("a.png")
    with cut_off(1):
        assert main([*again, "--seed", "3"]) == 130
    assert HistoryMemory.load("a.safetensors")[0].seed == 7
    capsys.readouterr()
    others = {"seed": ("a.png", text.replace("7", "8")), "picture": ("b.png", text), "prompt": ("a.png", text + "1: x")}
    Image.linear_gradient("L").save("b.png")
    for what, (image, other) in others.items():
        Path("film.txt").write_text(other.replace("a.png", image))
        assert main([*again, "--seed", "3"]) == 1, what
        assert capsys.readouterr().err.endswith("exists already; --force replaces it\n"), what
    Path("film.txt").write_text("# A comment.\n" + text)
    picture.save("a.png", compress_level=0)
    assert main(again) == 1
    assert "It is unfinished and has seed 3: --seed 3" in capsys.readouterr().err
    assert main([*again, "--seed", "3"]) == 0
    assert "chunks 0 to 1 were on disk" in capsys.readouterr().err
    assert len(frames("a.mp4")) == 66


def test_another_film_does_not_take_its_name(folder, capsys):
    """Another seed's is told of it."""
    with cut_off(1):
        run("--length", 66, status=130)
    before = Path("helios.mp4").read_bytes()
    run("--length", 66, "--seed", 1)
    said = capsys.readouterr().err
    assert "helios-2.mp4 is a new film. helios.mp4 is unfinished and has seed 0: --seed 0 continues it" in said
    run("--length", 66, "--seed", 1, "-o", "helios.mp4", status=1)
    assert "--force replaces it. It is unfinished and has seed 0: --seed 0" in capsys.readouterr().err
    for other in (["--cfg", "2"], ["--steps", "2"], ["--negative", "blur"], ["--size", "128x64"]):
        run("--length", 66, *other, "-o", "helios.mp4", status=1)
        assert capsys.readouterr().err.endswith("exists already; --force replaces it\n"), other
    run("--length", 66, "--chunks", "elsewhere", "-o", "helios.mp4", status=1)  # where no chunk of it is
    assert Path("helios.mp4").read_bytes() == before
    run("--length", 66)
    assert len(frames("helios.mp4")) == 66 and not Path("helios-3.mp4").exists()


def test_without_autosave(folder, capsys):
    """No folder, and no second chance."""
    with cut_off(1):
        run("--length", 66, "--no-autosave", status=130)
    assert "same command" not in capsys.readouterr().err
    assert {p.name for p in folder.iterdir()} == {"helios.mp4", "helios.safetensors"}
    run("--length", 66, "-o", "helios.mp4", status=1)


def test_chunks_in_a_folder_of_ones_own(folder):
    run("--length", 33, "--chunks", "kept", "-o", "films/a.mp4")
    assert len(list(Path("kept").glob("*/*.safetensors"))) == 1 and not Path("films/helios-chunks").exists()
    with no_sampling():
        run("--length", 33, "--chunks", "kept", "-o", "b.mp4")
    with cut_off(1):
        run("--length", 66, "--chunks", "kept", "-o", "c.mp4", status=130)
    (film,) = Path("kept").iterdir()
    noted = FilmIndex(film).read()
    runs = [(Path(r.node).name, r.seed, r.end, r.done, len(r.reused), r.state) for r in noted.runs]
    assert runs == [("c.mp4", 0, 2, 1, 1, "stopped"), ("b.mp4", 0, 1, 1, 1, "done"), ("a.mp4", 0, 1, 1, 0, "done")]
    assert len(noted.chunks) == 2 and noted.runs[0].settings == {"options": "--steps=1"}


def test_two_runs_at_once(folder, capsys):
    """The second one takes another name, or is refused; what a killed run left empty may be had."""
    with cut_off(1):
        run("--length", 66, status=130)
    with FileLock(".helios.mp4.lock"):
        run("--length", 66, "-o", "helios.mp4", status=1)
        assert "another run of helios is making this film" in capsys.readouterr().err
        run("--length", 66)
        assert len(frames("helios-2.mp4")) == 66 and len(frames("helios.mp4")) == 33
    Path("helios-3.mp4").touch()
    Path(".helios-3.mp4.lock").touch()
    Path("helios-4.mp4").touch()  # somebody else's
    Path("helios.safetensors").unlink()
    for name in ("helios-3", "helios-5"):
        run("--length", 33, "--seed", 8)
        assert len(frames(f"{name}.mp4")) == 33
    assert Path("helios-4.mp4").stat().st_size == 0 and not list(folder.glob(".*.lock"))


def test_old_films_make_room(folder, capsys, monkeypatch):
    """Never one of today. What goes is said."""
    for number, age in enumerate((0, 3, 4, 5)):
        film = folder / "helios-chunks" / f"{number:032x}"
        film.mkdir(parents=True)
        (film / f"{number:032x}.safetensors").write_bytes(b"x" * 1000000)
        os.utime(film, (time.time() - age * 86400,) * 2)
    monkeypatch.setattr(autosave, "FILMS", 2)
    run("--length", 33)
    said = capsys.readouterr().err
    assert "helios-chunks: removed 2 old films (2 chunks, 2 MB), last used 2" in said
    assert (folder / "helios-chunks" / f"{0:032x}").is_dir() and len(list(Path("helios-chunks").iterdir())) == 3


CHUNKS, KILLS = 6, 10


@pytest.mark.timeout(1800)  # a minute where nobody else works
def test_killed_at_random_moments(folder):
    """In the end the bits of one unbroken run; no chunk that was finished is made a second time."""
    chance, made, seed, kills = random.Random(5), {}, 0, 0

    def film(name, seed):
        return ["--length", str(33 * CHUNKS), "--seed", str(seed), "-o", f"{folder / name}-{seed}.mp4"]

    def on_disk():
        return {path: path.stat().st_mtime_ns for path in folder.glob("helios-chunks/*/[0-9a-f]*.safetensors")}

    def is_whole(seed):
        memory = folder / f"cut-{seed}.safetensors"
        return memory.exists() and HistoryMemory.load(memory)[0].chunk == CHUNKS

    while kills < KILLS:
        process = start_helios(folder, [*STAR, *film("cut", seed)])
        wanted, end = len(made) + chance.choice((0, 0, 1)), time.monotonic() + 300
        while len(on_disk()) < wanted and process.is_alive():
            assert time.monotonic() < end
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.5))
        process.kill()
        process.join()
        now = on_disk()
        assert made.items() <= now.items() and len(now) <= CHUNKS * (seed + 1)
        made = now
        assert process.exitcode in (-9, 0)
        kills += process.exitcode == -9
        seed += is_whole(seed)  # another film
    assert made
    for number in range(seed + 1):
        cut, whole = (folder / f"{name}-{number}.mp4" for name in ("cut", "whole"))
        if not is_whole(number):
            run(*film("cut", number))
        run(*film("whole", number), "--no-autosave")
        assert same_film(cut, whole)
    assert made.items() <= (done := on_disk()).items() and len(done) == CHUNKS * (seed + 1)
    assert not list(folder.glob(".*"))


WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            raise ModuleNotFoundError(name=name)
sys.meta_path.insert(0, Missing())
from helios_core.command.main import main
sys.exit(main(sys.argv[2:]))
"""


def says_what_is_missing(line, package):
    return line == f'helios: {package} is not installed; run: pip install "{ROOT}[cli]"'


@pytest.mark.parametrize("missing", ["torch", "av"])
def test_a_missing_package_is_named(tmp_path, missing):
    """In one line, how to get it too; that something happens is said before the first of them is imported."""
    how = dict(cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    ran = subprocess.run([sys.executable, "-c", WITHOUT, missing, *STAR, "-o", "x.mp4"], **how)
    said = ran.stderr.splitlines()
    assert ran.returncode == 1 and said[0] == "loading PyTorch" and says_what_is_missing(said[-1], missing)
    assert "Traceback" not in ran.stderr and not list(tmp_path.iterdir())


@pytest.mark.parametrize("missing", ["diffusers", "filelock"])
def test_a_package_that_is_missing_later(folder, monkeypatch, capsys, missing):
    """What is imported only when it is needed; no file is left then either."""
    monkeypatch.setitem(sys.modules, missing, None)
    run("-o", "x.mp4", status=1)
    assert says_what_is_missing(capsys.readouterr().err.splitlines()[-1], missing)
    assert not list(folder.iterdir())


def test_help_needs_no_torch(tmp_path):
    how = dict(cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    ran = subprocess.run([sys.executable, "-c", WITHOUT, "torch", "generate", "--help"], **how)
    assert ran.returncode == 0 and "--schedule" in ran.stdout
