"""The world of the demo: one or two flat shapes that move over a plain ground, and English that says so.

A `Scene` is what a prompt can say. `make_film` plays scenes one after another, a chunk of 33 frames each: what a new
scene does not replace stays where it was, so that a cut changes what is asked and nothing else. A film begins with its
things near the middle, or on the way through it, as a person would frame it; or anywhere, to go on from.
"""

import zlib
from dataclasses import dataclass, replace

import numpy as np

from helios_core.network.config import CHUNK_FRAMES

HEIGHT, WIDTH = 128, 192
COLOURS = {
    "red": (0.87, 0.16, 0.17),
    "orange": (0.98, 0.55, 0.11),
    "yellow": (0.98, 0.88, 0.20),
    "green": (0.20, 0.70, 0.27),
    "blue": (0.16, 0.42, 0.93),
    "purple": (0.58, 0.25, 0.80),
    "pink": (0.98, 0.52, 0.75),
    "cyan": (0.30, 0.85, 0.92),
}
GROUNDS = {
    "black": (0.05, 0.05, 0.06),
    "gray": (0.50, 0.50, 0.51),
    "white": (0.95, 0.95, 0.93),
    "navy": (0.08, 0.10, 0.28),
    "brown": (0.36, 0.23, 0.14),
    "teal": (0.04, 0.33, 0.32),
}
SHAPES = ("bar", "square", "triangle", "star")
SIZES = {"small": 14.0, "medium": 19.0, "large": 25.0}  # pixels, the radius of the circle of the same area
REACH = 1.56  # how far a triangle's corner is from its middle, in radii; a star's tip is nearer
SPEED = {"left": (-1.4, 0.0), "right": (1.4, 0.0), "up": (0.0, -1.0), "down": (0.0, 1.0), "still": (0.0, 0.0)}
BOUNCE = 1.4  # pixels a frame
MOTIONS = (*SPEED, "bounce")  # to a side until the edge and rest there; or from side to side for ever
HELD_OUT = 10  # one in so many combinations of a thing and its ground is never trained on


@dataclass(frozen=True)
class Thing:
    shape: str
    colour: str
    size: str
    motion: str


@dataclass(frozen=True)
class Scene:
    ground: str
    things: tuple[Thing, ...]

    def unseen(self) -> int:
        """How many of its things are, on this ground, kept from training."""
        keys = (" ".join((self.ground, thing.shape, thing.colour, thing.motion)) for thing in self.things)
        return sum(zlib.crc32(key.encode()) % HELD_OUT == 0 for key in keys)


@dataclass(frozen=True)
class Look:
    """What is drawn of a thing in one frame; colours, radii and shapes may lie between two."""

    x: float
    y: float
    radius: float
    colour: np.ndarray  # (3,)
    shapes: tuple[tuple[str, float], ...]  # and their weights


def random_scene(rng: np.random.Generator, held_out: bool = False) -> Scene:
    """A scene to train with, or one whose every thing is kept from training."""
    count = 1 if rng.random() < 0.7 else 2
    while True:
        colours = rng.choice(list(COLOURS), 2, replace=False)
        things = tuple(
            Thing(str(rng.choice(SHAPES)), str(colour), str(rng.choice(list(SIZES))), str(rng.choice(MOTIONS)))
            for colour in colours[:count]
        )
        if count == 2:  # two large ones would hide each other
            things = tuple(replace(t, size="medium" if t.size == "large" else t.size) for t in things)
        scene = Scene(str(rng.choice(list(GROUNDS))), things)
        if scene.unseen() == (count if held_out else 0):
            return scene


def changed(scene: Scene, rng: np.random.Generator) -> Scene:
    """Another scene, or the same one with one word about it changed."""
    while True:
        other = random_scene(rng)
        if rng.random() < 0.5:
            name = str(rng.choice(["ground", "shape", "colour", "motion"]))
            if name == "ground":
                other = replace(scene, ground=other.ground)
            else:
                first = replace(scene.things[0], **{name: getattr(other.things[0], name)})
                if first.colour in [t.colour for t in scene.things[1:]]:
                    continue
                other = replace(scene, things=(first, *scene.things[1:]))
        if other != scene and not other.unseen():
            return other


