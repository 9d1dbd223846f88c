"""The browser harness itself, against the real frontend."""

import copy
import json

import pytest
from PIL import Image

from browser import api_prompt, build_workflow, export_workflow, load_workflow, missing_nodes, screenshot, set_setting

NODES = [
    {
        "name": "vae",
        "type": "VAELoader",
        "pos": [0, 0],
        "title": "The VAE",
        "widgets": {"vae_name": "tiny_wan_vae.safetensors"},
        "color": "#223",
        "bgcolor": "#335",
        "properties": {
            "models": [
                {"name": "tiny_wan_vae.safetensors", "url": "https://example.org/vae.safetensors", "directory": "vae"}
            ]
        },
    },
    {
        "name": "latent",
        "type": "EmptyHunyuanLatentVideo",
        "pos": [0, 200],
        "widgets": {"width": 96, "height": 64, "length": 33},
    },
    {"name": "steps", "type": "TestSteps", "pos": [350, 200], "widgets": {"steps": 2, "preview": True}},
    {"name": "count", "type": "PrimitiveInt", "pos": [0, 450], "widgets": {"value": 3}},
    {"name": "decode", "type": "VAEDecode", "pos": [700, 0], "collapsed": True},
    {
        "name": "save",
        "type": "SaveImage",
        "pos": [1000, 0],
        "size": [300, 280],
        "widgets": {"filename_prefix": "harness"},
    },
    {"name": "note", "type": "MarkdownNote", "pos": [350, 0], "size": [280, 100], "text": "# Hello\nIt *works*."},
    {"name": "plain note", "type": "Note", "pos": [350, 420], "text": "plain"},
]
LINKS = [
    ("latent", "LATENT", "steps", "samples"),
    ("count", "INT", "steps", "steps"),
    ("steps", "LATENT", "decode", "samples"),
    ("vae", "VAE", "decode", "vae"),
    ("decode", "IMAGE", "save", "images"),
]
GROUPS = [{"title": "Input", "bounding": [-20, -80, 320, 660], "color": "#3f789e"}]
API_INPUTS = {
    "1": ("VAELoader", {"vae_name": "tiny_wan_vae.safetensors"}),
    "2": ("EmptyHunyuanLatentVideo", {"width": 96, "height": 64, "length": 33, "batch_size": 1}),
    "3": ("TestSteps", {"samples": ["2", 0], "steps": ["4", 0], "seconds": 0.1, "preview": True}),
    "4": ("PrimitiveInt", {"value": 3}),
    "5": ("VAEDecode", {"samples": ["3", 0], "vae": ["1", 0]}),
    "6": ("SaveImage", {"images": ["5", 0], "filename_prefix": "harness"}),
}


def inputs(prompt):
    return {node_id: (node["class_type"], node["inputs"]) for node_id, node in prompt.items()}


def test_build_load_and_run(page, server, tmp_path):
    workflow = build_workflow(page, NODES, LINKS, GROUPS)
    assert [node["type"] for node in sorted(workflow["nodes"], key=lambda n: n["id"])] == [n["type"] for n in NODES]
    nodes = {node["id"]: node for node in workflow["nodes"]}
    assert nodes[1]["title"] == "The VAE" and nodes[1]["properties"]["models"][0]["directory"] == "vae"
    assert nodes[1]["color"] == "#223" and nodes[5]["flags"]["collapsed"] and nodes[6]["size"] == [300, 280]
    assert nodes[7]["widgets_values"] == ["# Hello\nIt *works*."] and nodes[8]["widgets_values"] == ["plain"]
    assert workflow["groups"][0]["title"] == "Input" and workflow["groups"][0]["bounding"] == GROUPS[0]["bounding"]
    assert len(workflow["links"]) == len(LINKS)

    load_workflow(page, {**workflow, "nodes": [], "links": []})
    assert api_prompt(page) == {}
    load_workflow(page, json.loads(json.dumps(workflow)))
    prompt = api_prompt(page)
    assert inputs(prompt) == API_INPUTS
    assert missing_nodes(page) == []
    assert export_workflow(page) == workflow
    assert len(server.run(prompt)["outputs"]["6"]["images"]) == 33

    with Image.open(screenshot(page, tmp_path / "graph.png")) as image:
        assert image.size == (1600, 1000) and len(image.convert("RGB").getcolors(2**20)) > 100
    assert page.errors == []


def test_stock_template(page, server):
    """A workflow that comes with ComfyUI; that its models are missing is not an error."""
    load_workflow(page, server.get("/templates/default.json").json())
    prompt = api_prompt(page)
    assert {"KSampler", "VAEDecode", "SaveImage"} <= {node["class_type"] for node in prompt.values()}
    assert missing_nodes(page) == []
    page.wait_for_timeout(1500)  # until the frontend has looked for the models
    assert page.errors == []


def test_nodes_2(page):
    """The same workflow when the nodes are drawn by Vue."""
    set_setting(page, "Comfy.VueNodes.Enabled", True)
    load_workflow(page, build_workflow(page, NODES, LINKS, GROUPS))
    page.wait_for_selector('[data-node-id="1"]')
    assert inputs(api_prompt(page)) == API_INPUTS
    assert page.errors == []


def test_faults_are_seen(page, server):
    workflow = build_workflow(page, NODES, LINKS)
    unknown = copy.deepcopy(workflow)
    unknown["nodes"][0]["type"] = "NoSuchNode"
    load_workflow(page, unknown)
    assert missing_nodes(page) == ["NoSuchNode"]

    page.evaluate("() => { setTimeout(() => { throw new Error('thrown') }); console.error('logged'); }")
    page.evaluate("() => fetch('/extensions/nothing.js')")
    page.wait_for_timeout(100)
    assert [any(word in error for error in page.errors) for word in ("thrown", "logged", "nothing.js")] == [True] * 3

    for nodes, links, message in [
        ([{"name": "a", "type": "NoSuchNode"}], [], "no node type NoSuchNode"),
        ([{"name": "a", "type": "VAELoader", "widgets": {"vae": ""}}], [], "a has no widget vae"),
        (NODES, [("vae", "VAE", "decode", "vea")], "decode has no input vea"),
        (NODES, [("vae", "VAE", "decode", "samples")], "vae.VAE does not fit decode.samples"),
    ]:
        with pytest.raises(Exception, match=message):
            build_workflow(page, nodes, links)
