# ruff: noqa: S608 -- every value goes through sql.literal; the rest is constant
"""Accounts of our own on a server, to log in and to receive with; nobody's mailbox is touched for a test."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType

from mailmove import sql
from mailmove.clients.account import PROBE_DOMAIN, PROBE_PREFIX, Account, is_probe
from mailmove.errors import ServerError
from mailmove.migration import Migration
from mailmove.server import Server

SCHEME = "BLF-CRYPT"  # what the guide's sample passwords use
SLOW_ROUNDS = "10"  # of BLF-CRYPT: some 60 ms of processor time

_OURS = f"email LIKE '{PROBE_PREFIX}%' OR email LIKE '%@{PROBE_DOMAIN}'"

# Takes homes on standard input, one a line; prints what it removed. Each must lie below the mail root and be named
# as ours: a wrong answer of the user database must never make us remove somebody's mail.
_REMOVE_HOMES = f"""
root=$1
{{ cat; find "$root" -mindepth 1 -maxdepth 2 -type d \\( -iname '{PROBE_PREFIX}*' -o -iname '{PROBE_DOMAIN}' \\); }} |
sort -ru | while IFS= read -r home; do
    case $home in *..*) continue;; "$root"/*) ;; *) continue;; esac
    # A Dovecot that takes names as they are typed makes homes for those in capitals
    case $(printf %s "$home" | tr A-Z a-z) in */{PROBE_PREFIX}*|*/{PROBE_DOMAIN}|*/{PROBE_DOMAIN}/*) ;; *) continue;; esac
    [ -d "$home" ] || continue
    # A session that ends just now may put a file back while its folder is being removed
    for attempt in 1 2 3; do rm -rf --one-file-system -- "$home" 2>/dev/null && break; sleep 0.2; done
    [ -d "$home" ] && {{ echo "$home is still there" >&2; exit 1; }}
    # The domain's own directory, if the probe was the first one there
    parent=${{home%/*}}; [ "$parent" = "$root" ] || rmdir -- "$parent" 2>/dev/null
    printf '%s\\n' "$home"
done
"""

# Of the visitors to the webmail: who they are stands serialised and in base64 in the row.
_END_SESSIONS = (
    "DELETE FROM session WHERE CONVERT(FROM_BASE64(vars) USING latin1) REGEXP "
    f'\'username";s:[0-9]+:"({PROBE_PREFIX}[^"]*|[^"]*@{PROBE_DOMAIN})"\';'
)


@dataclass(frozen=True)
class _Known:
    account: Account
    hash: str


class ProbeAccounts:
    """Probe accounts on one server, by its own database and Dovecot. A context manager.

    On entering, what a crashed run left is removed; on leaving, all that was made: rows, homes with their mail,
    Roundcube's users, letters still in the queue. Asking for an account again puts its row back if a move
    replaced the tables meanwhile.
    """

    domain = PROBE_DOMAIN

    def __init__(self, server: Server, migration: Migration, *, in_a_hurry: bool = False) -> None:
        """``in_a_hurry``: what a crashed run left is removed on leaving, not on entering as well."""
        self.server = server
        self.migration = migration
        self._in_a_hurry = in_a_hurry
        self._database = server.facts.database
        self._known: dict[str, _Known] = {}

    def __enter__(self) -> ProbeAccounts:
        if not self._database:
            raise ServerError(
                f"the {self.server.role} server has no database of mail accounts that Postfix would ask: "
                f"virtual_mailbox_domains = {self.server.setting('virtual_mailbox_domains') or '(empty)'}",
                "finish the guide's chapters on the database and on Postfix' maps first",
            )
        if not self._in_a_hurry:
            self._remove_all()
        sql.run(self.server, self._database, _ensure_domain(PROBE_DOMAIN))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove_all()

    def account(self, local: str = "anna", quota_bytes: int | None = None) -> Account:
        """The account ``local`` in the probe domain, made when first asked for.

        ``quota_bytes`` sets its quota (0: none); None leaves it as it is.
        """
        return self._ensure(f"{local}@{PROBE_DOMAIN}", quota_bytes)

    def reserve(self, local: str) -> Account:
        """Name and password of an account in the probe domain that :meth:`store` will make."""
        email = f"{local}@{PROBE_DOMAIN}"
        known = self._known.get(email)
        return known.account if known else Account(email, secrets.token_urlsafe(18))

    def store(self, hashes: Mapping[Account, str]) -> None:
        """Make reserved accounts, with their passwords hashed by somebody else."""
        made = [_Known(account, hashed) for account, hashed in hashes.items()]
        if made:
            self._write(made)
            self._known |= {known.account.email: known for known in made}

    def slow(self) -> Account:
        """An account whose password takes a while to be tried: many can try at once before the first is told no."""
        account = self.reserve("slow")
        if account.email not in self._known:
            self.store({account: self._hash(account, "-r", SLOW_ROUNDS)})
        return account

    @contextmanager
    def exposed(self) -> Iterator[Account]:
        """An account whose password may be read by others: while it lasts, and no longer, it opens an empty mailbox."""
        account = Account(f"exposed-{secrets.token_hex(4)}@{PROBE_DOMAIN}", secrets.token_urlsafe(18), exposed=True)
        self._write([_Known(account, self._hash(account))])
        try:
            yield account
        finally:
            delete = f"DELETE FROM virtual_users WHERE email = {sql.literal(account.email)};"
            sql.run(self.server, self._database, delete)
            self.server.run("doveadm", "auth", "cache", "flush", account.email)  # nothing to do where none is kept
            self.server.run("doveadm", "kick", account.email)

    def in_domain(self, domain: str, quota_bytes: int | None = None) -> Account:
        """A temporary account of ours in one of the real domains, which must be hosted already."""
        found = [email for email in self._known if email.startswith(PROBE_PREFIX) and email.endswith("@" + domain)]
        email = found[0] if found else f"{PROBE_PREFIX}{secrets.token_hex(4)}@{domain}"
        return self._ensure(email, quota_bytes)

    def alias(self, source: str, destination: str) -> None:
        """Mail for ``source``, an address of ours, goes to ``destination`` (several: with commas between)."""
        if not is_probe(source):
            raise ValueError(f"{source} is no address of ours; an alias of a person is never made")
        at, to, domain = map(sql.literal, (source, destination, source.rpartition("@")[2]))
        sql.run(
            self.server,
            self._database,
            _ensure_domain(PROBE_DOMAIN)
            + f"INSERT INTO virtual_aliases (domain_id, source, destination) SELECT MIN(id), {at}, {to} "
            + f"FROM virtual_domains WHERE name = {domain} AND NOT EXISTS (SELECT 1 FROM virtual_aliases "
            + f"WHERE source = {at} AND destination = {to}) HAVING MIN(id) IS NOT NULL;",
        )

    @contextmanager
    def catch_all(self, account: Account) -> Iterator[None]:
        """While it lasts, whatever comes for nobody in the probe domain goes to ``account``."""
        source = f"@{PROBE_DOMAIN}"
        self.alias(source, account.email)
        try:
            yield
        finally:
            delete = f"DELETE FROM virtual_aliases WHERE source = {sql.literal(source)};"
            sql.run(self.server, self._database, delete)

    def home(self, account: Account) -> str:
        """Where the account's home is, as Dovecot says."""
        return self.server.run("doveadm", "user", "-f", "home", "--", account.email, check=True).out.strip()

    def _ensure(self, email: str, quota_bytes: int | None) -> Account:
        known = self._known.get(email)
        if known is None:
            account = Account(email, secrets.token_urlsafe(18))
            known = self._known[email] = _Known(account, self._hash(account))
        self._write([known], quota_bytes)
        return known.account

    def _write(self, rows: Sequence[_Known], quota_bytes: int | None = None) -> None:
        """Put accounts into the database, or back into it."""
        statements = _ensure_domain(PROBE_DOMAIN)
        for known in rows:
            domain, address, hashed = map(sql.literal, (known.account.domain, known.account.email, known.hash))
            statements += (
                "INSERT INTO virtual_users (domain_id, email, password) "
                + f"SELECT MIN(id), {address}, {hashed} FROM virtual_domains WHERE name = {domain} "
                + f"AND NOT EXISTS (SELECT 1 FROM virtual_users WHERE email = {address}) HAVING MIN(id) IS NOT NULL;\n"
                + f"UPDATE virtual_users SET password = {hashed}"
                + (f", quota = {int(quota_bytes)}" if quota_bytes is not None else "")
                + f" WHERE email = {address};\n"
            )
        addresses = ", ".join(sql.literal(known.account.email) for known in rows)
        statements += f"SELECT COUNT(*) FROM virtual_users WHERE email IN ({addresses});"
        if sql.run(self.server, self._database, statements).strip() != str(len(rows)):
            domains = ", ".join(sorted({known.account.domain for known in rows}))
            raise ServerError(
                f"no account can be made in {domains}: the {self.server.role} server does not host it",
                "carry the accounts over first",
            )

    def _hash(self, account: Account, *options: str) -> str:
        # It asks twice; what it is told must not be on the command line.
        answer = self.server.run(
            "doveadm", "pw", "-s", SCHEME, *options, "-u", account.email, stdin=f"{account.password}\n" * 2, check=True
        )
        return answer.out.strip().splitlines()[-1]

    def _remove_all(self) -> None:
        """All that is ours on the server, whichever run made it. Done twice equals done once."""
        like = f"SELECT email FROM virtual_users WHERE {_OURS}"
        emails = [row[0] for row in sql.rows(self.server, self._database, like)]
        homes = self._homes(emails)
        sql.run(
            self.server,
            self._database,
            f"DELETE FROM virtual_users WHERE {_OURS};\n"
            + f"DELETE FROM virtual_aliases WHERE {_OURS.replace('email', 'source')};\n"
            + f"DELETE FROM virtual_domains WHERE name = '{PROBE_DOMAIN}';\n",
        )
        self._remove_queued()
        if emails:  # they may well have no session
            self.server.run("doveadm", "kick", f"*@{PROBE_DOMAIN}")
            self.server.run("doveadm", "kick", f"{PROBE_PREFIX}*")
        root = self.server.facts.mail_root
        if root:
            self.server.sh(_REMOVE_HOMES, root, stdin="".join(f"{home}\n" for home in homes), check=True)
        if self.server.facts.roundcube:
            ours = _OURS.replace("email", "username")
            sql.run(self.server, self.server.facts.roundcube, f"DELETE FROM users WHERE {ours};\n{_END_SESSIONS}")

    def _homes(self, emails: list[str]) -> list[str]:
        if not emails:
            return []
        said = self.server.run("doveadm", "user", "-f", "home", "--", *emails).out
        return [line for line in said.splitlines() if line.startswith("/")]

    def _remove_queued(self) -> None:
        """Letters still in the queue that have only to do with us: they would come back as bounces."""
        ids = queued_probes(self.server.run("postqueue", "-j").out)
        if ids:
            self.server.run("postsuper", "-d", "-", stdin="".join(f"{each}\n" for each in ids))


def queued_probes(listing: str) -> list[str]:
    """Queue ids of the letters whose recipients are all probes, from ``postqueue -j`` (one JSON object a line)."""
    found = []
    for line in listing.splitlines():
        letter = json.loads(line)
        recipients = [each["address"] for each in letter["recipients"]]
        if recipients and all(is_probe(address) for address in recipients):
            found.append(str(letter["queue_id"]))
    return found


def _ensure_domain(domain: str) -> str:
    text = sql.literal(domain)
    return (
        f"INSERT INTO virtual_domains (name) SELECT {text} FROM DUAL "
        f"WHERE NOT EXISTS (SELECT 1 FROM virtual_domains WHERE name = {text});\n"
    )
