"""Parts of the host's room that no graph shows, called in ComfyUI's Python."""

import json

from host_python import run_with_host

CODE = """
import types
from pack.helios_core import HistoryMemory
from pack.nodes.host.vae import check_vae
from pack.nodes.host.video_input import trim
from pack.nodes.report import HeliosFilmReport

said, found = [], {}
with host.new_output("film", ".mp4", 64, 64) as (one, _), host.new_output("film", ".mp4", 64, 64) as (two, _):
    found["names"] = [one.name, two.name]
    one.write_bytes(b"a film")
found["kept"] = [one.exists(), two.exists()]

class Broken:
    latent_channels = 16
    def decode(self, latents):
        raise RuntimeError("out of memory")

memory = HistoryMemory.empty(64, 64)
memory = type(memory)(memory.frames, memory.frames[:, :, :1], chunk=3, seed=1, variant="base",
                      log=tuple({"chunk": k, "prompt": f"shot {k}"} for k in range(3)))
found["picture"] = list(host.memory_picture(memory, Broken(), said.append).shape)
try:
    check_vae(types.SimpleNamespace(latent_channels=4))
except ValueError as error:
    said.append(str(error))

class Video:
    _VideoFromFile__start_time, _VideoFromFile__duration = -1.5, 1.0
    def get_duration(self):
        return 4.0

found["trim"] = trim(Video())
for chunks in (2, 3, 4):
    report = HeliosFilmReport.execute(video=torch.rand(33 * chunks, 64, 64, 3), memory=memory).result[1]
    found[f"report of {chunks}"] = [row["prompt"] for row in json.loads(report)["chunks"]]
print(json.dumps([said, found]))
"""


def test_parts(comfy_path, tmp_path):
    said, found = json.loads(run_with_host(comfy_path, CODE, base=tmp_path))
    assert found["names"] == ["film_00001_.mp4", "film_00002_.mp4"] and found["kept"] == [True, False]
    assert found["picture"] == [1, 64, 64, 3] and "VAE could not decode it (out of memory)" in said[0]
    assert said[1] == "vae: this VAE's latents have 4 channels, Helios' have 16; choose the Wan 2.1 VAE."
    assert found["trim"] == [2.5, 1.0]
    assert found["report of 2"] == ["shot 1", "shot 2"] and found["report of 3"] == ["shot 0", "shot 1", "shot 2"]
    assert not any(found["report of 4"])  # a longer video: which of its chunks are the memory's cannot be known
