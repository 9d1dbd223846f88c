"""What was made from an object of the host lately, for as long as that object lives."""

import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable


class Recent:
    """Values by an owner and a key."""

    def __init__(self):
        self._values = weakref.WeakKeyDictionary()  # owner -> {key: value}, the one used last at the end

    def get(self, owner, key: Hashable, make: Callable, most: int):
        """The owner's value of a key, made if it is not there; the `most` that were used last are kept."""
        values = self._values.setdefault(owner, OrderedDict())
        value = values.pop(key) if key in values else make()
        values[key] = value
        while len(values) > most:
            values.popitem(last=False)
        return value
