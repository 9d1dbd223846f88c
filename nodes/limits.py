"""Values that come by a link, or from a client of the API, kept to the limits that the widgets keep to."""

import inspect
from functools import wraps
from numbers import Integral, Real

from comfy_api.latest import io


def within_limits(node: type[io.ComfyNode]) -> type[io.ComfyNode]:
    """Class decorator: `execute` refuses what the node's widgets would not take, in a sentence that names the widget.

    The host checks values that are typed in, and none that comes by a link.
    """
    execute = node.execute.__func__

    @classmethod
    @wraps(execute)
    def checked(cls, **values):
        # A choice that the node's validate_inputs looks at is its own to judge: old workflows have others.
        judged = inspect.signature(cls.validate_inputs).parameters
        for widget in cls.define_schema().inputs:
            if widget.id in values and not (isinstance(widget, io.Combo.Input) and widget.id in judged):
                check_limits(widget, values[widget.id])
        return execute(cls, **values)

    node.execute = checked
    return node


def check_limits(widget: io.Input, value) -> None:
    """Raise ValueError for a value that this widget of a schema would not take; NaN is no number."""
    if value is None and widget.optional:
        return
    if isinstance(widget, io.Int.Input | io.Float.Input):
        kind, called = (Integral, "a whole number") if isinstance(widget, io.Int.Input) else (Real, "a number")
        if not isinstance(value, kind) or not widget.min <= value <= widget.max:
            raise ValueError(f"{widget.id}={value}: use {called} from {widget.min} to {widget.max}.")
    elif isinstance(widget, io.Combo.Input) and value not in widget.options:
        raise ValueError(f"{widget.id}={value}: use one of {', '.join(map(str, widget.options))}.")
    elif isinstance(widget, io.String.Input) and not isinstance(value, str):
        raise ValueError(f"{widget.id}={value}: connect text here; its type is {type(value).__name__}.")
