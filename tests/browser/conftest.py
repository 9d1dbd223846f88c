"""Tests of the real frontend in headless Chromium, served by the ComfyUI of tests/host."""

import importlib.util
import re
import shutil

import pytest

from browser import EMPTY_WORKFLOW, load_workflow
from shipped import install_models

# Console errors of the stock frontend on a fresh and offline ComfyUI.
STOCK_NOISE = re.compile(
    r"404 \(Not Found\).*/(user\.css|favicon\.ico|api/userdata[/?].*)$"
    r"|^ComfyApp graph accessed before initialization"
    r"|Content Security Policy.*/assets/missingModelDownload"
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_configure(config):
    config.pluginmanager.import_plugin("comfy_fixtures")


@pytest.fixture(scope="session", autouse=True)
def chromium_path():
    """Everything here is skipped where there is no Chromium or no playwright to drive it."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None or importlib.util.find_spec("playwright") is None:
        pytest.skip("no browser: install Chromium (on the PATH as chromium) and pip install playwright")
    return path


@pytest.fixture(scope="module")  # not longer: while it is open, asyncio.run() does not work in this thread
def chromium(chromium_path):
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def shipped_models(server):
    """What the shipped workflows name; asked for before `page`, which looks once what there is."""
    install_models(server)


@pytest.fixture
def page(server, chromium):
    """The frontend of `server` with an empty graph; `page.errors` holds what went wrong in it so far."""
    server.post("/settings", {"Comfy.TutorialCompleted": True, "Comfy.VueNodes.Enabled": False})
    context = chromium.new_context(viewport={"width": 1600, "height": 1000}, locale="en-US")
    page = context.new_page()
    page.errors = []

    def on_console(message):
        text = f"{message.text} {message.location['url']}"
        if message.type == "error" and not STOCK_NOISE.search(text):
            page.errors.append(text)

    page.on("console", on_console)
    page.on("pageerror", lambda error: page.errors.append(f"{error.message}\n{error.stack}"))
    page.goto(server.url)
    page.wait_for_function(
        "() => window.app?.extensionManager?.workflow?.activeWorkflow && app.graph.nodes.length", timeout=120_000
    )
    load_workflow(page, EMPTY_WORKFLOW)
    yield page
    context.close()
