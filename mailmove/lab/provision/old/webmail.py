"""What people left in Roundcube 1.4: profiles, identities, contacts, groups. Writes SQL; knows nothing of mail."""

from __future__ import annotations

import os
import random

FIRST = [
    "Ada",
    "Björn",
    "Chloé",
    "Dmitri",
    "Élodie",
    "Fatima",
    "Gábor",
    "Hanako",
    "İbrahim",
    "Jürgen",
    "Κώστας",
    "Łukasz",
    "María",
    "Nguyễn",
    "Ōtani",
    "Петра",
    "Quentin",
    "Renée",
    "Siân",
]
LAST = [
    "Müller",
    "O'Neill",
    "García",
    "Kowalczyk",
    "Sørensen",
    "d'Artagnan",
    "Иванова",
    "山田",
    "Smith-Jones",
    "\\Backslash",
]
MAIL_HOST = os.environ.get("LAB_FQDN", "mail.example.org")


def quoted(text: str) -> str:
    """A MariaDB string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"


def preferences(**values: object) -> str:
    """Roundcube's preferences as PHP serializes them."""
    parts = []
    for key, value in values.items():
        parts.append(
            f's:{len(key)}:"{key}";'
            + (f"i:{value};" if isinstance(value, int) else f's:{len(str(value).encode())}:"{value}";')
        )
    return f"a:{len(values)}:{{{''.join(parts)}}}"


def vcard(first: str, last: str, email: str) -> str:
    """A contact as Roundcube stores it."""
    return (
        f"BEGIN:VCARD\r\nVERSION:3.0\r\nN:{last};{first};;;\r\nFN:{first} {last}\r\n"
        f"EMAIL;TYPE=INTERNET;TYPE=HOME:{email}\r\nEND:VCARD"
    )


def insert(table: str, **columns: object) -> str:
    """One row as SQL."""
    values = ", ".join(str(value) if isinstance(value, int) else quoted(str(value)) for value in columns.values())
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values});"


def statements(emails: list[str], two_rows: str) -> tuple[str, dict[str, int]]:
    """SQL for the profiles of `emails`; `two_rows` has a second, older one from the days of mail_host `localhost`.

    Returns the SQL and how many rows each table gets.
    """
    dice = random.Random("webmail")
    rows: list[tuple[str, str]] = []
    contact = group = 0
    for user, (email, host) in enumerate([(two_rows, "localhost")] + [(email, MAIL_HOST) for email in emails], 1):
        look = preferences(
            skin="larry" if user % 3 == 0 else "elastic",
            timezone="Europe/Berlin",
            message_sort_col="arrival",
            mail_pagesize=50,
            prettydate=1,
        )
        since = 2019 if host == "localhost" else 2022
        rows.append(
            (
                "users",
                insert(
                    "users",
                    user_id=user,
                    username=email,
                    mail_host=host,
                    created=f"{since}-03-0{1 + user % 9} 10:00:00",
                    last_login=f"2024-11-0{1 + user % 9} 08:00:00",
                    language="de_DE",
                    preferences=look,
                ),
            )
        )
        name = email.split("@")[0].replace(".", " ").title()
        for shown in [name, name + " (private)"][: 2 if user % 4 == 1 else 1]:
            rows.append(
                (
                    "identities",
                    insert(
                        "identities",
                        user_id=user,
                        changed="2023-05-05 12:00:00",
                        standard=int(shown == name),
                        name=shown,
                        organization="Beispiel & Söhne",
                        email=email,
                        signature=f"-- \n{shown}",
                    ),
                )
            )
        groups = []
        for label in ("Family", "Büro", 'Kund*innen "A"')[: 1 + user % 3]:
            group += 1
            groups.append(group)
            rows.append(
                (
                    "contactgroups",
                    insert(
                        "contactgroups",
                        contactgroup_id=group,
                        user_id=user,
                        changed="2023-01-01 00:00:00",
                        name=label,
                    ),
                )
            )
        for _ in range(dice.randint(4, 14)):
            contact += 1
            first, last = dice.choice(FIRST), dice.choice(LAST)
            address = f"contact{contact}@elsewhere.example"
            rows.append(
                (
                    "contacts",
                    insert(
                        "contacts",
                        contact_id=contact,
                        user_id=user,
                        changed="2023-02-02 00:00:00",
                        **{"del": int(contact % 17 == 0)},
                        name=f"{first} {last}",
                        email=address,
                        firstname=first,
                        surname=last,
                        vcard=vcard(first, last, address),
                        words=f"{first} {last} {address}".lower(),
                    ),
                )
            )
            if dice.random() < 0.6:
                rows.append(
                    (
                        "contactgroupmembers",
                        insert(
                            "contactgroupmembers",
                            contactgroup_id=dice.choice(groups),
                            contact_id=contact,
                            created="2023-02-02 00:00:00",
                        ),
                    )
                )
    count: dict[str, int] = {}
    for table, _ in rows:
        count[table] = count.get(table, 0) + 1
    sql = ["SET NAMES utf8mb4;", "START TRANSACTION;", *(row for _, row in rows), "COMMIT;"]
    return "\n".join(sql) + "\n", count
