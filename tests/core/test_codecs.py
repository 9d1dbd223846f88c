"""Texts and pictures in and out, from files in the layouts that people have."""

import re
import shutil
from functools import partial

import pytest
import sentencepiece
import torch
from safetensors.torch import load_file, save_file

from helios_core.film.beginning import encode_image
from helios_core.media.codecs import VideoCodec
from helios_core.media.text_encoder import TextEncoder


def test_codecs(model):
    """Texts end in zeros; a window of frames has latents in model space, and comes back in its size."""
    text = TextEncoder(model / "text_encoder.safetensors")
    short, long = text("A red star."), text("A red star moves left. " * 40)
    assert short.shape == (1, 64, 64) and short[0, :4].abs().amin(0).max() > 0 and not short[0, 10:].any()
    assert long.shape[1] > 64
    table = text.encoder.shared.weight.shape  # 2 GB of the real one's: there once
    assert [tensor.shape for tensor in text.encoder.parameters()].count(table) == 1
    codec, frames = VideoCodec(model / "vae.safetensors", dtype=torch.float32), torch.rand(33, 64, 96, 3)
    latents = codec.encode(frames)
    assert latents.shape == (1, 16, 9, 8, 12) and codec.decode(latents).shape == frames.shape
    first, last = encode_image(codec.encode, frames[:1])
    assert torch.allclose(first, latents[:, :, :1], atol=1e-4) and last.shape == first.shape


def test_a_text_encoder_in_scaled_fp8(model, tmp_path):
    """As ComfyUI packs the real one: each matrix has a scale of its own."""
    path, tensors = tmp_path / "t.safetensors", load_file(model / "text_encoder.safetensors")
    for key in [key for key in tensors if ".layer.1.DenseReluDense" in key]:
        scale = tensors[key].float().abs().max() / 448
        tensors[key] = (tensors[key].float() / scale).to(torch.float8_e4m3fn)
        tensors[key.removesuffix("weight") + "scale_weight"] = scale
    save_file(tensors | {"scaled_fp8": torch.zeros(0, dtype=torch.float8_e4m3fn)}, path, {"tokens": "64"})
    small, whole = (TextEncoder(p)("A red star.") for p in (path, model / "text_encoder.safetensors"))
    assert 0 < (small - whole).norm() / whole.norm() < 0.1


def test_exported_latents_are_wans():
    """Moving the latents to Wan's mean and std changes neither what is encoded, in model space, nor what is decoded."""
    from training.export import as_wan_latents
    from training.vae import make_vae

    torch.manual_seed(0)
    vae, video = make_vae(4), torch.rand(1, 3, 5, 32, 32) * 2 - 1
    mean, std = torch.randn(16), torch.rand(16) + 0.5
    with torch.inference_mode():
        latents = vae.encode(video).latent_dist.mean
        out = vae.decode(latents).sample
        as_wan_latents(vae, mean, std)
        moved = vae.encode(video).latent_dist.mean
        again = vae.decode(moved).sample
    row = partial(torch.reshape, shape=(1, 16, 1, 1, 1))
    wan_mean, wan_std = (torch.tensor(v) for v in (vae.config.latents_mean, vae.config.latents_std))
    want = (latents - row(mean)) / row(std)
    assert torch.allclose((moved - row(wan_mean)) / row(wan_std), want, atol=1e-4)
    assert torch.allclose(again, out, atol=1e-4)


@pytest.fixture
def pipeline(model, tmp_path):
    """The same text encoder and VAE as folders of a diffusers pipeline, the encoder in two files."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    for name in ("text_encoder", "tokenizer"):
        (tmp_path / name).mkdir()
    text = load_file(model / "text_encoder.safetensors")
    pieces = text.pop("spiece_model")
    words = sentencepiece.SentencePieceProcessor(model_proto=pieces.numpy().tobytes())
    scores = [(words.id_to_piece(i), words.get_score(i)) for i in range(words.get_piece_size())]
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=words.unk_id()))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.save(str(tmp_path / "tokenizer" / "tokenizer.json"))
    (tmp_path / "tokenizer" / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    for i in (0, 1):
        part = {key: tensor for n, (key, tensor) in enumerate(sorted(text.items())) if n % 2 == i}
        save_file(part, tmp_path / "text_encoder" / f"model-0000{i + 1}-of-00002.safetensors")
    VideoCodec(model / "vae.safetensors", dtype=torch.float32).vae.save_pretrained(tmp_path / "vae")
    return tmp_path


def test_folders_of_a_pipeline(model, pipeline):
    """They are what the single files are; prompts are filled up to 512 tokens, as Helios' own."""
    whole, folder = TextEncoder(model / "text_encoder.safetensors"), TextEncoder(pipeline / "text_encoder")
    whole._tokenize = folder._tokenize  # in the test of another kind
    text = folder("A red star.")
    assert text.shape[1] == 512 and torch.allclose(text[:, :64], whole("A red star."), atol=1e-5)
    assert text[0, :4].abs().amin(0).max() > 0 and not text[0, 20:].any()
    latents = torch.randn(1, 16, 9, 4, 4)
    vaes = [VideoCodec(path, dtype=torch.float32) for path in (model / "vae.safetensors", pipeline / "vae")]
    assert torch.equal(*(vae.decode(latents) for vae in vaes))


@pytest.mark.parametrize(
    "what, kind, needed",
    [
        ("text_encoder", TextEncoder, "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"),
        ("text_encoder", TextEncoder, "encoder.final_layer_norm.weight"),
        ("vae", VideoCodec, "decoder.conv_in.weight"),
        ("vae", VideoCodec, "encoder.conv_in.weight"),
    ],
)
def test_what_is_not_whole_is_refused(pipeline, what, kind, needed):
    """By its name: a cut file, one without a tensor, an empty folder."""
    folder = pipeline / what
    file = next(p for p in folder.glob("*.safetensors") if needed in load_file(p))
    whole = file.read_bytes()
    file.write_bytes(whole[:-50])
    with pytest.raises(ValueError, match=f"{file.name}: damaged"):
        kind(folder)
    file.write_bytes(whole)
    save_file({key: tensor for key, tensor in load_file(file).items() if key != needed}, file)
    with pytest.raises(ValueError, match=rf"^{what}: .*{re.escape(needed)}"):
        kind(folder)
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match="there is no .safetensors file"):
        kind(folder)


def test_another_model_is_refused(model, pipeline):
    transformer = model / "transformer"
    shutil.copytree(transformer, pipeline / "transformer")
    for kind, said in ((TextEncoder, "not a UMT5"), (VideoCodec, "not a Wan 2.1 VAE")):
        with pytest.raises(ValueError, match=said):
            kind(pipeline / "transformer")
    shutil.rmtree(pipeline / "tokenizer")
    with pytest.raises(FileNotFoundError, match="tokenizer"):
        TextEncoder(pipeline / "text_encoder")
