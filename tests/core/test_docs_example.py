"""What docs/engineering.md shows of Python runs as it stands there, with the demo in place of the 14B."""

import re
from pathlib import Path

import torch

from helios_core.files import demo_folder
from helios_core.media.text_encoder import TextEncoder

PAGE = Path(__file__).parents[2] / "docs" / "engineering.md"
IN_PLACE = {
    '"Helios-Distilled"': "folder",
    '"cuda"': '"cpu"',
    "torch.bfloat16": "torch.float32",
    "640, 384": "192, 128",
    "end=8": "end=2",
    "...  #": "made.append(record.latents)  #",
}


def test_the_example_makes_a_film():
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.S | re.M)
    for shown, tried in IN_PLACE.items():
        assert shown in code
        code = code.replace(shown, tried)
    made, text = [], TextEncoder(demo_folder() / "text_encoder.safetensors")
    exec(code, {"folder": demo_folder(), "made": made, "text_embedding": text("A red star.")})
    assert [latents.shape for latents in made] == 2 * [(1, 16, 9, 16, 24)]
    assert all(torch.isfinite(latents).all() and latents.std() > 0.1 for latents in made)
