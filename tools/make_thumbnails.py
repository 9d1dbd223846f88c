"""Make the pictures of workflows/: films of the demo, or what a workflow does as a drawing.

    python tools/make_thumbnails.py FOLDER [NAME ...]

The demo's workflows are run as they ship, and their films kept in FOLDER; those that lie there already are not made
again. A film shows its demo. The other workflows' pictures are drawn: there the film is one of the demo's, and the
picture says so. They are animated WebP in files named .jpg: that name is what ComfyUI asks for, and browsers look at
what is in a file.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

PACK = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PACK), *(str(PACK / "tests" / folder) for folder in ("host", "browser"))]

from make_workflows import frontends  # noqa: E402
from thumbnail_drawings import SOURCES, draw, save  # noqa: E402

from browser import api_prompt, load_workflow  # noqa: E402
from comfy_server import ComfyServer, find_comfyui  # noqa: E402


def make_films(folder: Path, names: list[str]) -> None:
    """Run workflows of the demo, and copy their mp4s to `folder`, in the order of their nodes."""
    with tempfile.TemporaryDirectory() as base, ComfyServer(find_comfyui(), Path(base)) as server:
        with frontends([server]) as (page,):
            shutil.rmtree(server.output_dir / "helios")
            prompts = {}
            for name in names:
                load_workflow(page, json.loads((PACK / "workflows" / f"{name}.json").read_text("utf-8")))
                prompts[name] = api_prompt(page)
        for name, prompt in prompts.items():
            outputs = server.run(prompt, timeout=1200)["outputs"]
            files = [file for key in sorted(outputs, key=int) for file in outputs[key].get("images", ())]
            for i, file in enumerate(file for file in files if file["filename"].endswith(".mp4")):
                (folder / f"{name} {i}.mp4").write_bytes(server.view(file))


def main():
    folder, *names = sys.argv[1:]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    missing = [name for name in dict.fromkeys(SOURCES.values()) if not (folder / f"{name} 0.mp4").exists()]
    if missing:
        make_films(folder, missing)
    for name in names or SOURCES:
        save(draw(name, folder), PACK / "workflows" / f"{name}.jpg")


if __name__ == "__main__":
    main()
