"""A person's hands on the timeline: clicks, drags and keys, at chunks of its lanes."""

NODE = "() => app.graph.nodes.find(n => n.type === 'HeliosPromptSchedule')"
TEXT = f"() => ({NODE})().widgets.find(w => w.name === 'schedule').value"
SET_TEXT = f"""text => {{
    const widget = ({NODE})().widgets.find(w => w.name === "schedule");
    widget.value = text;
    widget.callback?.(text);
}}"""
# A point of a lane at a time, as the ruler says it.
PLACE = """([root, lane, time, down]) => {
    const lanes = document.querySelector(`${root} .helios-lanes`);
    const box = lanes.querySelector(lane === "ruler" ? ".ruler" : `[data-lane=${lane}]`).getBoundingClientRect();
    const zoom = lanes.getBoundingClientRect().width / lanes.offsetWidth;
    const ticks = [...lanes.querySelectorAll(".tick")].map(t => [parseFloat(t.textContent), parseFloat(t.style.left)]);
    const [[a, x], [b, y]] = [ticks[0], ticks[ticks.length - 1]];
    return [box.left + (x + (time - a) * (y - x) / (b - a)) * zoom, box.top + box.height * down];
}"""
EDITOR, STRIP = ".helios-timeline", ".helios-strip"


class TimelinePage:
    def __init__(self, page):
        self.page = page
        self.keys = page.keyboard

    @property
    def text(self) -> str:
        return self.page.evaluate(TEXT)

    @text.setter
    def text(self, text: str) -> None:
        """As if it were typed into the node's box."""
        self.page.evaluate(SET_TEXT, text)
        self.page.wait_for_timeout(450)  # the page looks for changes now and then

    def wait_for_text(self, text: str) -> None:
        self.page.wait_for_function(f"text => ({TEXT})() === text", arg=text, timeout=5000)

    def open(self) -> None:
        """By its key."""
        self.close()
        self.page.evaluate("() => app.extensionManager.command.execute('Helios.OpenTimeline')")
        self.page.locator(EDITOR).wait_for()  # no handle: it would keep the editor alive
        self.page.wait_for_timeout(150)

    def close(self) -> None:
        if self.page.locator(EDITOR).count():
            self.button("Close")

    def button(self, name: str) -> None:
        self.page.locator(f"{EDITOR} button[aria-label='{name}']").first.click()

    def at(self, lane: str, chunk: float, down: float = 0.5, root: str = EDITOR) -> tuple[float, float]:
        time = chunk if root == EDITOR else chunk * 33 / 24  # the strip's ruler says seconds
        return tuple(self.page.evaluate(PLACE, [root, lane, time, down]))

    def click(self, lane: str, chunk: float, **options) -> None:
        self.page.mouse.click(*self.at(lane, chunk), **options)

    def double_click(self, lane: str, chunk: float) -> None:
        self.page.mouse.dblclick(*self.at(lane, chunk))
        self.page.wait_for_timeout(60)

    def drag(self, begin, end, key: str | None = None, drop: bool = True) -> None:
        """From one point to another, with a key held."""
        mouse = self.page.mouse
        mouse.move(*begin)
        if key:
            self.keys.down(key)
        mouse.down()
        for share in (0.3, 0.7, 1.0):
            mouse.move(begin[0] + (end[0] - begin[0]) * share, begin[1] + (end[1] - begin[1]) * share)
        if drop:
            mouse.up()
        if key:
            self.keys.up(key)

    def go(self, chunk: int) -> None:
        """The playhead, by keys."""
        self.keys.press("Home")
        for _ in range(chunk):
            self.keys.press("ArrowRight")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.keys.press(key)
