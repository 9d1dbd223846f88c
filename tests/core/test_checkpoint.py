"""Files, folders and key layouts -> (architecture, variant, tensors); and what is said of files that are none."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from helios_core import HeliosConfig, HeliosTransformer, load_checkpoint
from helios_core.network.checkpoint import file_versions, rename_key
from oracle import models

SETTINGS = dict(num_layers=2)
REPACK = [
    ("condition_embedder.time_embedder.linear_1", "time_embedding.0"),
    ("condition_embedder.time_embedder.linear_2", "time_embedding.2"),
    ("condition_embedder.text_embedder.linear_1", "text_embedding.0"),
    ("condition_embedder.text_embedder.linear_2", "text_embedding.2"),
    ("condition_embedder.time_proj", "time_projection.1"),
    ("ffn.net.0.proj", "ffn.0"),
    ("ffn.net.2", "ffn.2"),
]
PREFIXES = ["", "model.diffusion_model.", "transformer.", "diffusion_model."]
VARIANTS = ["base", "mid", "distilled", None]


def in_repack_layout(key):
    for theirs, repack in REPACK:
        key = key.replace(theirs, repack)
    return key


def layout(theirs, ours, name, prefix=""):
    """A model's tensors under the names of one of the layouts in the wild."""
    tensors = {
        "diffusers": theirs.state_dict(),
        "repack": {in_repack_layout(k): t for k, t in theirs.state_dict().items()},
        "ours": ours.state_dict(),
        "wan": {re.sub(r"(modulation|history_key_scale)\.weight$", r"\1", k): t for k, t in ours.state_dict().items()},
    }[name]
    return {prefix + k: t.clone() for k, t in tensors.items()}


def config_json(theirs):
    return json.dumps(dict(theirs.config) | {"_class_name": "HeliosTransformer3DModel"})


def write_file(file, tensors, **metadata):
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, file, metadata=metadata or None)
    return file


def write_shards(folder, tensors, count=3, config=None):
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"diffusion_pytorch_model-{i + 1:05}-of-{count:05}.safetensors" for i in range(count)]
    weight_map = {key: names[i % count] for i, key in enumerate(tensors)}
    for name in names:
        save_file({k: t for k, t in tensors.items() if weight_map[k] == name}, folder / name)
    index = folder / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    if config:
        (folder / "config.json").write_text(config)
    return index


@pytest.fixture(scope="module")
def small():
    return models(**SETTINGS)


@pytest.fixture(scope="module")
def wide():
    """One head of 128: what is assumed where nothing tells the head size."""
    return models(num_attention_heads=1, attention_head_dim=128, rope_dim=(44, 42, 42), num_layers=1)


@pytest.fixture(scope="module")
def parts(small):
    """Tensors in our own layout and the metadata that goes with them."""
    return small[1].state_dict(), {"config": config_json(small[0])}


def assert_is(checkpoint, ours):
    assert checkpoint.config == ours.config
    assert checkpoint.tensors.keys() == ours.state_dict().keys()
    for key, tensor in ours.state_dict().items():
        assert torch.equal(checkpoint.tensors[key], tensor), key
    HeliosTransformer(checkpoint.config, device="meta").load_state_dict(checkpoint.tensors, strict=True, assign=True)


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("name", ["diffusers", "repack", "ours", "wan"])
def test_single_file(tmp_path, small, name, prefix):
    file = write_file(tmp_path / "x.safetensors", layout(*small, name, prefix), config=config_json(small[0]))
    checkpoint = load_checkpoint(str(file))
    assert_is(checkpoint, small[1])
    assert checkpoint.files == [file] and checkpoint.metadata.keys() == {"config"}


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("name", ["diffusers", "repack", "ours"])
def test_sharded_folder(tmp_path, small, name, prefix):
    index = write_shards(tmp_path / "Helios", layout(*small, name, prefix), config=config_json(small[0]))
    for path in (tmp_path / "Helios", index):
        checkpoint = load_checkpoint(path)
        assert_is(checkpoint, small[1])
        assert [f.name for f in checkpoint.files] == sorted(f.name for f in index.parent.glob("*.safetensors"))


def test_folder_of_one_file(tmp_path, small):
    write_file(tmp_path / "model.safetensors", layout(*small, "diffusers"))
    (tmp_path / "config.json").write_text(config_json(small[0]))
    assert_is(load_checkpoint(tmp_path), small[1])


