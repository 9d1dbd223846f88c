"""What the pack serves to the browser, beside its files."""

import asyncio
import json
from pathlib import Path

from aiohttp import web
from server import PromptServer

from ...helios_core.film.store import NAME
from .films import describe_film, index_of
from .folders import autosave_folder

PACK = Path(__file__).parents[2]  # not resolved: hosts know it by the name it has with them
TYPES = {"jpg": "image/jpeg", "mp4": "video/mp4"}


async def help_page(request: web.Request) -> web.StreamResponse:
    """A node's help, which is in one language, under the name of any: frontends ask by language first."""
    path = PACK / "web" / "docs" / f"{request.match_info['node']}.md"
    if not path.is_file():
        return web.Response(status=404)
    return web.FileResponse(path, headers={"Content-Type": "text/markdown; charset=utf-8"})


async def film_of_node(request: web.Request) -> web.Response:
    """The film of a node's newest run, with all takes of its chunks; less where the page knows it already."""
    workflow, node = request.query.get("workflow", ""), request.query.get("node", "")
    found = await asyncio.to_thread(describe_film, workflow, node)
    if request.query.get("revision") == found["revision"]:
        found = {"unchanged": True, "revision": found["revision"]}
    return web.json_response(found)


async def thumbnail(request: web.Request) -> web.StreamResponse:
    """A chunk's still or clip. It may be replaced by a better one, so the browser asks each time."""
    film, name, kind = (request.match_info[key] for key in ("film", "chunk", "kind"))
    path = autosave_folder() / film / f"{name}.{kind}"
    if not path.is_file():
        return web.Response(status=404)
    return web.FileResponse(path, headers={"Content-Type": TYPES[kind], "Cache-Control": "no-cache"})


async def text_of_chunk(request: web.Request) -> web.Response:
    """The text of the newest schedule that led to a chunk."""
    index = index_of(autosave_folder() / request.match_info["film"])
    if not (text := await asyncio.to_thread(index.text_of, request.match_info["chunk"])):
        return web.Response(status=404, text="nobody knows with which text this chunk was made")
    return web.json_response({"text": text})


async def star(request: web.Request) -> web.Response:
    """Star a chunk, or not any more: {"chunk": its name, "starred": true or false}."""
    try:
        told = json.loads(await request.read())
    except (ValueError, RecursionError):
        told = None
    chunk, starred = (told.get("chunk"), told.get("starred")) if isinstance(told, dict) else (None, None)
    if type(chunk) is not str or not NAME.fullmatch(chunk) or type(starred) is not bool:
        return web.Response(status=400, text='send {"chunk": the name of a chunk, "starred": true or false}')
    try:
        await asyncio.to_thread(index_of(autosave_folder() / request.match_info["film"]).star, chunk, starred)
    except KeyError:
        return web.Response(status=404, text="this chunk is not on disk any more")
    except OSError as error:
        return web.Response(status=507, text=f"the star could not be noted: {error.strerror or error}")
    return web.json_response({"chunk": chunk, "starred": starred})


if getattr(PromptServer, "instance", None) is not None:
    routes, film = PromptServer.instance.routes, f"/helios/films/{{film:{NAME.pattern}}}"
    # Before the static files of the same folder, which the host adds later; it names them after the pack's folder.
    routes.get(f"/extensions/{PACK.name}/docs/{{node:\\w+}}/{{language:[\\w-]+}}.md")(help_page)
    routes.get("/helios/films")(film_of_node)
    routes.get(f"{film}/{{chunk:{NAME.pattern}}}.{{kind:{'|'.join(TYPES)}}}")(thumbnail)
    routes.get(f"{film}/{{chunk:{NAME.pattern}}}/text")(text_of_chunk)
    routes.post(f"{film}/stars")(star)
