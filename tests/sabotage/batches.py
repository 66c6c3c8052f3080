"""Which breakages can stand at the same time, and each still be told from the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tests.sabotage.expected import WITNESSES, Expected

MOST = 8
"""More at a time, and so much may be red that nothing is unexpected any more."""


NEEDS_A_LETTER = "The database lets in everybody who asks at once"
"""It counts what a letter takes while it is taken: where none is, it cannot say."""


def batches(
    cases: Mapping[str, Expected], features: Mapping[str, str], chapters: Mapping[str, str]
) -> list[tuple[str, ...]]:
    """Put the cases into as few batches as a greedy hand finds.

    Two may stand together when neither may turn the other's scenario red: then each red is seen for its own sake. Nor may they be
    of one chapter: two that change the same files cannot be mended. ``features`` gives the feature of each scenario, ``chapters``
    the chapter of each case.
    """
    made: list[list[str]] = []
    for name, case in cases.items():
        for batch in made:
            if len(batch) < MOST and all(
                chapters[name] != chapters[other]
                and _apart(case, cases[other], features)
                and _apart(cases[other], case, features)
                for other in batch
            ):
                batch.append(name)
                break
        else:
            made.append([name])
    return [tuple(batch) for batch in made]


def allowed(cases: Iterable[Expected]) -> set[str]:
    """The scenarios and features that may be red while these breakages stand."""
    names = {*WITNESSES} | {name for case in cases for name in (case.red, *case.also)}
    return names | {NEEDS_A_LETTER} if "60_delivery" in names else names


def _apart(one: Expected, other: Expected, features: Mapping[str, str]) -> bool:
    return not (one.alone or other.alone) and not {other.red, features[other.red]} & {one.red, *one.also}