@pytest.mark.parametrize("variant", VARIANTS[:3])
def test_pipeline_folder(tmp_path, small, variant):
    """As on the Hub, other parts and an unused second transformer beside it."""
    index = write_shards(tmp_path / "transformer", layout(*small, "diffusers"), config=config_json(small[0]))
    write_file(tmp_path / "transformer_ode" / "x.safetensors", {"foreign": torch.zeros(1)})
    write_file(tmp_path / "vae" / "x.safetensors", {"foreign": torch.zeros(1)})
    pipeline = {"_class_name": "HeliosPipeline" if variant == "base" else "HeliosPyramidPipeline"}
    (tmp_path / "model_index.json").write_text(json.dumps(pipeline | {"is_distilled": variant == "distilled"}))
    for path in (tmp_path, tmp_path / "transformer", index):
        checkpoint = load_checkpoint(path)
        assert_is(checkpoint, small[1])
        assert checkpoint.variant == variant


def test_saved_by_diffusers_itself(tmp_path, small):
    small[0].save_pretrained(tmp_path, max_shard_size="100KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert_is(load_checkpoint(tmp_path), small[1])


@pytest.mark.parametrize(
    "settings",
    [
        dict(is_amplify_history=True, history_scale_mode="per_head"),
        dict(is_amplify_history=True, history_scale_mode="scalar"),
        dict(guidance_cross_attn=False),
        dict(zero_history_timestep=False),
        dict(cross_attn_norm=False),
        dict(num_layers=1),
        dict(text_dim=16, freq_dim=32, ffn_dim=40),
        dict(in_channels=4, out_channels=4),
        dict(rope_dim=(4, 8, 12), eps=1e-5, rope_theta=50.0),
    ],
    ids=str,
)
def test_architecture_from_config_json(tmp_path, settings):
    theirs, ours = models(**settings)
    write_shards(tmp_path, layout(theirs, ours, "diffusers"), config=config_json(theirs))
    assert_is(load_checkpoint(tmp_path), ours)


@pytest.mark.parametrize(
    "settings",
    [
        dict(),
        dict(is_amplify_history=True, history_scale_mode="per_head", num_attention_heads=2),
        dict(is_amplify_history=True, history_scale_mode="scalar", num_attention_heads=2),
        dict(cross_attn_norm=False),
        dict(text_dim=16, freq_dim=32, ffn_dim=40, num_layers=3),
        dict(in_channels=4, out_channels=4),
    ],
    ids=str,
)
def test_architecture_from_shapes(tmp_path, settings):
    """Without metadata heads are 128 wide, the rest is seen in the tensors."""
    head = dict(num_attention_heads=1, attention_head_dim=128, rope_dim=(44, 42, 42), num_layers=1)
    theirs, ours = models(**{**head, **settings})
    checkpoint = load_checkpoint(write_file(tmp_path / "x.safetensors", layout(theirs, ours, "repack")))
    assert checkpoint.metadata == {}
    assert_is(checkpoint, ours)


def test_head_size_of_metadata_wins_over_the_default(tmp_path):
    theirs, ours = models(num_attention_heads=4, attention_head_dim=32, rope_dim=(12, 10, 10), num_layers=1)
    told = load_checkpoint(
        write_file(tmp_path / "a.safetensors", layout(theirs, ours, "ours"), config=config_json(theirs))
    )
    guessed = load_checkpoint(write_file(tmp_path / "b.safetensors", layout(theirs, ours, "ours")))
    assert_is(told, ours)
    assert (told.config.num_attention_heads, guessed.config.num_attention_heads) == (4, 1)
    assert guessed.config.rope_dim == HeliosConfig().rope_dim


def test_config_json_of_another_folder_is_not_taken(tmp_path, wide):
    """Beside a single file it may be anybody's."""
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "Other", "num_layers": 7}))
    file = write_file(tmp_path / "x.safetensors", layout(*wide, "repack"))
    assert_is(load_checkpoint(file), wide[1])


def variant_of(tmp_path, small, name, **metadata):
    file = tmp_path / name
    write_file(file, layout(*small, "ours"), config=config_json(small[0]), **metadata)
    return load_checkpoint(file).variant


@pytest.mark.parametrize(
    "name,variant",
    [
        ("helios_distilled_bf16.safetensors", "distilled"),
        ("Helios-Mid.safetensors", "mid"),
        ("HELIOS-BASE-fp8_scaled.safetensors", "base"),
        ("helios.base.safetensors", "base"),
        ("Helios-Mid/model.safetensors", "mid"),
        ("Helios-Mid/helios-distilled.safetensors", "distilled"),
        ("helios.safetensors", None),
        ("helios_mid_from_base.safetensors", None),
        ("baseline_helios.safetensors", None),
        ("midnight.safetensors", None),
        ("undistilled.safetensors", None),
    ],
)
def test_variant_from_names(tmp_path, small, name, variant):
    assert variant_of(tmp_path / "models", small, name) == variant


