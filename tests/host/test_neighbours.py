"""Other packs' nodes on a Helios model: they work, do nothing and say so, or are refused by their names."""

import re
from pathlib import Path

import pytest
import torch

from comfy_server import ExecutionFailed
from models import NEGATIVE, POSITIVE, Graph, film, prompts, relative_error

TABLE = Path(__file__).resolve().parents[2] / "docs" / "compatibility.md"


def patch(node, **inputs):
    """The model through a node."""
    return lambda graph, model: graph.add(node, model=model, **inputs)


def wan(kind):
    return patch("TestWanPatch", kind=kind)


def sharpen(graph, model):
    operation = graph.add("LatentOperationSharpen", sharpen_radius=3, sigma=1.0, alpha=0.1)
    return graph.add("LatentApplyOperationCFG", model=model, operation=operation)


def context_windows(graph, model):
    return through(graph.server, "WanContextWindowsManual", context_length=21)(graph, model)


SAMPLER = "HeliosChunkSampler"
# They come with another model's weights or training, and say so themselves.
OTHER_MODELS = {
    "LTXVReferenceAudio",
    "QwenImageDiffsynthControlnet",
    "SUPIRApply",
    "USOStyleReference",
    "WanInfiniteTalkToVideo",
    "ZImageFunControlnet",
}
FREE_U = dict(b1=1.3, b2=1.4, s1=0.9, s2=0.2)
# Who says what: every sentence names the node, or what it does, and what to do.
REFUSED = {
    "FreeU": (patch("FreeU", **FREE_U), "FreeU", r"asks for the model's model_channels, .*U-Nets.*remove the node"),
    "FreeU_V2": (patch("FreeU_V2", **FREE_U), "FreeU_V2", r"asks for the model's model_channels"),
    "SAG": (
        patch("SelfAttentionGuidance", scale=0.5, blur_sigma=2.0),
        SAMPLER,
        r"SelfAttentionGuidance of ComfyUI cannot work on a Helios model: .*U-Net.*Remove that node\.",
    ),
    "EPS": (
        patch("ModelSamplingDiscrete", sampling="eps", zsnr=False),
        SAMPLER,
        r"such as ModelSamplingDiscrete .*Helios is a flow model .*Remove that node",
    ),
    "context windows": (context_windows, SAMPLER, r"context windows of 6 latent frames .*chunks of 9 .*Remove"),
    "Wan's self-attention": (
        wan("self_attn"),
        SAMPLER,
        r"_self_attention of helios-test-helpers cannot work .*blocks\.0\.self_attn\.forward.*Remove that node\.",
    ),
    "TeaCache": (wan("TeaCache"), SAMPLER, r"TeaCache of helios-test-helpers cannot .* use EasyCache in its place"),
    "a part of another model": (
        wan("no such part"),
        SAMPLER,
        r"rope_embedder, which Helios does not have",
    ),
    "guidance for frames": (
        patch("VideoLinearCFGGuidance", min_cfg=1.0),
        SAMPLER,
        r"VideoLinearCFGGuidance of ComfyUI cannot work .*frames.*Remove that node\.",
    ),
    "an error while sampling": (
        wan("fails"),
        SAMPLER,
        r"_fails of helios-test-helpers failed on a Helios model \(.*no_such_thing.*\)\. Remove that node\.",
    ),
    "a picture's operation": (
        sharpen,
        SAMPLER,
        r"LatentOperationSharpen of ComfyUI failed on a Helios model \(Padding",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_is_refused_by_its_name(any_server, name):
    check_refused(any_server, name)


def check_refused(server, name):
    how, node, sentence = REFUSED[name]
    with pytest.raises(ExecutionFailed, match=rf"^{node} [^:]*: .*{sentence}") as failed:
        film(server, "base", patch=how, steps="2", length=33)
    assert len(failed.value.error["exception_message"].strip().splitlines()) == 1


@pytest.mark.parametrize("kind", ["cross_attn", "ffn", "wrapper"])
def test_a_wan_patch_that_changes_nothing(any_server, kind):
    """Under Wan's signatures, for every group of tokens, keys and values cached or not."""
    assert torch.equal(film(any_server, patch=wan(kind)), film(any_server))


def test_a_wan_cross_attention_is_heard(server):
    assert relative_error(film(server, patch=wan("cross_attn weaker")), film(server)) > 1e-3


def test_renorm_cfg(server):
    check_renorm_cfg(server)


def check_renorm_cfg(server):
    plain = film(server, "base", steps="2")
    got = film(server, "base", patch=patch("RenormCFG", cfg_trunc=100.0, renorm_cfg=0.5), steps="2")
    assert torch.isfinite(got).all() and relative_error(got, plain) > 1e-3


def cache(node, threshold):
    settings = dict(reuse_threshold=threshold, start_percent=0.0, end_percent=1.0, verbose=False)
    return patch(node, **settings)


@pytest.mark.parametrize("node", ["EasyCache", "LazyCache"])
@pytest.mark.parametrize(("variant", "steps"), [("base", "6"), ("distilled", "4,4,4")])
def test_a_step_cache_begins_anew_with_each_chunk(any_server, node, variant, steps):
    """So that a film in parts is the film in one."""
    check_cached_steps(any_server, node, variant, steps)


def check_cached_steps(server, node, variant, steps):
    graph = Graph(server)
    model = cache(node, 1.0)(graph, graph.load(variant=variant))
    settings = dict(**prompts(variant), steps=steps, amplify_first_chunk="off")
    whole = graph.sample(model, **settings)
    first = graph.sample(model, **settings, length=33)
    second = graph.sample(model, **settings, length=33, memory=[first[0], 1])
    whole, first, second = (graph.save(s) for s in (whole, first, second))
    graph.run()
    assert torch.equal(whole.raw, torch.cat([first.raw, second.raw], dim=2)) and torch.isfinite(whole.raw).all()


@pytest.mark.parametrize("node", ["EasyCache", "LazyCache"])
def test_a_step_cache_leaves_steps_out(server, node):
    """The more, the higher its threshold."""
    plain = film(server, "base", steps="10")
    for threshold, fewer in ((0.0, False), (1.0, True)):
        graph = Graph(server)
        model = graph.add("TestPatchModel", model=cache(node, threshold)(graph, graph.load("", "base")), kind="wrapper")
        samples = graph.sample(model, positive=POSITIVE, negative=NEGATIVE, steps="10")
        saved, calls = graph.save(samples), graph.add("TestCalls", samples=samples, kind="wrapper")
        outputs = graph.run()["outputs"]
        assert (int(outputs[calls[0]]["text"][0]) < 20) == fewer
        assert (relative_error(saved.latents, plain) > 1e-4) == fewer


def test_what_does_nothing_says_so(server):
    graph = Graph(server)
    model = graph.add(
        "ScaleROPE",
        model=graph.load(),
        **dict.fromkeys(("scale_x", "scale_y", "scale_t"), 1.0),
        **dict.fromkeys(("shift_x", "shift_y", "shift_t"), 0.0),
    )
    samples = graph.sample(model, positive=POSITIVE, length=33)
    graph.save(samples)
    with server.events() as events:
        events.wait_done(server.queue(graph, client_id=events.client_id))
    assert "ScaleROPE does nothing on a Helios model" in server.log()


def table() -> dict[str, str]:
    """What the docs say of each of ComfyUI's nodes."""
    text = TABLE.read_text(encoding="utf-8").split("## KJNodes")[0]
    rows = re.findall(r"^\| (`.+?`) \| (.*?) \|", text, re.MULTILINE)
    return {node: outcome for nodes, outcome in rows for node in re.findall(r"`(.+?)`", nodes)}


# What their defaults do not bring about: layers and steps of the large model.
SETTINGS = {
    "SkipLayerGuidanceDiT": {"double_layers": "0, 1", "single_layers": ""},
    "SkipLayerGuidanceDiTSimple": {"double_layers": "0, 1", "single_layers": ""},
    "SkipLayerGuidanceSD3": {"layers": "0, 1"},
    "HiDreamO1PatchSeamSmoothing": {"start_percent": 0.0, "end_percent": 1.0},
}


def through(server, node: str, **settings):
    """A patch by the node with its defaults but for `settings`; skips where it wants what is not at hand."""
    inputs = server.object_info(node)["input"]
    made = {
        "CONDITIONING": lambda graph: graph.text(NEGATIVE),
        "LATENT": lambda graph: graph.add("EmptyHunyuanLatentVideo", width=128, height=64, length=33, batch_size=1),
        "VAE": Graph.vae,
        "LATENT_OPERATION": lambda graph: graph.add("LatentOperationTonemapReinhard", multiplier=1.0),
    }

    def patch(graph, model):
        given = {}
        for name, (kind, *options) in inputs.get("required", {}).items():
            default = options[0].get("default") if options else None
            if kind == "MODEL":
                given[name] = model
            elif isinstance(kind, list) or kind == "COMBO":
                choices = kind if isinstance(kind, list) else options[0]["options"]
                if not choices:
                    pytest.skip(f"no {name}")
                given[name] = default or choices[0]
            elif kind in made:
                given[name] = made[kind](graph)
            elif default is None:
                pytest.skip(f"no {kind}")
            else:
                given[name] = default
        return graph.add(node, **{**given, **SETTINGS.get(node, {}), **settings})

    return patch


@pytest.fixture(scope="module")
def plain(server):
    return film(server, "base", steps="2", length=33)


@pytest.mark.parametrize("node", sorted(table().keys() - {"TorchCompileModel"}))
def test_the_docs_table_is_true(server, plain, node):
    outcome = table()[node]
    if node not in server.get("/object_info").json():
        pytest.skip("not in this ComfyUI")

    def make():
        return film(server, "base", patch=through(server, node), steps="2", length=33)

    if outcome == "refused":
        with pytest.raises(ExecutionFailed, match="Helios") as failed:
            make()
        assert len(failed.value.error["exception_message"].strip().splitlines()) == 1
    else:
        assert outcome in ("works", "does nothing")
        got = make()
        assert torch.isfinite(got).all()
        assert outcome == "works" or relative_error(got, plain) < 1e-5


def test_the_docs_table_has_every_node(server):
    """All that takes a MODEL and gives one, but for other models' control networks."""
    nodes = {
        name
        for name, node in server.get("/object_info").json().items()
        if "MODEL" in node["output"]
        and any(
            kind[0] == "MODEL" for group in ("required", "optional") for kind in node["input"].get(group, {}).values()
        )
        and node["python_module"].startswith(("nodes", "comfy_extras"))
    }
    others = {name for name in nodes if not table().get(name)}
    assert others == OTHER_MODELS
