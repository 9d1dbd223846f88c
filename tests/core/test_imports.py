"""The core stands alone: no ComfyUI, and few libraries."""

import ast
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import helios_core
from helios_core.film.record import Meter, resident_bytes

CORE = Path(helios_core.__file__).parent
SOURCES = sorted(CORE.rglob("*.py"))
THIRD_PARTY = {"torch", "numpy", "einops", "safetensors", "av", "PIL"}
EXTRA = {  # what is only there with the command line, and imported where it is used
    "command/download.py": {"filelock", "huggingface_hub"},
    "command/output.py": {"filelock"},
    "command/progress.py": {"tqdm"},
    "film/record.py": {"psutil"},  # not even then: main memory is noted where it is there
    "media/codecs.py": {"diffusers"},
    "media/text_encoder.py": {"sentencepiece", "transformers"},
}
ROOMS = ("network", "diffusion", "film", "media", "command")  # imports go only from later ones to earlier ones
SHARED = {"files"}  # imported by all, imports none
HOST = {"nodes", "folder_paths", "server", "execution"}


def imported(source):
    """Top-level names of the absolute imports anywhere in a source, those inside functions included."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module.split(".")[0])
    return names


def test_the_scan_sees_every_kind_of_import():
    source = "import a.b, c as d\nfrom e.f import g\nfrom . import h\nfrom .i import j\ndef k():\n    import l"
    assert imported(source) == {"a", "c", "e", "l"}


@pytest.mark.parametrize("file", SOURCES, ids=lambda f: f.relative_to(CORE).as_posix())
def test_only_few_libraries(file):
    allowed = sys.stdlib_module_names | THIRD_PARTY | {CORE.name}
    assert imported(file.read_text(encoding="utf-8")) - allowed == EXTRA.get(file.relative_to(CORE).as_posix(), set())


def test_relative_imports_stay_inside():
    for file in SOURCES:
        depth = len(file.relative_to(CORE).parts)
        levels = [n.level for n in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(n, ast.ImportFrom)]
        assert all(level <= depth for level in levels), file


def relative_imports(file):
    """The modules of the core that a file names, as ("film", "loop"), wherever in it."""
    package, found = file.relative_to(CORE).parts[:-1], set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        base = (*package[: len(package) - node.level + 1], *(node.module.split(".") if node.module else ()))
        for name in [base] if node.module else [(*base, alias.name) for alias in node.names]:
            found.add(name)
    return found


def module_of(file):
    parts = file.relative_to(CORE).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def test_the_scan_sees_every_relative_import(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "CORE", tmp_path)
    (tmp_path / "film").mkdir()
    (tmp_path / "film" / "a.py").write_text(
        "from . import b, c\nfrom .d import x\nfrom ..network.e import y\nfrom .. import f\nimport torch\n"
        "def g():\n    from ..media import h"
    )
    assert relative_imports(tmp_path / "film" / "a.py") == {
        ("film", "b"),
        ("film", "c"),
        ("film", "d"),
        ("network", "e"),
        ("f",),
        ("media",),
    }


@pytest.mark.parametrize("file", SOURCES, ids=lambda f: f.relative_to(CORE).as_posix())
def test_arrows_go_down(file):
    """command -> media -> film -> diffusion -> network; what is shared imports nothing of the core."""
    module, wanted = module_of(file), relative_imports(file)
    if not module or module == ("__main__",):  # the door, which shows all
        return
    if module[0] in SHARED:
        assert not wanted
        return
    allowed = {*ROOMS[: ROOMS.index(module[0]) + 1], *SHARED}
    assert {name[0] for name in wanted} <= allowed


def test_no_circles():
    wanted = {module_of(file): relative_imports(file) for file in SOURCES}
    done = set()

    def visit(module, path):
        assert module not in path, " -> ".join(map(".".join, (*path, module)))
        if module not in done:
            for name in sorted(wanted.get(module, ())):
                visit(name, (*path, module))
            done.add(module)

    for module in wanted:
        visit(module, ())
    assert {("film", "loop"), ("network", "transformer")} <= done
    assert all(name in wanted for names in wanted.values() for name in names)  # or a circle could hide


def test_without_psutil(monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert resident_bytes() is None
    assert set(Meter("cpu").read()) == {"seconds", "made"}
    monkeypatch.undo()
    assert resident_bytes() > 10**6 and set(Meter("cpu").read()) == {"seconds", "made", "ram"}


def test_importing_brings_no_host():
    """In a fresh process, beside the pack's own nodes/ folder."""
    modules = [m.name for m in pkgutil.walk_packages([str(CORE)], f"{CORE.name}.") if not m.name.endswith("__main__")]
    assert f"{CORE.name}.film.loop" in modules
    script = f"import sys, importlib\n[importlib.import_module(m) for m in {modules!r}]\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], cwd=CORE.parent, capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in run.stdout.split()}
    assert {CORE.name, "torch"} <= loaded
    assert not {name for name in loaded if name in HOST or name.startswith("comfy")}
    assert not loaded & set.union(*(EXTRA[name] for name in EXTRA if name != "command/progress.py"))


def test_every_public_name_exists():
    assert len(set(helios_core.__all__)) == len(helios_core.__all__)
    for name in helios_core.__all__:
        assert getattr(helios_core, name) is not None