@pytest.mark.parametrize("variant", VARIANTS)
def test_variant_from_metadata(tmp_path, small, variant):
    """It wins over the file's name; nonsense in it counts as nothing."""
    assert variant_of(tmp_path, small, "helios_base.safetensors", helios_variant=variant or "?") == (variant or "base")
    assert variant_of(tmp_path, small, "x.safetensors", helios_variant=variant or "?") == variant
    assert variant_of(tmp_path, small, "y.safetensors", **{"modelspec.title": f"Helios {variant}"}) == variant


@pytest.mark.parametrize("name,variant", [("Helios-Distilled", "distilled"), ("helios-mid", "mid"), ("helios", None)])
def test_variant_from_folder_names(tmp_path, small, name, variant):
    write_shards(tmp_path / "models" / name, layout(*small, "diffusers"), config=config_json(small[0]))
    assert load_checkpoint(tmp_path / "models" / name).variant == variant


SCALES = ["weight_scale", "scale_weight", "input_scale", "scale_input", "comfy_quant"]


@pytest.mark.parametrize("prefix", PREFIXES[:2])
@pytest.mark.parametrize("name", ["diffusers", "repack", "ours"])
def test_quantized(tmp_path, small, name, prefix):
    """fp8 weights and their scales arrive under the layer's new name."""
    theirs, ours = small
    tensors = layout(theirs, ours, name, prefix)
    q = next(k for k in tensors if rename_key(k) == "blocks.1.self_attn.q.weight")
    up = next(k for k in tensors if rename_key(k) == "blocks.0.ffn.0.weight")
    extra = {}
    for key in (q, up):
        tensors[key] = tensors[key].to(torch.float8_e4m3fn)
        extra |= {f"{key.removesuffix('weight')}{scale}": torch.full((1,), 0.5) for scale in SCALES}
    extra[f"{prefix}scaled_fp8"] = torch.zeros(0)
    checkpoint = load_checkpoint(
        write_file(tmp_path / "x.safetensors", {**tensors, **extra}, config=config_json(theirs))
    )
    assert checkpoint.tensors["blocks.1.self_attn.q.weight"].dtype == torch.float8_e4m3fn
    assert checkpoint.tensors.keys() - ours.state_dict().keys() == {
        "scaled_fp8",
        *(f"blocks.1.self_attn.q.{scale}" for scale in SCALES),
        *(f"blocks.0.ffn.0.{scale}" for scale in SCALES),
    }


@pytest.mark.parametrize("dtype,packed", [(torch.uint8, True), (torch.int8, True), (torch.float16, False)], ids=str)
def test_packed_weights_may_be_narrower(tmp_path, parts, dtype, packed):
    tensors, metadata = parts
    halved = tensors["blocks.0.ffn.0.weight"][:, ::2].to(dtype).contiguous()
    file = write_file(tmp_path / "x.safetensors", {**tensors, "blocks.0.ffn.0.weight": halved}, **metadata)
    if packed:
        assert load_checkpoint(file).tensors["blocks.0.ffn.0.weight"].shape == halved.shape
    else:
        with pytest.raises(ValueError, match=r"has shape"):
            load_checkpoint(file)


def test_unused_tensors_of_the_reference_are_dropped(tmp_path, small):
    tensors = layout(*small, "diffusers")
    tensors["blocks.0.attn2.norm_added_q.weight"] = torch.zeros(48)
    assert_is(load_checkpoint(write_file(tmp_path / "x.safetensors", tensors, config=config_json(small[0]))), small[1])


def test_reader_of_a_host(tmp_path, small):
    file = write_file(tmp_path / "x.safetensors", {"a": torch.zeros(1)})
    asked = []

    def read(path):
        asked.append(path)
        return layout(*small, "diffusers"), {"config": config_json(small[0]), "helios_variant": "mid"}

    checkpoint = load_checkpoint(file, read=read)
    assert asked == [file] and checkpoint.variant == "mid"
    assert_is(checkpoint, small[1])


# What is said of files that are none. Each case writes something below a folder and returns (path, message).


def truncated(folder, tensors, metadata):
    file = write_file(folder / "x.safetensors", tensors, **metadata)
    file.write_bytes(file.read_bytes()[:-100])
    size = file.stat().st_size
    return (
        file,
        ValueError,
        rf"^x\.safetensors: damaged or not a safetensors file \({size} bytes; .*Download it anew\.$",
    )


