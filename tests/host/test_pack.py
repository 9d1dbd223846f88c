"""What saved workflows depend on: the nodes, their inputs and outputs, and the order of their widgets."""

import ast
import json
import re

import numpy as np
import pytest

from comfy_server import PACK
from models import Graph

# Written down by hand, for ever: workflows save widget values by position and links by name. Nodes, inputs and
# options may be added at the end of what is here; nothing may be moved, renamed or removed. `resize` takes "fit" too,
# which "stretch" was called first.
PINNED = {
    "HeliosModelLoader": {
        "inputs": """
            model_name: COMBO of files
            variant: COMBO auto|base|mid|distilled = "auto"
            weight_dtype: COMBO default|bf16|fp16|fp32|fp8_e4m3fn|fp8_e4m3fn_fast|fp8_e5m2 = "default"
        """,
        "outputs": "MODEL: MODEL",
    },
    "HeliosDemoLoader": {
        "inputs": """
            variant: COMBO distilled|base = "distilled"
        """,
        "outputs": "MODEL: MODEL, CLIP: CLIP, VAE: VAE",
    },
    "HeliosLoraLoader": {
        "inputs": """
            model: MODEL
            lora_name: COMBO of files
            strength: FLOAT -100.0..100.0 by 0.01 = 1.0
        """,
        "outputs": "MODEL: MODEL",
    },
    "HeliosPromptSchedule": {
        "inputs": r"""
            clip: CLIP
            schedule: STRING, multiline = "0: A lighthouse on a rocky coast at dawn, calm sea, wide shot\n1 blend 2: The lighthouse in a storm, waves breaking over the rocks"
            fps: FLOAT 1.0..120.0 by 1.0 = 24.0
            vae: VAE, optional
        """,  # noqa: E501
        "outputs": "schedule: HELIOS_SCHEDULE",
    },
    "HeliosPromptSegment": {
        "inputs": """
            conditioning: CONDITIONING
            start: INT 0..1000000 = 0
            transition: COMBO cut|blend = "cut"
            blend_chunks: INT 2..1000 = 3
            schedule: HELIOS_SCHEDULE, optional
        """,
        "outputs": "schedule: HELIOS_SCHEDULE",
    },
    "HeliosKeyframe": {
        "inputs": """
            schedule: HELIOS_SCHEDULE
            vae: VAE
            image: IMAGE
            start: INT 0..1000000 = 1
            transition: COMBO cut|blend = "cut"
            blend_chunks: INT 2..1000 = 3
            resize: COMBO crop|pad|stretch, optional = "crop"
            anchor_noise_min: FLOAT 0.0..1.0 by 0.001, optional = 0.111
            anchor_noise_max: FLOAT 0.0..1.0 by 0.001, optional = 0.135
            history_noise_min: FLOAT 0.0..1.0 by 0.001, optional = 0.111
            history_noise_max: FLOAT 0.0..1.0 by 0.001, optional = 0.135
        """,
        "outputs": "schedule: HELIOS_SCHEDULE",
    },
    "HeliosHistoryMemory": {
        "inputs": """
            width: INT 64..4096 by 16 = 640
            height: INT 64..4096 by 16 = 384
            vae: VAE, optional
            image: IMAGE, optional
            video: VIDEO,IMAGE, optional
            resize: COMBO crop|pad|stretch, optional = "crop"
            seed: INT 0..18446744073709551615, optional = 0
            anchor_noise_min: FLOAT 0.0..1.0 by 0.001, optional = 0.111
            anchor_noise_max: FLOAT 0.0..1.0 by 0.001, optional = 0.135
            history_noise_min: FLOAT 0.0..1.0 by 0.001, optional = 0.111
            history_noise_max: FLOAT 0.0..1.0 by 0.001, optional = 0.135
            video_fps: COMBO take every frame|resample to 24, optional = "take every frame"
        """,
        "outputs": "memory: HELIOS_MEMORY",
    },
    "HeliosSaveMemory": {
        "inputs": """
            memory: HELIOS_MEMORY
            filename_prefix: STRING = "helios/film"
            image: IMAGE, optional
            vae: VAE, optional
        """,
        "outputs": "memory: HELIOS_MEMORY",
    },
    "HeliosLoadMemory": {
        "inputs": """
            memory_file: COMBO of files
            model: MODEL, optional
        """,
        "outputs": "memory: HELIOS_MEMORY",
    },
    "HeliosChunkSampler": {
        "inputs": """
            model: MODEL
            seed: INT 0..18446744073709551615, control_after_generate = 0
            length: INT 1..100000000 = 99
            steps: STRING = "auto"
            cfg: FLOAT 0.0..100.0 by 0.1 = 0.0
            solver: COMBO auto|unipc|euler|dmd = "auto"
            amplify_first_chunk: COMBO auto|on|off = "auto"
            skip_first_chunk: BOOLEAN = false
            noise_device: COMBO cpu|reference = "cpu"
            schedule: HELIOS_SCHEDULE, optional
            positive: CONDITIONING, optional
            negative: CONDITIONING, optional
            memory: HELIOS_MEMORY, optional
            autosave: BOOLEAN, optional = true
            autosave_films: INT 1..100000, optional = 20
            autosave_gb: FLOAT 0.0..100000.0 by 1.0, optional = 20.0
            length_in: COMBO frames|seconds|chunks|frames of the last prompt, optional = "frames"
        """,
        "outputs": "latent: LATENT, memory: HELIOS_MEMORY",
    },
    "HeliosSampleToVideo": {
        "inputs": """
            vae: VAE
            filename_prefix: STRING = "video/Helios"
            fps: FLOAT 1.0..120.0 by 1.0 = 24.0
            crf: INT 0..51 = 18
            tiling: COMBO auto|on|off = "auto"
            tile_size: INT 64..4096 by 32 = 256
            overlap: INT 0..4096 by 32 = 64
            model: MODEL
            seed: INT 0..18446744073709551615, control_after_generate = 0
            length: INT 1..100000000 = 99
            steps: STRING = "auto"
            cfg: FLOAT 0.0..100.0 by 0.1 = 0.0
            solver: COMBO auto|unipc|euler|dmd = "auto"
            amplify_first_chunk: COMBO auto|on|off = "auto"
            skip_first_chunk: BOOLEAN = false
            noise_device: COMBO cpu|reference = "cpu"
            audio: AUDIO, optional
            smooth_seams: BOOLEAN, optional = false
            schedule: HELIOS_SCHEDULE, optional
            positive: CONDITIONING, optional
            negative: CONDITIONING, optional
            memory: HELIOS_MEMORY, optional
            autosave: BOOLEAN, optional = true
            autosave_films: INT 1..100000, optional = 20
            autosave_gb: FLOAT 0.0..100000.0 by 1.0, optional = 20.0
            length_in: COMBO frames|seconds|chunks|frames of the last prompt, optional = "frames"
        """,
        "outputs": "video: VIDEO, memory: HELIOS_MEMORY",
    },
    "HeliosVAEDecode": {
        "inputs": """
            samples: LATENT
            vae: VAE
            tiling: COMBO auto|on|off = "auto"
            tile_size: INT 64..4096 by 32 = 256
            overlap: INT 0..4096 by 32 = 64
            smooth_seams: BOOLEAN, optional = false
        """,
        "outputs": "IMAGE: IMAGE",
    },
    "HeliosFilmReport": {
        "inputs": """
            video: VIDEO,IMAGE
            memory: HELIOS_MEMORY, optional
        """,
        "outputs": "image: IMAGE, json: STRING",
    },
    "HeliosJoinVideos": {
        "inputs": """
            first: VIDEO
            second: VIDEO
            filename_prefix: STRING = "video/Helios_whole"
            crf: INT 0..51 = 18
        """,
        "outputs": "video: VIDEO",
    },
}
FROM_FOLDERS = {"model_name", "lora_name", "memory_file"}
# What a number means, to be found in its tooltip.
MEANINGS = {
    "width": "Pixels",
    "height": "Pixels",
    "tile_size": "Pixels",
    "overlap": "Pixels",
    "length": "Frames",
    "fps": "Frames per second",
    "start": "Chunk",
    "blend_chunks": "Chunks",
    "strength": "Factor",
    "cfg": "Guidance scale",
    "seed": "noise",
    "anchor_noise_min": "share from 0 to 1",
    "anchor_noise_max": "share from 0 to 1",
    "history_noise_min": "share from 0 to 1",
    "history_noise_max": "share from 0 to 1",
    "crf": "CRF",
    "autosave_films": "Films",
    "autosave_gb": "Gigabytes",
}


