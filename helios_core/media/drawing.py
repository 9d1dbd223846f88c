"""A film's report as one picture."""

from io import BytesIO

from PIL import Image, ImageDraw, ImageFont, ImageOps

from .seams import VISIBLE

CARDS = 60  # chunks shown one by one


WIDTH, MARGIN, GAP = 1600, 32, 20


BACKGROUND, PANEL, LINE, TEXT, DIM = "#1b1b1f", "#26262c", "#3d3d46", "#e6e6ea", "#9a9aa5"


BLUE, ORANGE, RED = "#6aa9ff", "#f0a35e", "#ff6b6b"


GREEN = "#7fc98f"
CHANGE = {"cut": "cut", "blend": "blend", "image": "picture"}  # where the film was told to change


CHARTS = [  # title, keys with their colours, a line to compare with
    ("Seam: 1 is as any moment, 2 is seen; green: meant", [("seam", BLUE)], VISIBLE),
    ("Brightness (blue) and saturation (orange) drift", [("brightness_drift", BLUE), ("saturation_drift", ORANGE)], 0),
    ("Sharpness, times the first chunk's", [("sharpness_drift", BLUE)], 1),
    ("Seconds a chunk", [("seconds", BLUE)], None),
    ("Memory, GB: GPU (blue), main (orange)", [("vram_gb", BLUE), ("ram_gb", ORANGE)], None),
    ("Motion", [("motion", BLUE)], None),
]