def truncated_shard(folder, tensors, metadata):
    write_shards(folder, tensors, config=metadata["config"])
    shard = sorted(folder.glob("*.safetensors"))[1]
    shard.write_bytes(shard.read_bytes()[:1000])
    return folder, ValueError, r"^diffusion_pytorch_model-00002-of-00003\.safetensors: damaged .*1000 bytes"


def not_safetensors(folder, tensors, metadata):
    torch.save(tensors, folder / "x.safetensors")
    return folder / "x.safetensors", ValueError, r"^x\.safetensors: damaged or not a safetensors file \(\d+ bytes; "


def empty_file(folder, tensors, metadata):
    (folder / "x.safetensors").touch()
    return folder / "x.safetensors", ValueError, r"^x\.safetensors: damaged or not a safetensors file \(0 bytes; "


def web_page(folder, tensors, metadata):
    (folder / "x.safetensors").write_text("<!DOCTYPE html><html><body>Access denied</body></html>")
    return folder / "x.safetensors", ValueError, r"^x\.safetensors: damaged or not a safetensors file \(54 bytes; "


def missing_shard(folder, tensors, metadata):
    write_shards(folder, tensors, config=metadata["config"])
    sorted(folder.glob("*.safetensors"))[1].unlink()
    message = (
        r"^diffusion_pytorch_model\.safetensors\.index\.json: 1 of 3 shards are not in .*: "
        r"diffusion_pytorch_model-00002-of-00003\.safetensors\. Download them into the same folder\.$"
    )
    return folder, FileNotFoundError, message


def missing_keys(folder, tensors, metadata):
    fewer = {k: t for k, t in tensors.items() if not k.startswith("blocks.1.ffn.2")}
    file = write_file(folder / "x.safetensors", fewer, **metadata)
    message = r"^x\.safetensors: 2 tensors are missing \(blocks\.1\.ffn\.2\.bias, blocks\.1\.ffn\.2\.weight\)"
    return file, ValueError, message


def many_missing_keys(folder, tensors, metadata):
    fewer = {k: t for k, t in tensors.items() if not k.startswith("blocks.1.")}
    message = r"^x\.safetensors: 27 tensors are missing \((blocks\.1\.[\w.]+, ){5}\.\.\.\)\. Download it"
    return write_file(folder / "x.safetensors", fewer, **metadata), ValueError, message


def foreign_keys(folder, tensors, metadata):
    more = {**tensors, "img_emb.proj.0.weight": torch.zeros(1), "blocks.0.cross_attn.k_img.weight": torch.zeros(1)}
    message = (
        r"^x\.safetensors: 2 tensors are not Helios' \(blocks\.0\.cross_attn\.k_img\.weight, "
        r"img_emb\.proj\.0\.weight\)\.$"
    )
    return write_file(folder / "x.safetensors", more, **metadata), ValueError, message


def another_model(folder, tensors, metadata):
    file = write_file(folder / "x.safetensors", {f"double_blocks.{i}.weight": torch.zeros(1) for i in range(9)})
    message = (
        r"^x\.safetensors: not a whole Helios transformer \(patch_embedding\.weight, .* missing; it has "
        r"(double_blocks\.\d\.weight, ){5}\.\.\.\)\. Choose the transformer of a Helios "
        r"checkpoint, or download it anew\.$"
    )
    return file, ValueError, message


def another_class(folder, tensors, metadata):
    config = json.loads(metadata["config"]) | {"_class_name": "WanTransformer3DModel"}
    write_shards(folder, tensors, config=json.dumps(config))
    message = r"config\.json describes a WanTransformer3DModel; a HeliosTransformer3DModel is needed$"
    return folder, ValueError, message


def wan(folder, tensors, metadata):
    fewer = {k: t for k, t in tensors.items() if not k.startswith(("patch_short", "patch_mid", "patch_long"))}
    message = (
        r"^x\.safetensors: a Wan model without Helios' history patches \(patch_long\.weight is missing\)\. "
        r"Load it with ComfyUI's own Load Diffusion Model, or choose a Helios checkpoint here\.$"
    )
    return write_file(folder / "x.safetensors", fewer), ValueError, message


def wrong_shape(folder, tensors, metadata):
    other = {**tensors, "blocks.1.cross_attn.k.weight": torch.zeros(48, 47)}
    message = (
        r"^x\.safetensors: blocks\.1\.cross_attn\.k\.weight has shape \(48, 47\), "
        r"its architecture needs \(48, 48\)\.$"
    )
    return write_file(folder / "x.safetensors", other, **metadata), ValueError, message


