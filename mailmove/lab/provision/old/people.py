"""Who lives on the old server: mailboxes, aliases, and what is peculiar about each. Plain data.

The peculiar ones come first; the rest fills up the domains with people who have hardly any mail.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field

NAMES = ("example.org", "example.net", "xn--bcher-kva.example")
DOMAINS = os.environ.get("LAB_DOMAINS", " ".join(NAMES)).split()
"""The domains in the place of NAMES: variants of the lab have others."""
LONG = "a-very-long-local-part-that-just-fits-into-what-rfc-5321-permits"  # 64 characters

NESTED = ["Archive", "Archive.2019", "Archive.2019.Q1", "Archive.2019.Q2.Invoices", "Archive.2020"]
FOREIGN = ["Entwürfe (alt)", "Büro.Rechnungen.2023", "日本語", "Архив.Письма", "Zażółć gęślą", "R&D", "📬 Post"]
HOSTILE = [
    "it's",
    'say "hi"',
    "$(touch pwned)",
    "back\\slash",
    "-rf",
    " leading",
    "two  spaces",
    "semi;colon|pipe",
    "tab&amp",
]


@dataclass
class Person:
    """A mailbox.

    `quota` in bytes, 0 = none; `folders`: letters in each folder besides the inbox; `traits`: what populate.py adds.
    """

    email: str
    scheme: str = "BLF-CRYPT"
    note: str = ""
    password: str = ""
    quota: int = 0
    inbox: int = 0
    folders: dict[str, int] = field(default_factory=dict)
    traits: tuple[str, ...] = ()


def here(address: str) -> str:
    """The address, or the list of addresses, in the domains that this server has."""
    for name, domain in zip(NAMES, DOMAINS):  # noqa: B905 - Python 3.9
        address = address.replace("@" + name, "@" + domain)
    return address


def selectors() -> dict[str, str]:
    """The DKIM selector of each domain; none if nothing is signed here."""
    how = os.environ.get("DKIM", "map")
    dates = {"map": ["2021110401", "2022031501", "2023060101"], "default": ["dkim"] * 3, "none": []}
    return dict(zip(DOMAINS, dates[how]))  # noqa: B905


def spread(names: list[str], count: int) -> dict[str, int]:
    """The same number of letters for each folder."""
    return dict.fromkeys(names, count)


def everyone() -> list[Person]:
    """All mailboxes, always the same ones in the same order."""
    usual = {"Sent": 8, "Drafts": 1, "Trash": 2}
    people = [
        Person(
            "john@example.org",
            note="much mail, nested folders, flags, Sieve, two rows in Roundcube's users",
            inbox=240,
            folders={**spread(NESTED, 24), **usual, "Junk": 12},
            traits=("sieve", "flags", "moves", "webmail"),
        ),
        Person(
            "alice@example.org",
            "SHA512-CRYPT",
            "folders with non-ASCII names",
            inbox=160,
            folders={**spread(FOREIGN, 14), **usual, "Junk": 4},
            traits=("flags", "moves", "webmail", "sieve"),
        ),
        Person(
            "bob@example.org",
            "SHA256-CRYPT",
            "folders named to break programs",
            inbox=90,
            folders={**spread(HOSTILE, 4), **usual},
            traits=("flags", "webmail"),
        ),
        Person(
            "carol@example.org",
            "SSHA",
            "password with quotes and a dollar sign",
            password='it\'s "quoted" $HOME \\o/',
            inbox=40,
            folders=dict(usual),
            traits=("webmail",),
        ),
        Person("dave@example.org", "PLAIN", "password stored in clear", inbox=25, folders=dict(usual)),
        Person(
            "erin@example.org",
            "CRYPT",
            "password last changed in Roundcube ({CRYPT}$2y$)",
            inbox=60,
            folders={**usual, "Kunden.Müller": 9},
            traits=("webmail", "flags", "roundcube-sieve"),
        ),
        Person(
            "o'brien@example.org",
            note="apostrophe",
            inbox=22,
            folders={**usual, "Mac's": 3},
            traits=("webmail", "sieve"),
        ),
        Person(
            "anna.maria.schmidt@example.org",
            "CRYPT-2A",
            note="dots; password changed in Roundcube 1.4 ({CRYPT}$2a$)",
            inbox=30,
            folders=dict(usual),
            traits=("webmail",),
        ),
        Person(LONG + "@example.org", note="longest local part", inbox=5),
        Person("r&d@example.org", note="ampersand", inbox=6, folders={"Sent": 2}),
        Person(
            "frank@example.org",
            note="mailbox nearly full: less than 100 kB left",
            inbox=60,
            folders=dict(usual),
            traits=("nearly-full",),
        ),
        Person(
            "grace@example.org",
            note="left over from an earlier edition: folder INBOX.Junk, and a script that names it",
            inbox=20,
            folders={**usual, "INBOX.Junk": 15},
            traits=("old-junk",),
        ),
        Person("heidi@example.org", note="reads by POP3", inbox=35),
        Person("ivan@example.org", note="quota of 50 MB", quota=50_000_000, inbox=30, folders=dict(usual)),
        Person("judy@example.org", note="never had a letter: no Maildir on disk"),
        Person("mallory@example.org", note="one letter of 12 MB", inbox=8, folders=dict(usual), traits=("large",)),
        Person(
            "olivia@example.org", note="letters that break programs", inbox=10, folders=dict(usual), traits=("odd",)
        ),
        Person(
            "peggy@example.org",
            note="hard-linked copies in several folders",
            inbox=40,
            folders={**usual, "Copies": 2, "Copies.Again": 1},
            traits=("hardlinks", "flags"),
        ),
        Person(
            "rupert@example.org",
            note="Sieve files into folders and throws away X-Lab-Discard",
            inbox=12,
            folders={"Lists.Debian": 10},
            traits=("sieve-discard",),
        ),
        Person(
            "sybil@example.org",
            note="alias keeps a copy here and sends one to sink@elsewhere.example",
            inbox=12,
            folders=dict(usual),
        ),
        Person(
            "walter@example.org",
            note="subscribed to folders that are gone; folders nobody subscribed to",
            inbox=15,
            folders={**usual, "Unsubscribed": 4},
            traits=("subscriptions", "flags"),
        ),
        Person("postmaster@example.org", note="postmaster and abuse of all domains", inbox=18),
        Person(
            "office@example.net",
            "SHA512-CRYPT",
            "takes the catch-all of example.net",
            inbox=55,
            folders=dict(usual),
            traits=("webmail",),
        ),
        Person(
            "alice@example.net",
            note="namesake of alice@example.org",
            inbox=20,
            folders=dict(usual),
            traits=("webmail",),
        ),
        Person(
            "info@xn--bcher-kva.example",
            note="domain with an umlaut",
            inbox=45,
            folders={**usual, "Bücher": 12},
            traits=("webmail", "flags"),
        ),
        Person(
            "verlag@xn--bcher-kva.example",
            "SHA256-CRYPT",
            inbox=20,
            folders={**usual, "Autoren.Ä–Z": 8},
            traits=("webmail",),
        ),
    ]
    few = {
        "example.org": ["trent", "victor", "under_score", "x", "nobody-reads-this"],
        "example.net": ["mike", "nina", "oscar", "pat", "quinn", "sales", "support"],
        "xn--bcher-kva.example": ["buchhaltung", "jose", "kontakt", "lager", "maria"],
    }
    dice = random.Random("a few letters each")
    for domain, names in few.items():
        for name in names:
            people.append(Person(f"{name}@{domain}", inbox=dice.randint(3, 14), folders={"Sent": dice.randint(0, 3)}))
    schemes = os.environ.get("SCHEMES", "").split()
    for number, person in enumerate(people):
        person.email = here(person.email)
        person.scheme = schemes[number % len(schemes)] if schemes else person.scheme
        person.password = person.password or f"lab-{number:02d}-{random.Random(person.email).getrandbits(40):010x}"
    return people


_ALIASES: list[tuple[str, str]] = [
    ("jack@example.org", "john@example.org"),
    ("team@example.org", "alice@example.org"),  # several destinations, a row each
    ("team@example.org", "bob@example.org"),
    ("team@example.org", "carol@example.org"),
    ("board@example.org", "dave@example.org, erin@example.org,anna.maria.schmidt@example.org"),  # one row with a list
    ("outside@example.org", "friend@elsewhere.example"),
    ("chain@example.org", "chain-2@example.org"),  # an alias to an alias to an alias, across domains
    ("chain-2@example.org", "chain-3@example.net"),
    ("chain-3@example.net", "verlag@xn--bcher-kva.example"),
    ("sales+north@example.org", "anna.maria.schmidt@example.org"),
    ("o'reilly@example.org", "o'brien@example.org"),
    ("sybil@example.org", "sybil@example.org"),  # a copy here, a copy outside
    ("sybil@example.org", "sink@elsewhere.example"),
    ("abuse@example.org", "postmaster@example.org"),
    ("postmaster@example.net", "postmaster@example.org"),
    ("abuse@example.net", "postmaster@example.org"),
    ("postmaster@xn--bcher-kva.example", "postmaster@example.org"),
    ("abuse@xn--bcher-kva.example", "postmaster@example.org"),
]
ALIASES = [(here(source), here(destination)) for source, destination in _ALIASES]
CATCHALL = (here("@example.net"), here("office@example.net"))


if __name__ == "__main__":
    for domain, selector in selectors().items():
        print(domain, selector)
