"""What people left in Roundcube 1.4: profiles, identities, contacts, groups. Writes SQL; knows nothing of mail."""
from __future__ import annotations

import random
from typing import Dict, List, Tuple

FIRST = "Ada Björn Chloé Dmitri Élodie Fatima Gábor Hanako İbrahim Jürgen Κώστας Łukasz María Nguyễn Ōtani Петра Quentin Renée Siân".split()
LAST = "Müller O'Neill García Kowalczyk Sørensen d'Artagnan Иванова 山田 Smith-Jones \\Backslash".split()
MAIL_HOST = "mail.example.org"


def quoted(text: str) -> str:
    """A MariaDB string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"


def preferences(**values: object) -> str:
    """Roundcube's preferences as PHP serializes them."""
    parts = []
    for key, value in values.items():
        parts.append(f's:{len(key)}:"{key}";' + (f"i:{value};" if isinstance(value, int) else f's:{len(str(value).encode())}:"{value}";'))
    return f"a:{len(values)}:{{{''.join(parts)}}}"


def vcard(first: str, last: str, email: str) -> str:
    """A contact as Roundcube stores it."""
    return f"BEGIN:VCARD\r\nVERSION:3.0\r\nN:{last};{first};;;\r\nFN:{first} {last}\r\nEMAIL;TYPE=INTERNET;TYPE=HOME:{email}\r\nEND:VCARD"


def statements(emails: List[str], two_rows: str) -> Tuple[str, Dict[str, int]]:
    """SQL for the profiles of `emails`; `two_rows` has a second, older one from the days of mail_host `localhost`.

    Returns the SQL and how many rows each table gets.
    """
    dice = random.Random("webmail")
    sql = ["SET NAMES utf8mb4;", "START TRANSACTION;"]
    count = dict.fromkeys(("users", "identities", "contacts", "contactgroups", "contactgroupmembers"), 0)
    contact = group = user = 0
    for email, host in [(two_rows, "localhost")] + [(email, MAIL_HOST) for email in emails]:
        user += 1
        skin = "larry" if user % 3 == 0 else "elastic"
        prefs = preferences(skin=skin, timezone="Europe/Berlin", message_sort_col="arrival", mail_pagesize=50, prettydate=1)
        sql.append("INSERT INTO users (user_id, username, mail_host, created, last_login, language, preferences) VALUES "
                   f"({user}, {quoted(email)}, {quoted(host)}, '20{19 if host == 'localhost' else 22}-03-0{1 + user % 9} 10:00:00', "
                   f"'2024-11-0{1 + user % 9} 08:00:00', 'de_DE', {quoted(prefs)});")
        name = email.split("@")[0].replace(".", " ").title()
        senders = [(name, email, 1)] + ([(name + " (private)", email, 0)] if user % 4 == 1 else [])
        for shown, address, standard in senders:
            count["identities"] += 1
            sql.append("INSERT INTO identities (user_id, changed, standard, name, organization, email, signature) VALUES "
                       f"({user}, '2023-05-05 12:00:00', {standard}, {quoted(shown)}, 'Beispiel & Söhne', {quoted(address)}, "
                       f"{quoted('-- ' + chr(10) + shown)});")
        groups = []
        for label in ("Family", "Büro", "Kund*innen \"A\"")[: 1 + user % 3]:
            group += 1
            groups.append(group)
            sql.append(f"INSERT INTO contactgroups (contactgroup_id, user_id, changed, name) VALUES ({group}, {user}, '2023-01-01 00:00:00', {quoted(label)});")
        for _ in range(dice.randint(4, 14)):
            contact += 1
            first, last = dice.choice(FIRST), dice.choice(LAST)
            address = f"contact{contact}@elsewhere.example"
            deleted = 1 if contact % 17 == 0 else 0
            sql.append("INSERT INTO contacts (contact_id, user_id, changed, del, name, email, firstname, surname, vcard, words) VALUES "
                       f"({contact}, {user}, '2023-02-02 00:00:00', {deleted}, {quoted(first + ' ' + last)}, {quoted(address)}, {quoted(first)}, "
                       f"{quoted(last)}, {quoted(vcard(first, last, address))}, {quoted((first + ' ' + last + ' ' + address).lower())});")
            if dice.random() < 0.6:
                count["contactgroupmembers"] += 1
                sql.append("INSERT INTO contactgroupmembers (contactgroup_id, contact_id, created) VALUES "
                           f"({dice.choice(groups)}, {contact}, '2023-02-02 00:00:00');")
    sql.append("COMMIT;")
    count.update(users=user, contacts=contact, contactgroups=group)
    return "\n".join(sql) + "\n", count
