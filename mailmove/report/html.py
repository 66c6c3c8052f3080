"""The sign-off report: one HTML file without outside assets or scripts, and the same as JSON beside it."""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import markupsafe

from mailmove.errors import MailmoveError
from mailmove.journey import Journey
from mailmove.report import summary
from mailmove.report.changes import Change
from mailmove.report.record import Recorder

MARKS = {
    "passed": "✓",
    "stands": "=",
    "failed": "✗",
    "unknown": "?",
    "not applicable": "–",
    "planned": "◷",
    "blocked": "⊘",
    "waived": "≈",
    "not run": "○",
}


def write(path: Path, recorder: Recorder, journey: Journey, different: Sequence[Change]) -> None:
    """Write ``path`` and, beside it, the same name with ``.json``. Each appears whole or not at all; mode 0600.

    ``different`` is what changed since the last look. Raises MailmoveError when it cannot be written.
    """
    data = summary.summarize(recorder, journey, different)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path.with_suffix(".json"), json.dumps(data, indent=1, ensure_ascii=False, default=str))
        _replace(path, render(data))
    except OSError as error:
        raise MailmoveError(
            f"the report {path} cannot be written: {error.strerror}",
            "make room there, or name another place with --report; the journal knows what was done: run the same again",
        ) from None


def render(data: dict[str, Any]) -> str:
    """The page for a summary (plain values, as in the JSON)."""
    return _template().render(**data)


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mailmove.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        clock=summary.clock,
        length=summary.length,
        visible=visible,
        mark=lambda outcome: MARKS.get(outcome, "?"),
        slug=lambda text: re.sub(r"\W+", "-", text).strip("-"),
    )
    return environment.get_template("signoff.html.j2")


def visible(text: object) -> markupsafe.Markup:
    """Text from servers, escaped for HTML, with control characters made visible: none reaches the page."""
    clean = re.sub(
        r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]",
        lambda m: f"\\x{ord(m.group()):02x}",
        str(text),
    )
    return markupsafe.escape(clean)


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with open(
        os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8", errors="backslashreplace"
    ) as file:
        try:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            draft.unlink(missing_ok=True)
            raise
    draft.replace(path)
