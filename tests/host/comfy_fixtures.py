"""Fixtures that tests/host and tests/browser share, so that both use the same servers."""

from functools import partial

import pytest

from checkpoints import write_tiny_wan_vae
from comfy_process import PlainProcess
from comfy_server import (
    ComfyServer,
    find_comfyui,
    find_new_comfyui,
    find_new_frontend,
    find_old_comfyui,
    find_old_frontend,
)


@pytest.fixture(scope="session")
def comfy_path():
    """The ComfyUI to test in; without one, all that needs it is skipped."""
    path = find_comfyui()
    if path is None:
        pytest.skip(
            "no ComfyUI found: git clone https://github.com/comfyanonymous/ComfyUI, install its "
            "requirements.txt into this Python and set COMFYUI_PATH to the clone"
        )
    return path


@pytest.fixture(scope="session")
def server(comfy_path, tmp_path_factory):
    """A running ComfyUI with the pack, the test nodes and vae/tiny_wan_vae.safetensors.

    It uses the attention that is the default on GPUs, the old server the CPU's.
    """
    yield from _running(comfy_path, tmp_path_factory.mktemp("comfyui"), "--use-pytorch-cross-attention")


@pytest.fixture(scope="session")
def old_server(comfy_path, tmp_path_factory):
    """The same with the oldest ComfyUI that the pack supports, and where it is there with the frontend of its time."""
    path = find_old_comfyui()
    if path is None:
        pytest.skip("no ComfyUI 0.8.0 found: set COMFYUI_OLD_PATH to a checkout of its tag v0.8.0")
    yield from _running(path, tmp_path_factory.mktemp("old_comfyui"), *front_end(find_old_frontend()))


@pytest.fixture(scope="session")
def new_server(tmp_path_factory):
    """The newest ComfyUI with the newest frontend."""
    found = find_new_comfyui()
    if found is None:
        pytest.skip(
            "no ComfyUI 0.33.0 found: set COMFYUI_NEW_PATH to a checkout of it and COMFYUI_NEW_PYTHON to a Python "
            "with its requirements.txt and the pack's"
        )
    path, python = found
    yield from _running(
        path,
        tmp_path_factory.mktemp("new_comfyui"),
        *front_end(find_new_frontend()),
        process=partial(PlainProcess, python=python),
    )


@pytest.fixture(scope="session")
def new_frontend_server(comfy_path, tmp_path_factory):
    """The default ComfyUI with the newest frontend."""
    path = find_new_frontend()
    if path is None:
        pytest.skip("no frontend 1.58.1 found: make setup fetches it, or set COMFYUI_NEW_FRONTEND to its folder static")
    yield from _running(comfy_path, tmp_path_factory.mktemp("new_frontend"), *front_end(path))


@pytest.fixture(params=["server", "old_server"])
def any_server(request):
    """Both, one after the other."""
    return request.getfixturevalue(request.param)


def front_end(path) -> tuple:
    """What tells a server to serve it; nothing for its own."""
    return ("--front-end-root", str(path)) if path else ()


def _running(path, base_dir, *extra_args, **options):
    server = ComfyServer(path, base_dir, extra_args, **options)
    write_tiny_wan_vae(server.models_dir / "vae" / "tiny_wan_vae.safetensors")
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows what the server printed meanwhile."""
    servers = [arg for arg in getattr(item, "funcargs", {}).values() if isinstance(arg, ComfyServer)]
    if call.when == "setup":
        item.comfy_logs = [(server, len(server.log())) for server in servers]
    report = yield
    if report.failed and call.when == "call":
        for server, seen in item.comfy_logs:
            report.sections.append((f"ComfyUI log ({server.comfy_path})", server.log()[seen:][-5000:]))
    return report


def pytest_terminal_summary(terminalreporter):
    """Why tests were skipped, each reason once."""
    reasons = [report.longrepr[2] for report in terminalreporter.stats.get("skipped", [])]
    for reason in sorted(set(reasons)):
        terminalreporter.write_line(f"{reasons.count(reason)} skipped: {reason.removeprefix('Skipped: ')}")
