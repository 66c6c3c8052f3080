"""What a call with --move will do, before it does: the steps, how long people will wait, and what the way back is."""

from __future__ import annotations

from mailmove.journey import HOLDS, Journey

SERVICES_S = 20.0  # to stop and start mail, measured on the lab; what is copied in between comes on top


def plan(journey: Journey) -> list[str]:
    """Lines for a person to read before agreeing."""
    verdicts = journey.journal.verdicts()

    def stands(name: str) -> bool:
        recorded = verdicts.get(name)
        return recorded is not None and recorded.verdict in HOLDS

    moves = [place for place in journey.places if place.is_move and not place.is_undo]
    open_ = [place for place in moves if not stands(place.id)]
    done = f", {len(moves) - len(open_)} are done" if len(moves) > len(open_) else ""
    lines = [f"{len(open_)} of {len(moves)} steps change something and are yet to be made{done}:"]
    lines += [f"  {place.phase.partition('_')[2]}: {place.name}" for place in open_]
    return [
        *lines,
        f"downtime: {_downtime(journey)}",
        "way back: pytest features/ --undo, at any time; mail that came meanwhile comes along",
    ]


def _downtime(journey: Journey) -> str:
    if journey.downtime is not None:
        return f"over; it was {journey.downtime:.0f} s"
    last = journey.journal.recall("cold copy forecast")
    if last is None:
        return "forecast when the mailboxes were copied for the first time; it depends on what changes, not on how much there is"
    return f"about {last + SERVICES_S:.0f} s ({last:.0f} s to copy what changed, by the last pass; the rest to stop and start mail)"
