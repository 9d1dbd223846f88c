"""Pictures that a schedule's text names: how they are found, and what is said where they are not."""

import pytest
from PIL import Image

from helios_core.film.schedule_text import pictures_in
from helios_core.media.pictures import find_pictures, not_found, read_pictures


def test_the_pictures_of_a_text():
    """Each once, at its first line; what is off is left away, and so are lines that continue a prompt."""
    text = (
        "0: a\n1 image: b.png\n\n3 image blend 2: a c.png\n4 image: b.png\noff 5 image: d.png\n6: x,\n  7 image e.png"
    )
    assert pictures_in(text) == {"b.png": 2, "a c.png": 4}


def test_a_name_that_is_not_there(tmp_path):
    for name in ("boat.png", "sub/Boat.JPG", "sub/goat.png", "train.png", "new\nline boat.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    said = "there is no “boats.png” in the folder; did you mean “boat.png [temp]” or “sub/Boat.JPG [temp]” or"
    assert not_found("boats.png", tmp_path, "the folder", " [temp]") == f"{said} “sub/goat.png [temp]”?"
    assert (
        not_found("x.png", tmp_path, "it") == "there is no “x.png” in it; put the picture there, or write another name"
    )


def test_errors_name_the_line(tmp_path):
    def find(name):
        if name == "gone.png":
            raise ValueError("it is gone")
        return tmp_path / name

    (tmp_path / "none.png").write_text("none")
    Image.new("RGBA", (6, 4), (255, 0, 0, 0)).save(tmp_path / "red.gif")
    assert find_pictures("0: a\n1 image: x.png", find) == {"x.png": tmp_path / "x.png"}
    (red,) = read_pictures("0: a\n1 image: red.gif", find).values()
    assert red.shape == (1, 4, 6, 3) and (red[0, 0, 0] * 255).round().tolist() == [255, 0, 0]
    for name, said in (("gone.png", "it is gone"), ("none.png", "none.png: cannot be read as a picture")):
        with pytest.raises(ValueError, match=f"^schedule, line 2: {said}"):
            read_pictures(f"0: a\n1 image: {name}\n2 image: red.gif", find)
