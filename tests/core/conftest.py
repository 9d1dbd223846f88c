"""Matrices this small are slower on two threads than on one, and much slower where others use the machine too."""

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def forks():
    """What processes are forked from begins to import, while other tests go on."""
    from processes import get_ready

    get_ready()


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A folder as the demo's: transformer/, text_encoder.safetensors, vae.safetensors."""
    from students import student
    from training.export import save_text, save_transformer, save_vae
    from training.text import TOKENS
    from training.vae import make_vae

    folder = tmp_path_factory.mktemp("models") / "Helios-Distilled-tiny"
    new = student()
    save_transformer(new.transformer, folder / "transformer")
    save_text(new.text, new.tokenizer.serialized_model_proto(), TOKENS, folder / "text_encoder.safetensors")
    save_vae(make_vae(4), folder / "vae.safetensors")
    return folder
