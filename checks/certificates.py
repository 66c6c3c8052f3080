"""Looking at certificates and signing keys that came over: whole, served under each name, and good for signing."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mailmove.clients import imap, letters, signatures, smtp, tls
from mailmove.clients.account import Account
from mailmove.clients.dns import Dns
from mailmove.errors import MailmoveError
from mailmove.evidence import Evidence, Examination
from mailmove.lineages import FurtherName, Look
from mailmove.server import Server

CHAPTER = "guide: Creating a TLS encryption key and certificate"
DKIM_CHAPTER = "guide: Prevent spoofing using DKIM"
ARRIVES_S = 30.0


def certificates_can_be_carried(old: Look, new: Look, new_server: Server) -> Evidence:
    """The old server's certificates and signing keys can be read, and the new one has the programs that use them."""
    exam = Examination(
        "certificates and signing keys can be carried over",
        "both",
        why="keys that nobody on the new server may read sign nothing",
        hint=f"install and set up the package on the new server first ({CHAPTER}; {DKIM_CHAPTER})",
    )
    if not old.lineages and not old.keys:
        return exam.not_applicable("the old server has neither certificates of certbot's nor DKIM keys of rspamd's")
    for words in (*old.trouble, *new.trouble):
        exam.expect("something is wrong with", words, True)
    exam.expect("certificates on old", ", ".join(old.lineages) or "none", True)
    for key in old.keys:
        exam.expect(
            f"DKIM key of {key.domain}, selector {key.selector}, on old",
            key.path if key.public else f"{key.path} cannot be read",
            bool(key.public),
            "a private key",
        )
    if old.keys:
        there = "rspamd" in new_server.facts.packages
        exam.expect("rspamd on new", "installed" if there else "not installed", there, "installed")
    return exam.close()


def lineages_are_whole(old: Look, new: Look) -> Evidence:
    """Each certificate of the old server is on the new one, with its key, its history and its renewal."""
    exam = Examination(
        "the old server's certificates are on the new one, whole",
        "new",
        why="certbot renews only a lineage whose live files are links into its archive",
        hint="carry the certificates again; certbot certificates names what is broken",
    )
    if not old.lineages:
        return exam.not_applicable("no certificates of certbot's on the old server")
    for name, theirs in old.lineages.items():
        ours = new.lineages.get(name)
        if ours is None:
            exam.expect(f"{name} on new", "not there, or without key", False, f"certificate {theirs.fingerprint[:16]}…")
            continue
        good = ours.fingerprint == theirs.fingerprint or (
            ours.ends >= theirs.ends and set(theirs.names) <= set(ours.names)
        )
        days = (ours.ends - time.time()) / 86400
        exam.expect(
            f"{name} on new",
            f"certificate {ours.fingerprint[:16]}… for {', '.join(ours.names)}, {days:.0f} days left",
            good,
            f"{theirs.fingerprint[:16]}…, or one valid as long",
        )
        exam.expect(
            f"{name}: live files",
            "links into the archive" if ours.links else "no links",
            ours.links,
            "links into the archive",
        )
        exam.expect(
            f"{name}: renewal",
            ours.renewal.get("authenticator", "no settings"),
            bool(ours.renewal) or not theirs.renewal,
            "settings",
        )
    return exam.close()


def renewal_has_what_it_needs(old: Look, new_server: Server, new: Look) -> Evidence:
    """What the certificates' renewal needs on the new server is there."""
    exam = Examination(
        "the carried certificates can be renewed on the new server",
        "new",
        why="a renewal made for the old server fails weeks later, when nobody thinks of the move any more",
        hint="set authenticator and paths in /etc/letsencrypt/renewal/NAME.conf as for the new server's own certificate, "
        "then try: certbot renew --dry-run --cert-name NAME (after the switch)",
        required=False,
    )
    for name in old.lineages:
        renewal = new.lineages[name].renewal if name in new.lineages else {}
        how = renewal.get("authenticator", "")
        if how == "webroot":
            for host, root in (renewal.get("webroots") or {}).items():
                there = new_server.run("test", "-d", root).ok
                exam.expect(f"{name}: web root for {host}", root if there else f"{root} is not there", there, "there")
        elif how == "standalone":
            exam.expect(f"{name}: renewed by", how, False, "webroot or apache: Apache holds port 80 on new")
        else:
            exam.expect(f"{name}: renewed by", how or "nobody", bool(how), "a way that works on new")
        for hook in ("pre_hook", "post_hook", "renew_hook"):
            if renewal.get(hook):
                program = renewal[hook].split()[0]
                there = new_server.sh('command -v -- "$1"', program).ok
                exam.expect(f"{name}: {hook}", renewal[hook], there, "a program that is on new")
    left = [hook for hook in old.hooks if hook not in new.hooks]
    exam.expect("renewal hooks only old has (not carried)", ", ".join(left) or "none", not left, "none")
    return exam.close()


