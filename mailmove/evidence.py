"""What a check found: the arrow from looking to judging.

A check opens an :class:`Examination`, writes down each thing it asked and what came back, and closes it.
The verdict follows from what was written down; a check that looked at nothing can never pass.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Protocol

LONGEST_ANSWER = 4000  # characters kept of one answer; a report of megabytes is read by nobody


class Verdict(enum.StrEnum):
    """What a check, a step or a scenario came to."""

    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"  # could not tell: holds everything up like failed
    NOT_APPLICABLE = "not applicable"

    @property
    def holds(self) -> bool:
        """Whether a move may rely on it."""
        return self in (Verdict.PASSED, Verdict.NOT_APPLICABLE)


@dataclass(frozen=True)
class Finding:
    """One question and its answer, in a sysadmin's words or as the command that was asked."""

    asked: str
    answer: str
    verdict: Verdict
    expected: str = ""


@dataclass(frozen=True)
class Evidence:
    """What one check found. ``subject`` is the server or thing looked at: old, new, both, DNS, outside."""

    title: str
    subject: str
    verdict: Verdict
    findings: tuple[Finding, ...]
    why: str = ""
    hint: str = ""
    required: bool = True
    reason: str = ""  # why not applicable, or why it could not be told

    @property
    def holds(self) -> bool:
        """Whether it holds nothing up: passed, not applicable, or only recommended."""
        return self.verdict.holds or not self.required

    def explain(self) -> str:
        """The failure for a person: facts first, then why it matters, then ``hint:``."""
        bad = [f for f in self.findings if not f.verdict.holds]
        lines = [f"{self.title} ({self.subject}): {self.verdict}" + (f": {self.reason}" if self.reason else "")]
        for finding in bad[:20]:
            expected = f"; expected {finding.expected}" if finding.expected else ""
            lines.append(f"  {finding.asked}: {finding.answer or '(no answer)'}{expected}")
        if len(bad) > 20:
            lines.append(f"  … and {len(bad) - 20} more")
        if self.why:
            lines.append(f"why: {self.why}")
        lines.append(f"hint: {self.hint or 'see the evidence in the report'}")
        return "\n".join(lines)


@dataclass
class Examination:
    """A check at work. ``title`` is the promise looked at, ``subject`` the server or thing.

    ``why`` says why it matters, ``hint`` what to do when it fails (with the guide's chapter).
    """

    title: str
    subject: str
    why: str = ""
    hint: str = ""
    required: bool = True
    _findings: list[Finding] = field(default_factory=list)
    _reason: str = ""

    def expect(self, asked: str, answer: object, good: bool, expected: str = "") -> bool:
        """Write down an answer and whether it is the one expected; returns ``good``."""
        verdict = Verdict.PASSED if good else Verdict.FAILED
        self._findings.append(Finding(_shorten(asked), _shorten(str(answer)), verdict, expected))
        return good

    def equal(self, asked: str, answer: object, expected: object) -> bool:
        """Write down an answer that must equal ``expected``."""
        return self.expect(asked, answer, answer == expected, str(expected))

    def unknown(self, asked: str, reason: str) -> None:
        """Write down that it could not be told, and why (a timeout, no permission to look)."""
        self._findings.append(Finding(_shorten(asked), _shorten(reason), Verdict.UNKNOWN))
        self._reason = self._reason or reason

    def close(self) -> Evidence:
        """The evidence: failed before unknown before passed; unknown if nothing was looked at."""
        verdicts = {f.verdict for f in self._findings}
        reason = self._reason
        if Verdict.FAILED in verdicts:
            verdict, reason = Verdict.FAILED, ""
        elif Verdict.UNKNOWN in verdicts:
            verdict = Verdict.UNKNOWN
        elif Verdict.PASSED in verdicts:
            verdict = Verdict.PASSED
        else:
            verdict, reason = Verdict.UNKNOWN, reason or "nothing was looked at"
        return self._evidence(verdict, reason)

    def not_applicable(self, reason: str) -> Evidence:
        """The evidence when the thing is not there by choice (no POP3 on the old server)."""
        return self._evidence(Verdict.NOT_APPLICABLE, reason)

    def _evidence(self, verdict: Verdict, reason: str) -> Evidence:
        return Evidence(
            self.title, self.subject, verdict, tuple(self._findings), self.why, self.hint, self.required, reason
        )


def _shorten(text: str) -> str:
    text = text.strip()
    return text if len(text) <= LONGEST_ANSWER else f"{text[:LONGEST_ANSWER]} … ({len(text)} characters)"


class Judge(Protocol):
    """What a step hands its evidence to: all of it is put on record, and then the step fails if some holds things up."""

    def __call__(self, *evidence: Evidence) -> None:
        """Judge what one step found."""