# --- English ---

NOUNS = {
    "bar": ("bar", "pillar", "column"),
    "square": ("square", "box"),
    "triangle": ("triangle",),
    "star": ("star",),
}
WORDS = {"small": ("small", "tiny", "little"), "medium": ("", "medium"), "large": ("large", "big", "huge")}
VERBS = {
    "left": ("moves left", "moves to the left", "slides to the left", "drifts left", "goes left"),
    "right": ("moves right", "moves to the right", "slides to the right", "drifts right", "goes right"),
    "up": ("moves up", "rises", "floats up", "drifts upwards", "goes up"),
    "down": ("moves down", "falls", "sinks", "drifts downwards", "goes down"),
    "still": ("stays still", "does not move", "rests", "stands still"),
    "bounce": ("bounces from side to side", "moves back and forth", "bounces left and right"),
}
BEHIND = ("on a {} background", "against a {} background", "in front of a {} wall", "on {}", "over a {} ground")


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """One of the many ways to say it."""
    pick = lambda options: str(rng.choice(options))  # noqa: E731
    said = []
    for thing in scene.things:
        words = [pick(WORDS[thing.size]), thing.colour, pick(NOUNS[thing.shape])]
        noun = " ".join(filter(None, words))
        said.append(f"{'an' if noun[0] in 'aeiou' else 'a'} {noun} {pick(VERBS[thing.motion])}")
    text, behind = pick([" and ", " while ", ", "]).join(said), pick(BEHIND).format(scene.ground)
    text = pick([f"{text} {behind}", f"{behind}, {text}", f"{text}, {behind}"])
    return text[0].upper() + text[1:] + pick(["", "."])


# --- frames ---


def make_film(scenes: list[Scene], blends: list[float], rng: np.random.Generator, anywhere=False) -> np.ndarray:
    """The frames of `plan_film`, (33 * n, 128, 192, 3) in 0..1, float32."""
    return np.stack([draw(*frame) for frame in plan_film(scenes, blends, rng, anywhere)])


def plan_film(scenes: list[Scene], blends: list[float], rng: np.random.Generator, anywhere=False) -> list[tuple]:
    """What `draw` takes for each of 33 * n frames.

    Chunk k shows scenes[k], mixed with scenes[k - 1] where blends[k], the weight of scenes[k], is below 1.
    """
    frames, places = [], []
    for k, scene in enumerate(scenes):
        before, weight = scenes[k - 1 if k else 0], blends[k]
        places = places[: len(scene.things)]
        for i in range(len(places), len(scene.things)):
            places.append((start_anywhere if anywhere else start)(scene, i, rng))
        for _ in range(CHUNK_FRAMES):
            frames.append(looks(scene, before, weight, places))
            places = [step(place, thing) for place, thing in zip(places, scene.things)]
    return frames


def start(scene: Scene, i: int, rng: np.random.Generator) -> tuple[float, float, float]:
    """Where thing `i` begins, (x, y, direction of a bounce), to be near the middle, of its half if there are two, when
    half a chunk is over."""
    thing, way = scene.things[i], float(rng.choice([-1.0, 1.0]))
    alone = len(scene.things) == 1
    middle = WIDTH / 2 if alone else WIDTH * (0.27, 0.73)[i]
    vx, vy = velocity(thing, way)
    x = middle - CHUNK_FRAMES / 2 * vx + rng.uniform(-1, 1) * (20 if alone else 8)
    y = HEIGHT / 2 - CHUNK_FRAMES / 2 * vy + rng.uniform(-1, 1) * 12
    r = SIZES[thing.size] * REACH
    return float(np.clip(x, r, WIDTH - r)), float(np.clip(y, r, HEIGHT - r)), way


