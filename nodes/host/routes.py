"""What the pack serves to the browser, beside its files."""

from pathlib import Path

from aiohttp import web
from server import PromptServer

PACK = Path(__file__).parents[2]  # not resolved: hosts know it by the name it has with them


async def help_page(request: web.Request) -> web.StreamResponse:
    """A node's help, which is in one language, under the name of any: frontends ask by language first."""
    path = PACK / "web" / "docs" / f"{request.match_info['node']}.md"
    if not path.is_file():
        return web.Response(status=404)
    return web.FileResponse(path, headers={"Content-Type": "text/markdown; charset=utf-8"})


if getattr(PromptServer, "instance", None) is not None:
    # Before the static files of the same folder, which the host adds later; it names them after the pack's folder.
    PromptServer.instance.routes.get(f"/extensions/{PACK.name}/docs/{{node:\\w+}}/{{language:[\\w-]+}}.md")(help_page)