def wrong_table(folder, tensors, metadata):
    other = {**tensors, "blocks.1.modulation.weight": torch.zeros(5, 48)}
    message = r"^x\.safetensors: blocks\.1\.modulation\.weight has shape \(5, 48\), its architecture needs \(6, 48\)\.$"
    return write_file(folder / "x.safetensors", other, **metadata), ValueError, message


def two_files_and_no_index(folder, tensors, metadata):
    for name in "ab":
        write_file(folder / "helios" / f"{name}.safetensors", tensors, **metadata)
    message = (
        r"^helios: 2 \.safetensors files and no index \(a\.safetensors, b\.safetensors\)\. "
        r"Choose one of them, or add its model\.safetensors\.index\.json\.$"
    )
    return folder / "helios", ValueError, message


def empty_folder(folder, tensors, metadata):
    (folder / "helios").mkdir()
    return folder / "helios", FileNotFoundError, r"helios: no \.safetensors file in this folder$"


def broken_index(folder, tensors, metadata):
    write_shards(folder, tensors).write_text('{"weight_map": {')
    return (
        folder,
        ValueError,
        r"diffusion_pytorch_model\.safetensors\.index\.json: not valid JSON \(.*Download it anew\.$",
    )


def broken_config(folder, tensors, metadata):
    write_shards(folder, tensors, config="{'num_layers': 2}")
    return folder, ValueError, r"config\.json: not valid JSON \(.*Download it anew\.$"


def binary_config(folder, tensors, metadata):
    write_shards(folder, tensors)
    (folder / "config.json").write_bytes(b"\xff\xfe\x00{")
    return folder, ValueError, r"config\.json: not valid JSON \("


def broken_model_index(folder, tensors, metadata):
    write_shards(folder / "transformer", tensors, config=metadata["config"])
    (folder / "model_index.json").write_text("")
    return folder, ValueError, r"model_index\.json: not valid JSON \("


@pytest.mark.parametrize(
    "case",
    [
        truncated,
        truncated_shard,
        not_safetensors,
        empty_file,
        web_page,
        missing_shard,
        missing_keys,
        many_missing_keys,
        foreign_keys,
        another_model,
        another_class,
        wan,
        wrong_shape,
        wrong_table,
        two_files_and_no_index,
        empty_folder,
        broken_index,
        broken_config,
        binary_config,
        broken_model_index,
    ],
    ids=lambda case: case.__name__,
)
def test_errors(tmp_path, parts, case):
    path, kind, message = case(tmp_path, *parts)
    with pytest.raises(kind, match=message):
        load_checkpoint(path)


@pytest.mark.parametrize("evil", ["../../evil.safetensors", "/{}/evil.safetensors", "..", "a/../../evil.safetensors"])
def test_an_index_cannot_leave_its_folder(tmp_path, parts, evil):
    tensors, metadata = parts
    outside = write_file(tmp_path / "evil.safetensors", tensors, **metadata)
    folder = tmp_path / "models" / "helios"
    folder.mkdir(parents=True)
    name = evil.format(outside.parent)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {k: name for k in tensors}}))
    with pytest.raises(FileNotFoundError, match=r"^model\.safetensors\.index\.json: 1 of 1 shards are not in "):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    "changes,message",
    [
        (
            dict(rope_dim=(44, 42, 40)),
            r"^rope_dim=\(44, 42, 40\): three even .*=128 .* \(44, 42, 42\)$",
        ),
        (dict(rope_dim=(43, 43, 42)), r"^rope_dim=\(43, 43, 42\): three even numbers"),
        (dict(history_scale_mode="all"), r"^history_scale_mode='all': use 'per_head' or 'scalar'$"),
    ],
)
def test_architectures_that_cannot_be(changes, message):
    with pytest.raises(ValueError, match=message):
        HeliosConfig(**changes)


