"""Every format by its name."""

from __future__ import annotations

from feedback.errors import InvalidInput
from feedback.formats import alpaca, argilla, labelstudio, openai, openwebui, ours, sharegpt
from feedback.formats.entries import Format

FORMATS: dict[str, Format] = {
    one.name: one
    for one in (
        ours.FORMAT, openai.FORMAT, openai.PAIRS, alpaca.FORMAT, sharegpt.FORMAT, openwebui.FORMAT, argilla.FORMAT,
        labelstudio.FORMAT,
    )
}  # fmt: skip


def format_of(name: str) -> Format:
    """The format of that name. Raises InvalidInput."""
    found = FORMATS.get(name)
    if found is None:
        raise InvalidInput("format is none that is known.", f"Known are {', '.join(FORMATS)}.")
    return found
