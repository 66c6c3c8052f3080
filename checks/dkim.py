"""Looking at DKIM: is mail signed with the key that stands in DNS, before the move and after it?"""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from mailmove.clients import signatures, tags
from mailmove.evidence import Evidence, Examination
from mailmove.journal import Journal
from mailmove.migration import Migration
from mailmove.routing import dns_of
from mailmove.server import Server

CARRIED_BY = "certificates"
"""The move that brings the keys to the new server."""

CHAPTER = "guide: Prevent spoofing using DKIM"


@dataclass(frozen=True)
class Key:
    """One signing key on a server, its public half in base64. ``mapped``: its selector is set for the domain."""

    domain: str
    signs_as: str
    selector: str
    path: str
    there: bool
    mapped: bool
    public: str
    kind: str
    problem: str
    readable: bool
    mode: str
    unused: tuple[str, ...]  # keys of other selectors, where this one is not there


@dataclass(frozen=True)
class Signing:
    """How a server's rspamd signs. ``config`` is its signing module's configuration, None if it has none.

    ``trials``: for each domain it would sign a letter as it would go out (empty: not signed) and what went wrong.
    """

    installed: bool
    valid: bool
    said: str
    config: dict[str, Any] | None
    keys: tuple[Key, ...]
    problems: tuple[str, ...]
    user: str
    trials: dict[str, tuple[bytes, str]]
    others: tuple[str, ...] = ()  # programs beside rspamd that sign

    @property
    def signs(self) -> bool:
        """Whether it signs, or is meant to sign, any domain."""
        return any(k.there or k.mapped for k in self.keys)


@dataclass(frozen=True)
class Both:
    """How both servers sign, asked at the same time."""

    old: Signing
    new: Signing

    @property
    def domains(self) -> frozenset[str]:
        """The domains that have a key on either server."""
        return frozenset(key.domain for each in (self.old, self.new) for key in each.keys if key.there or key.mapped)


def signing_of(server: Server, domains: list[str], trial: bool = False) -> Signing:
    """Ask a server's rspamd about these domains; with ``trial`` let it sign a letter that goes nowhere."""
    (raw,) = server.remote("dkim", {"domains": domains, "try": trial}, timeout_s=60)
    return Signing(
        raw["installed"],
        raw["valid"],
        raw["said"],
        raw["config"],
        tuple(Key(**{**key, "unused": tuple(key["unused"])}) for key in raw["keys"]),
        tuple(raw["problems"]),
        raw.get("user", ""),
        {domain: (base64.b64decode(letter), wrong) for domain, (letter, wrong) in raw.get("trials", {}).items()},
        tuple(raw.get("signers", ())),
    )


def signing_of_both(migration: Migration) -> Both:
    """Ask both servers. Only the new one is shown letters to sign: nothing at all is done on the old one."""
    with ThreadPoolExecutor(2) as pool:
        old = pool.submit(signing_of, migration.old, migration.domains)
        new = pool.submit(signing_of, migration.new, migration.domains, True)
        return Both(old.result(), new.result())