def helios_nodes(server) -> dict:
    return {name: node for name, node in server.object_info().items() if name.startswith("Helios")}


def inputs_of(node: dict):
    """(name, type, options, whether it is optional) of every input, in the order of sockets and widgets."""
    for group in ("required", "optional"):
        assert node["input_order"].get(group, []) == list(node["input"].get(group, {}))
        for name, (kind, options) in node["input"].get(group, {}).items():
            yield name, kind, options, group == "optional"


def describe(node: dict) -> dict:
    """A node as it is written down above."""
    lines = []
    for name, kind, options, optional in inputs_of(node):
        line = f"{name}: {kind}"
        if name in FROM_FOLDERS:
            line += " of files"
        elif kind == "COMBO":
            line += " " + "|".join(options["options"])
        if "min" in options:
            line += f" {options['min']}..{options['max']}" + (f" by {options['step']}" if "step" in options else "")
        flags = [flag for flag in ("multiline", "control_after_generate", "forceInput") if options.get(flag)]
        line += "".join(f", {flag}" for flag in flags + ["optional"] * optional)
        if "default" in options:
            line += f" = {json.dumps(options['default'])}"
        lines.append(line)
    return {
        "inputs": lines,
        "outputs": ", ".join(f"{name}: {kind}" for name, kind in zip(node["output_name"], node["output"])),
    }