MEASURE = """
import sys
import helios_core, torch

def status(name):
    return int(next(line for line in open("/proc/self/status") if line.startswith(name)).split()[1])

def mapped(address):
    return any(int(a, 16) <= address < int(b, 16) and line.rstrip().endswith(".safetensors")
               for line in open("/proc/self/maps") for a, b in [line.split()[0].split("-")])

helios_core.HeliosTransformer(helios_core.HeliosConfig(num_layers=1), device="meta")  # torch loads much for the first
anonymous, resident = status("RssAnon"), status("VmRSS")
checkpoint = helios_core.load_checkpoint(sys.argv[1])
print(all(mapped(t.data_ptr()) for t in checkpoint.tensors.values()))
print(status("RssAnon") - anonymous, status("VmHWM") - resident)
for tensor in checkpoint.tensors.values():
    tensor.view(torch.uint8).max()
print(status("RssAnon") - anonymous, status("VmHWM") - resident)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux' /proc")
def test_loading_maps_the_files(tmp_path):
    """More than 200 MB in shards: nothing is copied, neither by loading nor by reading every byte."""
    config = HeliosConfig(num_attention_heads=8, ffn_dim=4096, num_layers=3, text_dim=1024)
    shapes = {k: t.shape for k, t in HeliosTransformer(config, device="meta").state_dict().items()}
    tensors = {f"transformer.{k}": torch.zeros(shape) for k, shape in shapes.items()}
    write_shards(tmp_path, tensors, config=json.dumps(vars(config)))
    del tensors
    size = sum(f.stat().st_size for f in tmp_path.glob("*.safetensors")) / 1024
    assert size > 200 * 1024
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, tmp_path],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    for file in tmp_path.glob("*.safetensors"):
        file.unlink()
    all_mapped, anonymous, peak, anonymous_after_reading, peak_after_reading = run.stdout.split()
    assert all_mapped == "True"
    assert int(anonymous) < 0.05 * size and int(anonymous_after_reading) < 0.05 * size
    assert int(peak) < 0.2 * size
    assert 0.9 * size < int(peak_after_reading) < 1.1 * size


@pytest.mark.parametrize("key", ["head.head.weight", "text_embedding.0.weight", "time_embedding.0.weight"])
def test_missing_tensors_that_the_architecture_is_read_from(tmp_path, parts, key):
    tensors, metadata = parts
    file = write_file(tmp_path / "x.safetensors", {k: t for k, t in tensors.items() if k != key}, **metadata)
    with pytest.raises(ValueError, match=rf"^x\.safetensors: not a whole Helios transformer \({key} missing"):
        load_checkpoint(file)


def test_a_missing_file_is_not_replaced_by_its_neighbour(tmp_path, parts):
    tensors, metadata = parts
    write_file(tmp_path / "helios_base.safetensors", tensors, **metadata)
    for path in (tmp_path / "helios_mid.safetensors", tmp_path / "nowhere" / "x.safetensors"):
        with pytest.raises(FileNotFoundError, match=f"{path.name}: there is no such file or folder$"):
            load_checkpoint(path)


@pytest.mark.parametrize(
    "config, message",
    [
        ("[]", "a JSON object is needed, not list"),
        ("{broken", "not valid JSON"),
        ('{"attention_head_dim": 0}', "attention_head_dim=0 in its configuration"),
        ('{"attention_head_dim": null}', "attention_head_dim=None in its configuration"),
        ('{"rope_dim": null}', "rope_dim=None: a value like"),
        ('{"num_layers": "2"}', "num_layers='2': a value like 40"),
        ('{"num_layers": 0}', "must be 1 or more"),
        ('{"num_layers": 3}', "its own"),
    ],
    ids=str,
)
def test_configurations_that_cannot_be(tmp_path, parts, config, message):
    file = write_file(tmp_path / "x.safetensors", parts[0], config=config)
    with pytest.raises(ValueError, match=rf"^x\.safetensors.*{message}"):
        load_checkpoint(file)


@pytest.mark.parametrize("index", ["[]", "{}", '{"weight_map": []}', '{"weight_map": {}}', '{"weight_map": {"a": 3}}'])
def test_indices_that_cannot_be(tmp_path, index):
    (tmp_path / "x.safetensors.index.json").write_text(index)
    with pytest.raises(ValueError, match=r"x\.safetensors\.index\.json: (no weight_map|a JSON object)"):
        load_checkpoint(tmp_path)


def test_metadata_goes_before_model_index(tmp_path, parts):
    tensors, metadata = parts
    folder = tmp_path / "Helios-Mid" / "transformer"
    folder.mkdir(parents=True)
    write_file(folder / "x.safetensors", tensors, **metadata, helios_variant="distilled")
    (folder.parent / "model_index.json").write_text('{"_class_name": "HeliosPipeline"}')
    assert load_checkpoint(folder.parent).variant == "distilled"


def cache_folder(root, tensors, config, revision="5f3a", main=True):
    """A download as the Hugging Face hub caches it: links below snapshots/ to blobs named by their hashes."""
    cache = root / "models--BestWishYsh--Helios-Distilled"
    real, folder = cache / "real", cache / "snapshots" / revision / "transformer"
    write_shards(real, tensors, config=config)
    folder.mkdir(parents=True)
    (cache / "blobs").mkdir(exist_ok=True)
    for number, file in enumerate(sorted(real.iterdir())):
        blob = file.rename(cache / "blobs" / f"{revision}{number}")
        (folder / file.name).symlink_to(Path("../../../blobs") / blob.name)
    real.rmdir()
    if main:
        (cache / "refs").mkdir(exist_ok=True)
        (cache / "refs" / "main").write_text(revision)
    return cache


def test_hugging_face_cache_folder(tmp_path, small):
    """The whole of it, a revision or a file of one: the variant is in the cache folder's name."""
    cache = cache_folder(tmp_path, layout(*small, "diffusers"), config_json(small[0]))
    revision = cache / "snapshots" / "5f3a"
    index = revision / "transformer" / "diffusion_pytorch_model.safetensors.index.json"
    for path in (cache, revision, revision / "transformer", index):
        checkpoint = load_checkpoint(path)
        assert_is(checkpoint, small[1])
        assert checkpoint.variant == "distilled"