def signing_is_loaded(migration: Migration, both: Both) -> Evidence:
    """The new server's spam filter is ready to sign what users send."""
    exam = Examination(
        "the new server is ready to sign mail (DKIM)",
        "new",
        why="unsigned mail of a domain that signed so far is distrusted, and refused under a strict DMARC policy",
        hint=f"write the signing settings as on the old server, and connect Postfix to rspamd ({CHAPTER})",
    )
    old, new = both.old, both.new
    if not old.signs and not new.signs:
        return exam.not_applicable("the old server signs no mail")
    if not exam.expect("rspamd", "installed" if new.installed else "not installed", new.installed, "installed"):
        return exam.close()
    for problem in new.problems:
        exam.expect("the maps of keys", problem, False, "readable")
    first = new.said.splitlines()[0] if new.valid and new.said else new.said
    exam.expect("rspamadm configtest", first, new.valid, "syntax OK")
    config = new.config
    enabled = config is not None and config.get("enabled", True) is not False
    its = (
        f"keys {config.get('path')}, selectors {config.get('selector_map') or config.get('selector')}" if config else ""
    )
    exam.expect("the signing module", its if enabled else "not set up", enabled, "set up")
    if config and enabled:
        places = [config.get(k) for k in ("path", "path_map", "domain", "use_redis", "use_vault")]
        good = any(places) and not any(isinstance(p, list) for p in places)
        exam.expect("where it looks for keys", places[0] or "other places", good, "one path")
        signs = config.get("sign_authenticated", True) is not False
        exam.expect("mail of users who logged in", "is signed" if signs else "is not signed", signs, "is signed")
    milters = migration.new.setting("smtpd_milters")
    active = migration.new.host.service("rspamd").is_running
    macros = migration.new.setting("milter_mail_macros")
    exam.expect(
        "milter_mail_macros, by which rspamd learns who is logged in", macros, "auth_authen" in macros, "{auth_authen}"
    )
    exam.expect("Postfix' smtpd_milters", milters or "none", bool(milters), "rspamd")
    exam.expect("rspamd", "running" if active else "not running", active, "running")
    return exam.close()


def old_keys_are_found(both: Both) -> Evidence:
    """The key of every domain that the old server signs is there and can be read."""
    exam = Examination(
        "every signing key of the old server is found",
        "old",
        why="only a key that is found can be carried over",
        hint=f"compare the selector map with the key files on the old server ({CHAPTER})",
    )
    old = both.old
    for problem in old.problems:
        exam.expect("the maps of keys", problem, False, "readable")
    for name in old.others:
        exam.expect(f"mail signed by {name}", "its keys are not carried over, and unsigned mail is distrusted", False,
                    "keys of rspamd's: give it the same key files and selectors, on old already or on new")  # fmt: skip
    if not old.signs:
        return exam.close() if old.problems or old.others else exam.not_applicable("the old server signs no mail")
    for key in old.keys:
        asked = f"key of {key.domain} (selector {key.selector})"
        if not key.there and not key.mapped:
            lying = f" (though there is {', '.join(key.unused)})" if key.unused else ""
            exam.expect(asked, f"none is set: mail of this domain is not signed{lying}", True)
            continue
        answer = f"{key.path}: {key.problem or (key.kind if key.there else 'not there')}"
        exam.expect(asked, answer, bool(key.public), "a key")
    return exam.close()


def dns_has_the_keys(migration: Migration, both: Both) -> list[Evidence]:
    """For every domain the key in DNS is the one the mail is signed with; and whether it is meant in earnest."""
    exam = Examination(
        "the signing key in DNS is the one the old server signs with",
        "DNS",
        why="a signature that does not fit the key in DNS is worse than none",
        hint="publish the public half of the key named, as TXT record at selector._domainkey.domain "
        f"({CHAPTER}); or sign with the key that DNS has",
    )
    old = both.old
    keys = [k for k in old.keys if k.public]
    if not keys:
        reason = "no key is found on the old server" if old.signs else "the old server signs no mail"
        return [exam.not_applicable(reason)]
    advice = Examination(
        "no signing key in DNS is marked as a trial",
        "DNS",
        why="receivers treat a letter signed with such a key as if it was not signed (RFC 6376, 3.6.1)",
        hint="take t=y out of the record; it stays behind when the trial is over",
        required=False,
    )
    trials = False
    names = {k: f"{k.selector}._domainkey.{k.signs_as}" for k in keys}
    replies = dns_of(migration).known((name, "TXT") for name in names.values())
    for key, name in names.items():
        reply = replies[name, "TXT"]
        if not reply.told:
            exam.unknown(f"TXT of {name}", reply.words)
        else:
            answer, good = compare(reply.values, key)
            exam.expect(f"TXT of {name}", answer, good, f"the public half of {key.path}")
            if good and tags.dkim_key(reply.values[0]).testing:
                trials = True
                advice.expect(f"TXT of {name}", "marked as a trial (t=y)", False, "without t=y")
    return [exam.close(), *([advice.close()] if trials else [])]