def draw_report(report: dict, thumbnails: list[bytes]) -> Image.Image:
    """The report as one picture, 1600 wide: charts of all chunks, and a card for each of up to 60."""
    rows, summary = report["chunks"], report["summary"]
    shown = {index: Image.open(BytesIO(thumbnails[index])) for index in _choose(rows)}
    columns, card, chart = 5, (WIDTH - 2 * MARGIN - 4 * GAP) // 5, (WIDTH - 2 * MARGIN - 2 * GAP) // 3
    picture = min(max((t.height * (card - 2) // t.width for t in shown.values()), default=100), card)
    card_height, chart_height = picture + 178, 170
    cards_top = MARGIN + 84 + 2 * (chart_height + GAP) + 30
    height = cards_top + -(-len(shown) // columns) * (card_height + GAP) + MARGIN
    image = Image.new("RGB", (WIDTH, height), BACKGROUND)
    draw = ImageDraw.Draw(image)

    length = f"{_count(len(rows), 'chunk')}, {summary['seconds_of_film']:.1f} s"
    draw.text((MARGIN, MARGIN - 6), length, TEXT, _font(30))
    draw.text((MARGIN, MARGIN + 38), _headline(summary), DIM, _font(17))
    for i, (title, keys, level) in enumerate(CHARTS):
        x, y = MARGIN + i % 3 * (chart + GAP), MARGIN + 78 + i // 3 * (chart_height + GAP)
        _chart(draw, (x, y, x + chart, y + chart_height), title, rows, keys, level)
    if len(shown) < len(rows):
        some = f"{len(shown)} of {len(rows)} chunks: first, last, worst seams, changes, and some between"
        draw.text((MARGIN, cards_top - 28), some, DIM, _font(16))
    for i, (index, thumbnail) in enumerate(shown.items()):
        x, y = MARGIN + i % columns * (card + GAP), cards_top + i // columns * (card_height + GAP)
        _card(image, draw, (x, y, x + card, y + card_height), rows[index], thumbnail, picture)
    return image


def _choose(rows: list[dict]) -> list[int]:
    """Which chunks get a card."""
    if len(rows) <= CARDS:
        return list(range(len(rows)))
    said = [i for i in range(1, len(rows)) if rows[i]["prompt"] != rows[i - 1]["prompt"] or rows[i]["change"]]
    worst = sorted(range(len(rows)), key=lambda i: 0 if rows[i]["change"] else -(rows[i]["seam"] or 0))
    chosen = {0, len(rows) - 1, *worst[:10], *said[:20]}
    others = [i for i in range(len(rows)) if i not in chosen]
    left = CARDS - len(chosen)
    return sorted([*chosen, *(others[(2 * i + 1) * len(others) // (2 * left)] for i in range(left))])


def _headline(summary: dict) -> str:
    parts = [f"{_count(summary['visible_seams'], 'seam')} likely seen"]
    if summary["worst_seam"]:
        parts[0] += f" (the worst, {summary['worst_seam']['value']:.1f}, before chunk {summary['worst_seam']['chunk']})"
    if summary["changes"]:
        parts.append(f"{_count(summary['changes'], 'chunk')} with a meant change")
    for key in ("brightness_drift", "saturation_drift"):
        if summary[key]:
            parts.append(f"{key.split('_')[0]} up to {summary[key]['value']:+.3f}")
    if summary["frames_per_second"]:
        parts.append(f"made in {summary['seconds_taken']:.0f} s, {summary['frames_per_second']:.2f} frames per second")
    return "   ·   ".join(parts)


def _chart(draw, box, title, rows, keys, level) -> None:
    left, top, right, bottom = box
    draw.rounded_rectangle(box, 8, PANEL)
    draw.text((left + 14, top + 9), title, DIM, _font(15))
    meant = {i for i, r in enumerate(rows) if keys[0][0] == "seam" and r["change"] and r["seam"] is not None}
    # A cut is higher than all seams, and would make them flat.
    known = [r[key] for i, r in enumerate(rows) for key, _ in keys if r[key] is not None and i not in meant]
    if not known:
        draw.text((left + 14, (top + bottom) // 2), "not known", LINE, _font(17))
        return
    values = known + ([level] if level is not None else [])
    low, high = min(0, *values), max(values)
    high = high if high > low else low + 1
    x0, y0, x1, y1 = left + 62, top + 42, right - 16, bottom - 30

    def at(i, value):
        return x0 + (x1 - x0) * i / max(1, len(rows) - 1), y1 - (y1 - y0) * (min(value, high) - low) / (high - low)

    for value in (low, high):
        y = at(0, value)[1]
        draw.line((x0, y, x1, y), LINE)
        draw.text((x0 - 8, y), f"{value:.3g}", DIM, _font(14), anchor="rm")
    if level is not None and low < level < high:
        y = at(0, level)[1]
        for x in range(int(x0), int(x1), 12):
            draw.line((x, y, x + 5, y), ORANGE if level == VISIBLE else DIM)
    for value, anchor in ((rows[0]["chunk"], "la"), (rows[-1]["chunk"], "ra")):
        draw.text((x0 if anchor == "la" else x1, y1 + 8), f"chunk {value}", DIM, _font(13), anchor=anchor)
    for x in (at(i, 0)[0] for i in meant):
        draw.line((x, y0, x, y1), GREEN)
    for key, colour in keys:
        points = [at(i, r[key]) if r[key] is not None else None for i, r in enumerate(rows)]
        for a, b in zip(points, points[1:]):
            if a and b:
                draw.line((*a, *b), colour, 2)
        if len(rows) <= CARDS:
            for x, y in filter(None, points):
                draw.ellipse((x - 3, y - 3, x + 3, y + 3), colour)


def _card(image, draw, box, row, thumbnail, picture) -> None:
    left, top, right, bottom = box
    draw.rounded_rectangle(box, 8, PANEL)
    room = right - left - 2, picture
    scaled = ImageOps.contain(thumbnail, room)
    image.paste(scaled, (left + 1 + (room[0] - scaled.width) // 2, top + 1 + (picture - scaled.height) // 2))
    y, width = top + picture + 12, right - left - 24
    draw.text((left + 12, y), f"chunk {row['chunk']}", TEXT, _font(18))
    draw.text((right - 12, y + 2), f"{row['time']:.2f} s", DIM, _font(15), anchor="ra")
    for i, line in enumerate(_wrap(draw, row["prompt"] or "", width, 3)):
        draw.text((left + 12, y + 28 + 19 * i), line, TEXT, _font(14))
    y += 90
    seam, change = row["seam"], row["change"]
    colour = GREEN if change else RED if (seam or 0) >= VISIBLE else DIM
    said = f", {CHANGE[change]}" if change else ""
    draw.text((left + 12, y), f"seam {_show(seam, '.1f')}{said}", colour, _font(14))
    seed = "" if row["seed"] is None else f"seed {row['seed']}"
    draw.text((right - 12, y), seed, DIM, _font(14), anchor="ra")
    drift = (
        f"light {_show(row['brightness_drift'], '+.3f')}   colour {_show(row['saturation_drift'], '+.3f')}   "
        f"sharp {_show(row['sharpness_drift'], '.2f')}x"
    )
    draw.text((left + 12, y + 20), drift, DIM, _font(14))
    taken = "from disk" if row["reused"] else f"{_show(row['seconds'], '.2f')} s"
    memory = [
        f"{row[key]:.1f} GB {name}" for key, name in (("vram_gb", "GPU"), ("ram_gb", "RAM")) if row[key] is not None
    ]
    draw.text((left + 12, y + 40), "   ".join([taken, *memory]), DIM, _font(14))


def _wrap(draw, text: str, width: int, lines: int) -> list[str]:
    """Text as at most so many lines; words that are too long are cut."""
    font, out = _font(14), [""]
    for word in " ".join(text.split())[:400].split(" "):
        longer = f"{out[-1]} {word}".strip()
        if draw.textlength(longer, font) <= width:
            out[-1] = longer
            continue
        while draw.textlength(word, font) > width:
            word = word[:-2]
        out += [word]
    out = [line for line in out if line]
    if len(out) > lines:
        last = out[lines - 1]
        while draw.textlength(last + "…", font) > width:
            last = last[:-1]
        out = [*out[: lines - 1], last + "…"]
    return out


def _font(size: int):
    return ImageFont.load_default(size)


def _show(value, format: str) -> str:
    return "-" if value is None else f"{value:{format}}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1)}"
