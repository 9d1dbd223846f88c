"""Links and file names in the repository's Markdown lead somewhere."""

import os
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]
MADE = {"output", "runs", "build"}  # folders of what the repository's commands make
EXTERNAL = re.compile(r"[a-z][a-z+.-]*:|//")  # a scheme such as https:


def repository_files() -> list[Path]:
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name[0] != "." and name not in MADE]
        found += [Path(folder, name) for name in names]
    return sorted(found)


FILES = repository_files()
PAGES = [file for file in FILES if file.suffix == ".md"]
NAMES = {f"/{file.relative_to(ROOT).as_posix()}" for file in FILES}


def without_code(text: str) -> str:
    """Markdown without fenced blocks, in which a # is no heading and brackets are no link."""
    return re.sub(r"^( *)```.*?^ *```", "", text, flags=re.S | re.M)


def links(text: str) -> list[str]:
    """Targets of links and pictures, those of a picture within a link too."""
    text = re.sub(r"`[^`\n]*`", "code", without_code(text))
    return re.findall(r"\]\(<?([^)>\s]+)>?[^)]*\)", text) + re.findall(r"^\[[^\]]+\]:\s*(\S+)", text, re.M)


def anchors(text: str) -> set[str]:
    """What GitHub names the headings."""
    found = []
    for heading in re.findall(r"^#{1,6} +(.*?)#* *$", without_code(text), re.M):
        name = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()).replace(
            " ", "-"
        )
        count = sum(re.fullmatch(rf"{re.escape(name)}(-\d+)?", other) is not None for other in found)
        found.append(f"{name}-{count}" if count else name)
    return set(found)


def problem(page: Path, link: str) -> str | None:
    """Why a link on a page leads nowhere; None where it leads somewhere or is another site's."""
    if EXTERNAL.match(link):
        return None
    path, _, anchor = unquote(link).partition("#")
    target = Path(os.path.normpath(page.parent / path)) if path else page
    if not target.is_relative_to(ROOT):
        return "outside of the repository"
    # By the list of names: on disks that take A for a, the wrong one would be there too.
    if target not in FILES and not any(target in file.parents for file in FILES):
        return "no such file"
    if anchor and (target.suffix != ".md" or anchor not in anchors(target.read_text("utf-8"))):
        return "no such heading"
    return None


def test_the_check_finds_what_is_wrong():
    page = ROOT / "docs" / "engineering.md"
    for link in (
        "../readme.md",
        "nothing.md",
        "../../elsewhere.md",
        "#nothing",
        "../README.md#nothing",
        "../LICENSE#a",
    ):
        assert problem(page, link), link
    for link in ("../README.md", "../README.md#limits", "images", "#the-house", "https://example.org/#x"):
        assert problem(page, link) is None, link
    assert links("[a](b.md) ![c](d.png 'e') [![f](g.png)](h.md#i) `[j](k)`\n```\n[l](m)\n```\n[n]: o.md") == [
        *("b.md", "d.png", "g.png", "h.md#i"),
        "o.md",
    ]
    assert anchors("# A b, c-d!\n## A b, c-d!\n### `e_f` (g)\n```\n# h\n```") == {"a-b-c-d", "a-b-c-d-1", "e_f-g"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    found = {link: problem(page, link) for link in links(page.read_text("utf-8"))}
    assert not {link: what for link, what in found.items() if what}


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda p: p.name)
def test_sources_that_are_named_are_there(page):
    """`film/loop.py` and the like, by the end of their path; commands may have more around them."""
    named = {name for code in re.findall(r"`([^`]+)`", page.read_text("utf-8")) for name in re.findall(SOURCE, code)}
    assert not {name for name in named if not any(file.endswith(f"/{name}") for file in NAMES)}


SOURCE = re.compile(r"(?<![\w/~.-])[\w-][\w/-]*\.(?:py|js|svg|toml)\b")


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 200
