"""Tests inside a real ComfyUI; see comfy_fixtures.py."""

import pytest


def pytest_configure(config):
    config.pluginmanager.import_plugin("comfy_fixtures")


@pytest.fixture(autouse=True)
def _in_comfyui(comfy_path):
    """Everything here is skipped where there is no ComfyUI."""