def start_anywhere(scene: Scene, i: int, rng: np.random.Generator) -> tuple[float, float, float]:
    """As `start`, but where only what was before can tell: anywhere in the frame, or in its half."""
    r, share = SIZES[scene.things[i].size] * REACH, WIDTH / len(scene.things)
    x = rng.uniform(i * share + r, (i + 1) * share - r)
    return float(x), float(rng.uniform(r, HEIGHT - r)), float(rng.choice([-1.0, 1.0]))


def velocity(thing: Thing, way: float) -> tuple[float, float]:
    """Pixels a frame, (x, y)."""
    return SPEED.get(thing.motion, (BOUNCE * way, 0.0))


def step(place, thing: Thing):
    """The next frame's place; what has grown at an edge comes in as slowly as things move."""
    x, y, way = place
    r = SIZES[thing.size] * REACH
    vx, vy = velocity(thing, way)
    if thing.motion == "bounce" and not r <= x + vx <= WIDTH - r:
        vx, way = -vx, -way
    inside = np.clip([x + vx, y + vy], r, [WIDTH - r, HEIGHT - r])
    x, y = np.clip(inside, [x - BOUNCE, y - BOUNCE], [x + BOUNCE, y + BOUNCE])
    return float(x), float(y), way


def looks(scene: Scene, before: Scene, weight: float, places) -> tuple[np.ndarray, list[Look]]:
    """Ground colour and things of a frame."""

    def mix(table, old, new):
        return (1 - weight) * np.array(table[old]) + weight * np.array(table[new])

    things = []
    for i, (thing, (x, y, _)) in enumerate(zip(scene.things, places)):
        old = before.things[i] if i < len(before.things) else thing
        things.append(
            Look(
                x,
                y,
                float(mix(SIZES, old.size, thing.size)),
                mix(COLOURS, old.colour, thing.colour),
                ((old.shape, 1 - weight), (thing.shape, weight)),
            )
        )
    return mix(GROUNDS, before.ground, scene.ground), things


Y, X = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32) + 0.5
LIGHT = (1.06 - 0.12 * Y / HEIGHT)[..., None]  # what a ground's colour is multiplied by


def draw(ground: np.ndarray, things: list[Look]) -> np.ndarray:
    """A frame (128, 192, 3): the ground a little lighter above, the things over it with soft edges."""
    frame = np.clip(ground * LIGHT, 0, 1)
    for look in things:
        x, y = (X - look.x) / look.radius, (Y - look.y) / look.radius
        distance = sum(weight * distance_to(shape, x, y) for shape, weight in look.shapes if weight)
        cover = np.clip(0.5 - distance * look.radius, 0, 1)[..., None]
        frame = frame + cover * (look.colour - frame)
    return frame.astype(np.float32)


def distance_to(shape: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Signed distance to the outline of a shape with the area of the unit circle, below 0 inside."""
    if shape == "bar":  # upright; no disc, which is one blob with the square at latents of 8 pixels
        return np.maximum(abs(x) - 0.572, abs(y) - 1.373)
    if shape == "square":
        return np.maximum(abs(x), abs(y)) - np.sqrt(np.pi) / 2
    # The edge that the point looks at, of a polygon of so many corners, the first upwards.
    turn = 2 * np.pi / (3 if shape == "triangle" else 5)
    radius, angle = np.hypot(x, y), np.arctan2(x, -y)
    if shape == "triangle":
        return radius * np.cos(angle % turn - turn / 2) - np.sqrt(np.pi / (3 * np.sqrt(3)))
    angle = (angle + turn / 2) % turn - turn / 2
    outer, inner = 1.481, 0.722  # the star's corners
    tip, notch = np.array([outer, 0.0]), inner * np.array([np.cos(turn / 2), np.sin(turn / 2)])
    along = (notch - tip) / np.hypot(*(notch - tip))
    px, py = radius * np.cos(angle), radius * abs(np.sin(angle))
    return (px - tip[0]) * along[1] - (py - tip[1]) * along[0]
