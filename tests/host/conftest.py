"""Tests inside a real ComfyUI; see comfy_fixtures.py."""

import pytest


def pytest_configure(config):
    config.pluginmanager.import_plugin("comfy_fixtures")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name != "test_to_video.py")  # long: as the last one it kept a worker waiting


@pytest.fixture(autouse=True)
def _in_comfyui(comfy_path):
    """Everything here is skipped where there is no ComfyUI."""