@pytest.mark.parametrize("main", [True, False])
def test_the_main_revision_of_a_cache_folder_else_the_newest(tmp_path, small, main):
    theirs, ours = small
    tensors = layout(theirs, ours, "diffusers")
    cache_folder(tmp_path, {k: torch.zeros_like(t) for k, t in tensors.items()}, config_json(theirs), "0", main=False)
    cache = cache_folder(tmp_path, tensors, config_json(theirs), "1", main)
    os.utime(cache / "snapshots" / ("0" if main else "1"), (2e9, 2e9))
    assert_is(load_checkpoint(cache), ours)


def test_a_shard_stands_for_its_folder(tmp_path, small):
    index = write_shards(tmp_path / "helios", layout(*small, "diffusers"), config=config_json(small[0]))
    shard = sorted(index.parent.glob("*.safetensors"))[1]
    assert_is(load_checkpoint(shard), small[1])
    index.unlink()
    with pytest.raises(ValueError, match=r"^diffusion_pytorch_model-00002-of-00003\.safetensors: not a whole Helios"):
        load_checkpoint(shard)


def pipe(path):
    os.mkfifo(path)
    return ValueError, "this is a named pipe, a file is needed"


def unix_socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))  # 107 bytes at most
    return ValueError, "this is a socket, a file is needed"


def device(path):
    path.symlink_to("/dev/zero")
    return ValueError, "this is a device, a file is needed"


def directory(path):
    path.mkdir()
    return FileNotFoundError, "no .safetensors file in this folder"


def broken_link(path):
    path.symlink_to("nowhere")
    return FileNotFoundError, "a link to a file that is not there"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="kinds of files that this system does not have")
@pytest.mark.parametrize("kind", [pipe, unix_socket, device, directory, broken_link], ids=lambda kind: kind.__name__)
def test_what_is_no_file(tmp_path, parts, kind, monkeypatch):
    """Said at once, wherever it lies; opening a named pipe would wait for ever."""
    monkeypatch.chdir(tmp_path)
    error, message = kind(tmp_path / "x.safetensors")
    with pytest.raises(error, match=rf"x\.safetensors: {re.escape(message)}"):
        load_checkpoint(tmp_path / "x.safetensors")
    if kind is directory:
        return
    tensors, metadata = parts
    folder = tmp_path / "beside"
    write_file(folder / "model.safetensors", tensors, **metadata)
    kind(folder / "x.safetensors")  # not counted as a file
    load_checkpoint(folder)
    if kind is broken_link:
        return
    for name in ("config.json", "model.safetensors.index.json"):
        folder = tmp_path / f"of {name}"
        write_file(folder / "model.safetensors", tensors)
        kind(folder / name)
        with pytest.raises(error, match=rf"^{re.escape(name)}: {re.escape(message)}"):
            load_checkpoint(folder)


def large_index(folder, tensors, config):
    index = write_shards(folder, tensors, config=config)
    index.write_text(json.dumps({"weight_map": {f"blocks.{i}.weight": "x.safetensors" for i in range(2 * 10**5)}}))
    return folder, r"index\.json: \d+ MB, more than 4"


def large_config(folder, tensors, config):
    write_shards(folder, tensors, config='{"x": "' + "y" * 5 * 2**20 + '"}')
    return folder, r"config\.json: 5 MB, more than 4"


