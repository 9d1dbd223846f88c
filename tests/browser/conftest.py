"""Tests of the real frontend in headless Chromium, served by the ComfyUI of tests/host."""

import importlib.util
import shutil

import pytest

from browser import opened_page
from shipped import install_models

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


@pytest.fixture(scope="module")
def shipped_models(server):
    """What the shipped workflows name; asked for before `page`, which looks once what there is."""
    install_models(server)


@pytest.fixture(scope="module")  # to open one takes longer than most tests
def page(server, chromium):
    """The frontend of `server`, at first with an empty graph; `page.errors` holds what went wrong in it so far."""
    with opened_page(server, chromium) as page:
        yield page
