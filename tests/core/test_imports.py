"""The core stands alone: no ComfyUI, and few libraries."""

import ast
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import helios_core

CORE = Path(helios_core.__file__).parent
SOURCES = sorted(CORE.rglob("*.py"))
THIRD_PARTY = {"torch", "numpy", "einops", "safetensors", "av", "PIL"}
EXTRA = {  # what is only there with the command line, and imported where it is used
    "cli.py": {"tqdm"},
    "text_encoder.py": {"sentencepiece", "transformers"},
    "codecs.py": {"diffusers"},
    "download.py": {"filelock", "huggingface_hub"},
}
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
    assert imported(file.read_text(encoding="utf-8")) - allowed == EXTRA.get(file.name, set())


def test_relative_imports_stay_inside():
    for file in SOURCES:
        depth = len(file.relative_to(CORE).parts)
        levels = [n.level for n in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(n, ast.ImportFrom)]
        assert all(level <= depth for level in levels), file


def test_importing_brings_no_host():
    """In a fresh process, beside the pack's own nodes/ folder."""
    modules = [m.name for m in pkgutil.walk_packages([str(CORE)], f"{CORE.name}.") if not m.name.endswith("__main__")]
    assert f"{CORE.name}.film.loop" in modules
    script = f"import sys, importlib\n[importlib.import_module(m) for m in {modules!r}]\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], cwd=CORE.parent, capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in run.stdout.split()}
    assert {CORE.name, "torch"} <= loaded
    assert not {name for name in loaded if name in HOST or name.startswith("comfy")}
    assert not loaded & (EXTRA["codecs.py"] | EXTRA["text_encoder.py"] | EXTRA["download.py"])


def test_every_public_name_exists():
    assert len(set(helios_core.__all__)) == len(helios_core.__all__)
    for name in helios_core.__all__:
        assert getattr(helios_core, name) is not None
