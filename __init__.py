"""ComfyUI-Helios: the pack's door."""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    from .nodes import HeliosExtension

    return HeliosExtension()
