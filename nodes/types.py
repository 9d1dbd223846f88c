"""The pack's own socket types, and what several schemas share."""

from comfy_api.latest import io

from ..helios_core.film.memory import NOISE
from ..helios_core.media.frames import RESIZE
from .host import ADVANCED

HeliosSchedule = io.Custom("HELIOS_SCHEDULE")
HeliosMemory = io.Custom("HELIOS_MEMORY")

CATEGORY = "Helios"


class HeliosVideo:
    """A socket for a VIDEO or a batch of IMAGEs."""

    @staticmethod
    def Input(name, **options):
        return io.MultiType.Input(name, [io.Video, io.Image], **options)


def resize_input():
    return io.Combo.Input(
        "resize",
        options=list(RESIZE),
        default="crop",
        optional=True,
        tooltip="What to do with a picture of another shape. crop: it fills the frame, and what sticks out is lost. "
        "pad: all of it is seen, between black borders. stretch: it is squeezed into shape.",
    )


def check_resize(resize) -> bool | str:
    """For validate_inputs, which then takes the place of the host's own check: workflows of before say "fit"."""
    if resize is None or resize in (*RESIZE, "fit"):
        return True
    return f"resize={resize!r}: choose crop, pad or stretch."


def noise_inputs():
    """Ranges that noise strengths are drawn from, one for each picture encoded."""
    meaning = {
        "anchor": "the first picture, which every chunk looks back to",
        "history": "the frames just before the film. More noise gives more motion and less likeness",
    }
    return [
        io.Float.Input(
            f"{which}_noise_{end}",
            default=NOISE[end == "max"],
            min=0.0,
            max=1.0,
            step=0.001,
            optional=True,
            tooltip=f"{least_or_most} noise, as a share from 0 to 1, on {text}. Where the most is 0 there is none.",
            extra_dict=ADVANCED,
        )
        for which, text in meaning.items()
        for end, least_or_most in (("min", "Least"), ("max", "Most"))
    ]


def noise_range(name: str, low: float, high: float) -> tuple[float, float] | None:
    """The range of two widgets; None for none."""
    if low > high and high > 0:
        raise ValueError(f"{name}_min={low:g} is above {name}_max={high:g}; make it the smaller one.")
    return (low, high) if high > 0 else None


def tiling_inputs():
    return [
        io.Combo.Input(
            "tiling",
            options=["auto", "on", "off"],
            default="auto",
            tooltip="Decode each frame in tiles: slower, with less memory. auto does it when a whole frame does not "
            "fit.",
        ),
        io.Int.Input(
            "tile_size",
            default=256,
            min=64,
            max=4096,
            step=32,
            tooltip="Width and height of a tile, in pixels.",
            extra_dict=ADVANCED,
        ),
        io.Int.Input(
            "overlap",
            default=64,
            min=0,
            max=4096,
            step=32,
            tooltip="Pixels by which neighbouring tiles overlap, so that no border is seen. A quarter of a tile is "
            "the most.",
            extra_dict=ADVANCED,
        ),
    ]


def smooth_input():
    return io.Boolean.Input(
        "smooth_seams",
        default=False,
        optional=True,
        tooltip="Soften jumps of brightness and colour between chunks. The first 8 frames of a chunk are corrected. "
        "Cuts are left alone.",
        extra_dict=ADVANCED,
    )