def endless_nesting(folder, tensors, config):
    write_shards(folder, tensors, config="[" * 10**6)
    return folder, r"config\.json: not valid JSON"


def many_tensors(folder, tensors, config):
    more = {f"blocks.{i}.x": torch.zeros(0) for i in range(20_001)}
    return write_file(folder / "x.safetensors", more), r"^x\.safetensors: 20001 tensors in it, more than 20000"


def header_of(size):
    """A file whose header claims so many bytes."""

    def case(folder, tensors, config):
        file = folder / "x.safetensors"
        file.write_bytes(size.to_bytes(8, "little") + b"{}" + b" " * 100)
        return file, r"^x\.safetensors: damaged or not a safetensors file \(110 bytes"

    case.__name__ = f"header of {size}"
    return case


def large_header(folder, tensors, config):
    file = folder / "x.safetensors"
    with open(file, "wb") as f:
        f.write((40 * 2**20).to_bytes(8, "little") + b'{"')
        f.truncate(48 * 2**20)
    return file, r"^x\.safetensors: its header takes 40 MB, more than 32"


def layer_of_a_billion(folder, tensors, config):
    file = write_file(folder / "x.safetensors", {**tensors, "blocks.999999998.x": torch.zeros(1)})
    return file, r"^x\.safetensors: 999999999 layers, more than 200"


def sizes(message=None, **settings):
    def case(folder, tensors, config):
        write_shards(folder, tensors, config=json.dumps({**json.loads(config), **settings}))
        (name, value), *_ = settings.items()
        return folder, message or rf"its configuration has {name}={re.escape(str(value))}, its tensors {name}="

    case.__name__ = str(settings)
    return case


@pytest.mark.parametrize(
    "case",
    [
        large_index,
        large_config,
        endless_nesting,
        many_tensors,
        *map(header_of, (10**3, 2**31, 2**62, 2**64 - 1)),
        large_header,
        layer_of_a_billion,
        sizes(num_layers=10**9, message="1000000000 layers, more than 200"),
        sizes(num_layers=10**30, message="layers, more than 200"),
        sizes(attention_head_dim=10**9, message="attention_head_dim=1000000000 in its configuration"),
        *(sizes(**{k: 10**9}) for k in ("in_channels", "out_channels", "text_dim", "freq_dim", "ffn_dim")),
        sizes(num_attention_heads=10**9),
        sizes(patch_size=[10**9, 1, 1], message="patch_size=.1000000000, 1, 1., its tensors patch_size="),
        sizes(patch_size=[1, "2", 2], message="patch_size and rope_dim have three whole numbers"),
        sizes(rope_dim=[-8, 8, 24], message="patch_size and rope_dim have three whole numbers"),
        sizes(eps=0.0, message="positive numbers are needed"),
        sizes(rope_theta=float("nan"), message="positive numbers are needed"),
        sizes(rope_theta=float("inf"), message="positive numbers are needed"),
    ],
    ids=lambda case: case.__name__,
)
def test_absurd_sizes_are_refused_at_once(tmp_path, small, case):
    path, message = case(tmp_path, layout(*small, "diffusers"), config_json(small[0]))
    begin = time.monotonic()
    with pytest.raises(ValueError, match=message):
        load_checkpoint(path)
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize("key", ["patch_embedding", "text_embedding.0", "time_embedding.0", "blocks.0.ffn.0"])
@pytest.mark.parametrize("shape", [(), (48,), (48, 0), (48, 16, 0, 2, 2)], ids=str)
def test_shapes_that_tell_nothing(tmp_path, parts, key, shape):
    tensors, metadata = parts
    other = {**tensors, f"{key}.weight": torch.zeros(shape)}
    with pytest.raises(ValueError, match=rf"^x\.safetensors: {key}\.weight has shape .* dimensions"):
        load_checkpoint(write_file(tmp_path / "x.safetensors", other, **metadata))


def test_versions_of_files(tmp_path, small):
    """Another size or time is another version; they are taken before the tensors are read."""
    index = write_shards(tmp_path / "helios", layout(*small, "diffusers"), config=config_json(small[0]))
    shard = sorted(index.parent.glob("*.safetensors"))[1]
    checkpoint = load_checkpoint(index.parent)
    assert checkpoint.file_versions == file_versions(checkpoint.files)
    assert checkpoint.file_versions[1][:2] == (f"helios/{shard.name}", shard.stat().st_size)
    os.utime(shard, ns=(0, shard.stat().st_mtime_ns + 1))
    assert checkpoint.file_versions != file_versions(checkpoint.files)