def test_nodes_are_pinned(any_server):
    nodes = helios_nodes(any_server)
    assert list(nodes) == list(PINNED)
    for name, pinned in PINNED.items():
        want = [line.strip() for line in pinned["inputs"].strip().splitlines()]
        assert describe(nodes[name]) == {"inputs": want, "outputs": pinned["outputs"]}, name


def test_nodes_explain_themselves(any_server):
    for name, node in helios_nodes(any_server).items():
        assert node["description"] and node["display_name"].startswith("Helios "), name
        assert not node["deprecated"] and not node["experimental"]
        assert len(node["output_tooltips"]) == len(node["output"]) and all(node["output_tooltips"]), name
        for widget, kind, options, _ in inputs_of(node):
            assert len(options.get("tooltip", "")) > 10, f"{name}.{widget} has no tooltip"
            if kind in ("INT", "FLOAT"):
                assert re.search(MEANINGS[widget], options["tooltip"], re.IGNORECASE), f"{name}.{widget}"


def test_execute_takes_the_schemas_inputs(server):
    """Names that differ would only fail once the node runs; required ones have no default, optional ones have."""
    defined = {
        node.name: node
        for file in (PACK / "nodes").glob("*.py")
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
    }

    def parameters(function, skip):
        """name -> whether it has a default."""
        names = [a.arg for a in function.args.args]
        optional = names[len(names) - len(function.args.defaults) :]
        return {name: name in optional for name in names[skip:]}

    def named(function):
        """The same of those behind a star."""
        return {a.arg: d is not None for a, d in zip(function.args.kwonlyargs, function.args.kw_defaults)}

    for name, node in helios_nodes(server).items():
        execute = next(f for f in defined[name].body if isinstance(f, ast.FunctionDef) and f.name == "execute")
        takes = parameters(execute, 1) | named(execute)
        if execute.args.kwarg:  # handed on, after the node's id and what takes the chunks
            takes = parameters(defined["make_film"], 2) | takes
        assert {n: o for n, _, _, o in inputs_of(node)} == takes, name


@pytest.mark.parametrize("prompts", ["schedule", "positive"])
def test_text_to_video(any_server, prompts):
    """From checkpoint to frames, with the host's own text and VAE nodes: 40 frames asked, two chunks of 33 made."""
    graph = Graph(any_server)
    clip = graph.add("TestTinyCLIPLoader", width=32)
    if prompts == "schedule":
        text = graph.add("HeliosPromptSchedule", clip=clip, schedule="0: a red fox\n1 cut: a blue fox", fps=24.0)
    else:
        text = graph.add("CLIPTextEncode", clip=clip, text="a red fox")
    samples = graph.sample(graph.load(weight_dtype="default"), length=40, **{prompts: text})
    path = graph.save_images(graph.decode(samples))
    graph.run()
    images = np.load(path)
    assert images.shape == (66, 64, 128, 3)
    assert np.isfinite(images).all() and images.min() >= 0 and images.max() <= 1 and images.std() > 0.05