def compare(values: tuple[str, ...], key: Key) -> tuple[str, bool]:
    """Whether the TXT values at a selector hold this key, in words and as a verdict."""
    if not values:
        return "no such record", False
    if len(values) > 1:
        return f"{len(values)} records; which of them is asked is chance (RFC 6376, 3.6.2.2)", False
    try:
        found = tags.dkim_key(values[0])
    except tags.Malformed as error:
        return f"{error}: {values[0]}", False
    if not found.public:
        return "revoked (p= is empty)", False
    if found.kind != key.kind:
        return f"a key of kind {found.kind}, on the server it is {key.kind}", False
    if found.hashes and "sha256" not in found.hashes:
        return f"it is for signatures with {', '.join(found.hashes)} only (h=), and mail is signed with sha256", False
    if found.services and not {"*", "email"} & set(found.services):
        return f"it is for {', '.join(found.services)} only (s=), not for email", False
    if found.public != base64.b64decode(key.public):
        return f"another key (p={values[0].partition('p=')[2][:24]}…, on the server {key.public[:24]}…)", False
    return f"the same {found.kind} key" + (" (marked as testing)" if found.testing else ""), True


def new_signs_with_the_same_keys(migration: Migration, both: Both, journal: Journal) -> Evidence:
    """The new server's filter may read its keys, and signs with them so that the world can verify it."""
    exam = Examination(
        "the new server signs with keys that the world knows",
        "new",
        why="without key and selector map rspamd signs nothing, and says so only in its log",
        hint=f"keys belong to the filter's user, mode 0400; the selector map must be there too; a key of its own must "
        f"stand in DNS before it signs ({CHAPTER}); or carry the old ones over again: pytest features/2_prepare --move",
    )
    old, new = both.old, both.new
    moved = bool(journal.proved(CARRIED_BY))
    unused = [key for key in new.keys if key.unused]
    if not moved and not new.signs and not unused:
        return exam.not_applicable("the keys come with the move of certificates and signing keys")
    if not old.signs and not new.signs and not unused:
        return exam.not_applicable("the old server signs no mail")
    for problem in new.problems:
        exam.expect("the maps of keys", problem, False, "readable")
    if moved:
        _expect_same(exam, old, new)
    for key in new.keys:
        if key.there:
            read = "can be read" if key.readable else f"refused (mode {key.mode})"
            exam.expect(f"{key.path} read as {new.user}", read, key.readable, "can be read")
        elif key.unused and not key.mapped:
            lies = ", ".join(key.unused)
            exam.expect(
                f"key of {key.domain}", f"none is set, though there is {lies}", False, "its selector in the map"
            )
        elif key.mapped:
            exam.expect(f"key of {key.domain} (selector {key.selector})", "not there", False, key.path)
    dns = dns_of(migration)
    for domain, (letter, wrong) in new.trials.items():
        asked = f"a letter of postmaster@{domain}, as rspamd would let it out"
        if wrong:
            exam.expect(asked, wrong, False, "signed")
        for mark in signatures.of(letter, lambda name: dns.known([(name, "TXT")])[name, "TXT"]):
            exam.expect(asked, mark.words, mark.holds, "a signature that holds against the key in DNS")
    return exam.close()


def _expect_same(exam: Examination, old: Signing, new: Signing) -> None:
    has = {(k.domain, k.selector): k for k in new.keys}
    for key in (k for k in old.keys if k.public):
        asked = f"key of {key.domain} (selector {key.selector})"
        there = has.get((key.domain, key.selector))
        if there is None or not there.there:
            exam.expect(asked, "not there" if there else "another selector is set", False, key.path)
        else:
            same = there.public == key.public
            exam.expect(asked, "the same" if same else "another key", same, "the same")