def right_certificate_under_each_name(
    new_server: Server, new: Look, further: Sequence[FurtherName], ca_file: Path | None
) -> Evidence:
    """Under each name, its own and those of the old server, the new server shows the certificate for it."""
    exam = Examination(
        "the certificate shown under each name is the one on disk for it",
        "new",
        why="people's programs know the old server's name: a certificate for another name frightens them",
        hint=f"restart postfix, dovecot and apache2; openssl s_client -servername NAME shows what they serve ({CHAPTER})",
    )
    host = new_server.facts.postconf.get("myhostname", "")
    own = next((name for name in new.lineages if "postfix" in new.used(name)), "")
    wanted = [(f.name, new.lineages[f.lineage].fingerprint, f.web) for f in further if f.lineage in new.lineages]
    if own:
        wanted.insert(
            0, (host, new.lineages[own].fingerprint, new.webmail is not None and host in new.webmail["names"])
        )
    ports: list[tuple[int, tls.Dialogue]] = [(25, "smtp")]
    services = new_server.facts.services
    ports += [(587, "smtp")] if any(s.split("/")[0] in ("submission", "587") for s in services) else []
    ports += [(465, "implicit")] if any(s.split("/")[0] in ("submissions", "smtps", "465") for s in services) else []
    ports += [(143, "imap"), (993, "implicit")] if "imap" in new_server.facts.protocols else []
    asked = [
        (name, mark, port, how)
        for name, mark, web in wanted
        for port, how in [*ports, *([(443, "implicit")] if web else [])]
    ]

    def ask(question: tuple[str, str, int, tls.Dialogue]) -> tuple[str, str]:
        name, _, port, how = question
        try:
            seen = tls.look(new_server.address, port, how, name, ca_file)
        except OSError as error:
            return "", str(error)
        return seen.fingerprint, seen.distrust

    with ThreadPoolExecutor(8) as pool:
        for (name, mark, port, _), (seen, words) in zip(asked, pool.map(ask, asked), strict=True):
            if not seen:
                exam.unknown(f"{name}, port {port}", words)
            else:
                exam.expect(
                    f"{name}, port {port}",
                    f"{seen[:16]}…{f' ({words})' if words else ''}",
                    seen == mark and not words,
                    f"{mark[:16]}…, trusted",
                )
    return exam.close()


def signing_keys_are_there(old: Look, new: Look) -> Evidence:
    """rspamd on the new server finds every DKIM key of the old one under the same selector, and may read it."""
    exam = Examination(
        "the new server has every signing key of the old one",
        "new",
        why="mail without a valid signature is refused where DMARC says so",
        hint=f"key files must belong to _rspamd, mode u=r, and have a line in the selector map ({DKIM_CHAPTER})",
    )
    if not old.keys:
        return exam.not_applicable("no DKIM keys of rspamd's on the old server")
    ours = {(key.domain, key.selector): key for key in new.keys}
    for key in old.keys:
        asked = f"{key.domain}, selector {key.selector}"
        here = ours.get((key.domain, key.selector))
        if here is None:
            exam.expect(asked, "new looks for no such selector", False, "the same key as on old")
            continue
        good = bool(here.public) and here.public == key.public
        exam.expect(
            asked,
            f"{here.path}: " + ("the same key" if good else "another key" if here.public else "cannot be read"),
            good,
            "the same key as on old",
        )
        if here.there:
            closed = here.owner == "_rspamd" and here.mode.endswith("00")
            exam.expect(
                f"{here.path}: owner and mode", f"{here.owner} {here.mode}", closed, "_rspamd, readable by nobody else"
            )
    return exam.close()


def letters_are_signed(
    new_server: Server,
    senders: Iterable[Account],
    recipient: Account,
    dns: Dns,
    signing: Iterable[str],
) -> Evidence:
    """A letter that somebody in each domain submits carries a signature that holds against the key in DNS."""
    exam = Examination(
        "letters from each domain are signed, and the signature holds",
        "new",
        why="mail without a valid signature is refused where DMARC says so",
        hint=f"does rspamd see submitted mail as authenticated (milter_mail_macros), and is the key in DNS the one on disk? ({DKIM_CHAPTER})",
    )
    host = new_server.facts.postconf.get("myhostname", "")
    with_keys = {domain.lower() for domain in signing}
    sent = []
    for sender in senders:
        if sender.domain.lower() not in with_keys:
            continue
        letter = letters.compose(sender.email, recipient.email, about="is it signed?")
        call = smtp.Call(
            new_server.address,
            587,
            "starttls",
            host,
            new_server.trust,
            sender,
            sender.email,
            [recipient.email],
            letter.data,
        )
        sent.append((sender, letter, call))
    if not sent:
        return exam.not_applicable("no domain has a signing key on the old server")
    said = smtp.converse_all([call for _, _, call in sent])
    try:
        with imap.login(new_server.address, recipient, name=host, trust=new_server.trust) as mailbox:
            for (sender, letter, _), talk in zip(sent, said, strict=True):
                if not talk.taken:
                    exam.expect(f"letter from {sender.domain}", f"not taken: {talk.words}", False, "taken")
                    continue
                uids = mailbox.find(letter.mark, seconds=ARRIVES_S)
                if not uids:
                    exam.unknown(f"letter from {sender.domain}", f"it did not arrive within {ARRIVES_S:.0f} s")
                    continue
                _signature(exam, sender.domain, mailbox.raw(uids[0]), dns)
    except MailmoveError as error:
        exam.unknown(f"reading the letters as {recipient.email}", error.fact)
    return exam.close()


def _signature(exam: Examination, domain: str, raw: bytes, dns: Dns) -> None:
    marks = signatures.of(raw, lambda name: dns.resolve(name, "TXT"))
    good = any(mark.holds and mark.domain == domain.lower() for mark in marks)
    words = "; ".join(mark.words for mark in marks) or "no DKIM-Signature"
    exam.expect(f"letter from {domain}", words, good, f"a valid signature, d={domain}")
