"""A websocket client of a ComfyUI server."""

import asyncio
import json
import struct
import threading
import time
import uuid

import aiohttp

IMAGE_EVENT, IMAGE_WITH_METADATA_EVENT = 1, 4


class Events:
    """What the server sends to one websocket client, as `(seconds, type, data)`; a context manager.

    Previews come as `("preview", {"node": id or None, "image": bytes})`.
    """

    def __init__(self, url: str, preview_metadata: bool = True):
        self.client_id = uuid.uuid4().hex
        self.messages: list[tuple[float, str, dict]] = []
        self._url = f"{url.replace('http', 'ws', 1)}/ws?clientId={self.client_id}"
        self._flags = {"type": "feature_flags", "data": {"supports_preview_metadata": preview_metadata}}
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def of(self, kind: str) -> list[dict]:
        """The data of all messages of one type so far."""
        return [data for _, k, data in list(self.messages) if k == kind]

    def progress(self) -> list[tuple[float, int, int]]:
        """(seconds, value, max) of every progress message."""
        return [(t, d["value"], d["max"]) for t, k, d in list(self.messages) if k == "progress"]

    def wait_for(self, kind: str, timeout: float = 60, count: int = 1) -> dict:
        """Wait until `count` messages of this type have come; the last one's data."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.of(kind)) >= count, timeout):
                raise TimeoutError(f"{len(self.of(kind))} of {count} {kind!r} events in {timeout} s")
        return self.of(kind)[count - 1]

    def wait_done(self, prompt_id: str, timeout: float = 120) -> None:
        """Wait until the server says that it is through with this prompt, well or not."""

        def done():
            return any(d["node"] is None and d.get("prompt_id") == prompt_id for d in self.of("executing"))

        with self._changed:
            if not self._changed.wait_for(done, timeout):
                raise TimeoutError(f"prompt {prompt_id} did not end in {timeout} s")

    def __enter__(self):
        self._thread.start()
        self.wait_for("status")
        return self

    def __exit__(self, *exc):
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(10)

    def _run(self):
        self._task = self._loop.create_task(self._listen())
        try:
            self._loop.run_until_complete(self._task)
        except (asyncio.CancelledError, aiohttp.ClientError):
            pass
        finally:
            self._loop.close()

    async def _listen(self):
        async with aiohttp.ClientSession() as session, session.ws_connect(self._url, max_msg_size=0) as ws:
            await ws.send_json(self._flags)
            async for message in ws:
                kind, data = self._parse(message)
                with self._changed:
                    self.messages.append((time.monotonic(), kind, data))
                    self._changed.notify_all()

    @staticmethod
    def _parse(message) -> tuple[str, dict]:
        if message.type == aiohttp.WSMsgType.TEXT:
            message = json.loads(message.data)
            return message["type"], message["data"]
        event, size = struct.unpack(">II", message.data[:8])
        if event == IMAGE_EVENT:  # `size` is the image format here
            return "preview", {"node": None, "image": message.data[8:]}
        if event == IMAGE_WITH_METADATA_EVENT:
            metadata = json.loads(message.data[8 : 8 + size])
            return "preview", {"node": metadata["node_id"], "image": message.data[8 + size :]}
        return f"binary {event}", {"bytes": message.data}
