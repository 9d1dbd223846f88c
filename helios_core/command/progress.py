"""The bar of a film's steps, and what is said beside it."""

from collections.abc import Iterable, Iterator

from tqdm import tqdm

from ..diffusion.recipe import Recipe
from ..film.loop import step_count
from ..film.record import Chunk, Start, Step
from .terminal import StandardError


class Progress:
    """Counts the steps of chunks `first` to `end`, the last not included; says which of them were on disk."""

    def __init__(self, recipe: Recipe, first: int, end: int):
        self.recipe, self.first, self.end = recipe, first, end
        self.reused, self.told = 0, False
        self.bar = tqdm(total=step_count(recipe, first, end - first), unit="step", file=StandardError())

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error) -> None:
        self.bar.close()

    def chunks(self, records: Iterable[Start | Step | Chunk]) -> Iterator[Chunk]:
        """The chunks among a film's records, which are made while one asks for them."""
        for record in records:
            self._note(record)
            if isinstance(record, Chunk):
                yield record

    def _note(self, record: Start | Step | Chunk) -> None:
        if isinstance(record, Start):
            self.bar.set_description(f"chunk {record.chunk}")
            if not record.stored:
                self._tell()
        elif isinstance(record, Step):
            self.bar.update()
        elif record.reused:
            self.reused += 1
            self.bar.update(sum(self.recipe.steps_of(record.index)))
            if record.index + 1 == self.end:
                self._tell()
        if isinstance(record, Chunk) and record.not_saved:
            self.say(f"chunk {record.index} could not be kept on disk: {record.not_saved}")

    def say(self, text: str) -> None:
        self.bar.write(text, file=self.bar.fp)

    def _tell(self) -> None:
        """Once: what was found before the first chunk that is made, or before the end."""
        if self.reused and not self.told:
            next_chunk = self.first + self.reused
            found = f"chunk {self.first} was" if self.reused == 1 else f"chunks {self.first} to {next_chunk - 1} were"
            self.say(
                f"{found} on disk; "
                + (f"continuing at chunk {next_chunk}" if next_chunk < self.end else "nothing is left to make")
            )
        self.told = True
