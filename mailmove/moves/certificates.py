"""Moving certificates and DKIM keys, and letting the new server answer to the old one's name."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterable

from checks import certificates
from mailmove import databases, lineages
from mailmove.errors import MoveFailed
from mailmove.evidence import Evidence, Examination
from mailmove.journal import Journal
from mailmove.lineages import FurtherName, Look, SigningKey
from mailmove.moves.base import Action, Context, Move
from mailmove.moves.saved import Saved
from mailmove.moves.service_state import remove_settings, write_settings

STAGING = "/var/backups/mailmove/certificates/from-old"  # on the new server; gone afterwards, as it holds keys
DOVECOT_FILE = "/etc/dovecot/conf.d/99-mailmove-old-name.conf"
POSTFIX_FILE = "/etc/postfix/mailmove-old-name"
HOOK_FILE = "/etc/letsencrypt/renewal-hooks/deploy/mailmove-old-name"
APACHE_FILE = "/etc/apache2/sites-available/mailmove-old-name.conf"
APACHE_LINK = "/etc/apache2/sites-enabled/mailmove-old-name.conf"
SIGNING_FILE = "/etc/rspamd/local.d/dkim_signing.conf"

_UNPACK = 'set -e; umask 077; rm -rf "$1"; mkdir -p "$1"; tar -C "$1" -xpf -'

# Takes paths on standard input: each is copied from below $1 to its place, whole, then put there at once.
_PLACE = r"""
set -e
umask 077
while IFS= read -r path; do
    mkdir -p "${path%/*}"
    rm -rf "$path.mailmove"
    cp -a "$1$path" "$path.mailmove"
    rm -rf "$path"
    mv "$path.mailmove" "$path"
done
"""

# $1 key as it came, $2 its place
_PLACE_KEY = r"""
set -e
dir=${2%/*}
[ -d "$dir" ] || install -d -o _rspamd -g _rspamd -m 0750 "$dir"
install -o _rspamd -g _rspamd -m 0400 "$1" "$2.mailmove"
mv "$2.mailmove" "$2"
runuser -u _rspamd -- head -c 1 "$2" >/dev/null
"""

# $1 path, $2 mode: standard input becomes the file, never readable for a moment by more than its mode allows
_PUT = r"""
set -e
umask 077
mkdir -p "${1%/*}"
cat > "$1.mailmove"
chmod "$2" "$1.mailmove"
mv "$1.mailmove" "$1"
"""

_RELOAD = r"""
for unit in postfix dovecot apache2; do
    systemctl is-active -q "$unit" || continue
    systemctl reload-or-restart "$unit" || { echo "$unit cannot be reloaded" >&2; exit 1; }
done
"""


class CarryCertificates(Move):
    """Carry certificates and signing keys to the new server.

    Succeeded: the new server has every certificate and DKIM key of the old one beside its own, signs mail of each domain,
    and shows the right certificate to programs that still know the old server's name.
    Failed: what was there before is in /var/backups/mailmove/certificates; taking the move back puts it in place.
    """

    name = "certificates"
    overtaken_by = ("freeze",)  # Dovecot is stopped then; afterwards 4_accept asks for what is shown under each name

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._saved = Saved(self.journal, self.new, self.name)
        self._looks: tuple[Look, Look] | None = None

    # looking

    def _look(self, again: bool = False) -> tuple[Look, Look]:
        if self._looks is None or again:
            domains = self.migration.domains
            self._looks = lineages.look(self.old, domains), lineages.look(self.new, domains)
        return self._looks

    def _names(self) -> list[FurtherName]:
        old, new = self._look()
        return lineages.further_names(old, new, self.old.facts.postconf.get("myhostname", ""))

    # the five parts

    def needs(self) -> Iterable[Evidence]:
        old, new = self._look(again=True)
        yield certificates.certificates_can_be_carried(old, new, self.new)

    def plan(self) -> list[Action]:
        old, new = self._look()
        actions = []
        for each in lineages.decide(old, new, time.time()):
            if each.take:
                actions.append(Action("new", f"tar from old: {' '.join(each.lineage.paths)}", each.why))
            else:
                actions.append(Action("new", f"certificate {each.lineage.name} stays as it is", each.why))
        actions += [
            Action("new", f"tar from old: {path}", "the ACME account that renews them")
            for path in self._accounts(old, new)
        ]
        for key in old.keys:
            place = self._key_place(new, key)
            actions.append(
                Action(
                    "new",
                    f"install -o _rspamd -g _rspamd -m 0400 {key.path} (of old) {place}",
                    f"DKIM key of {key.domain}",
                )
            )
        if old.keys:
            lines = "; ".join(f"{key.domain} {key.selector}" for key in old.keys)
            actions.append(
                Action("new", f"{self._map_place(new)}: {lines}", "the selector map, which the guide's page forgets")
            )
        names = self._names()
        if names:
            words = ", ".join(name.name for name in names)
            actions += [
                Action(
                    "new",
                    f"write {DOVECOT_FILE} (local_name); doveconf -n",
                    f"Dovecot shows the right certificate for {words}",
                ),
                Action(
                    "new",
                    f"postconf tls_server_sni_maps; postmap -F {POSTFIX_FILE}; {HOOK_FILE}",
                    f"Postfix too; the map is made anew at each renewal ({words})",
                ),
            ]
            if any(name.web for name in names):
                actions.append(
                    Action("new", f"write {APACHE_FILE}; a2ensite; apache2ctl configtest", "webmail under its old name")
                )
        actions.append(Action("new", "systemctl reload postfix dovecot apache2; systemctl restart rspamd"))
        return actions

    def do(self) -> None:
        old, new = self._look(again=True)
        take = [d.lineage for d in lineages.decide(old, new, time.time()) if d.take]
        paths = [path for lineage in take for path in lineage.paths] + self._accounts(old, new)
        self.progress.at("carrying certificates and signing keys")
        try:
            self._fetch([*paths, *(key.path for key in old.keys)])
            self._saved.save(paths)
            self.new.sh(_PLACE, STAGING, stdin="".join(f"{path}\n" for path in paths), check=True)
            self._place_keys(old, new)
        finally:
            self.new.run("rm", "-rf", STAGING)
        self._looks = None
        names = self._names()
        self.journal.keep("certificates: further names", [[n.name, n.lineage, n.web] for n in names])
        self._answer_to(names)
        self.new.sh(_RELOAD, timeout_s=120, check=True)
        if old.keys:
            self.new.sh("rspamadm configtest >/dev/null && systemctl restart rspamd", timeout_s=120, check=True)
        self.new.refresh()

    def prove(self) -> Iterable[Evidence]:
        old, new = self._look(again=True)
        if not old.lineages and not old.keys:
            yield certificates.certificates_can_be_carried(old, new, self.new)
            return
        yield certificates.lineages_are_whole(old, new)
        yield certificates.signing_keys_are_there(old, new)
        yield certificates.right_certificate_under_each_name(
            self.new, new, further_names_carried(self.journal), self.migration.settings.probes.ca_file
        )
        yield certificates.renewal_has_what_it_needs(old, self.new, new)

    def undo(self) -> None:
        before = self.journal.recall("certificates: sni maps before")
        if before is not None:
            self._set_sni_maps(before)
        self._saved.restore()
        self.new.sh("systemctl daemon-reload", check=True)
        self.new.sh(_RELOAD, timeout_s=120, check=True)
        self.new.sh("if systemctl is-active -q rspamd; then systemctl restart rspamd; fi", timeout_s=120, check=True)
        self.new.run("rm", "-rf", STAGING)

    def prove_undone(self) -> Iterable[Evidence]:
        exam = Examination(
            "certificates and signing keys of the new server are as they were before",
            "new",
            why="taking a move back leaves what was there",
            hint=f"compare with {self._saved.directory}",
        )
        for path, was in self._saved.paths.items():
            there = self.new.sh('[ -e "$1" ] || [ -L "$1" ]', path).ok
            same = there == was
            if there and was:
                same = self.new.run("diff", "-rq", "--no-dereference", path, self._saved.directory + path).ok
            exam.expect(
                path, ("there" if there else "not there") + ("" if same else ", but not as before"), same, "as before"
            )
        if not self._saved.paths:
            yield exam.not_applicable("nothing was changed")
            return
        yield exam.close()
        new = lineages.look(self.new, self.migration.domains)
        yield certificates.right_certificate_under_each_name(self.new, new, [], self.migration.settings.probes.ca_file)
        self._saved.forget()
        for key in ("certificates: further names", "certificates: sni maps before"):
            self.journal.forget(key)

    # certificates

    def _accounts(self, old: Look, new: Look) -> list[str]:
        return [path for path in old.accounts if path not in new.accounts]

    def _fetch(self, paths: list[str]) -> None:
        """Copies of files of old, whole, below the staging directory on new. They stream through; nothing stays here."""
        databases.stream(self.old, archive(paths), self.new, _UNPACK, STAGING)

    # signing keys

    def _key_place(self, new: Look, key: SigningKey) -> str:
        template = str(new.signing.get("template") or "/var/lib/rspamd/dkim/$domain.$selector.key")
        if "$domain" not in template:
            return key.path
        return template.replace("$domain", key.domain).replace("$selector", key.selector)

    def _map_place(self, new: Look) -> str:
        return str(new.signing.get("selector_map") or "/etc/rspamd/dkim_selectors.map")

    def _place_keys(self, old: Look, new: Look) -> None:
        keys = [key for key in old.keys if key.public]
        if not keys:
            return
        places = {key: self._key_place(new, key) for key in keys}
        place = self._map_place(new)
        self._saved.save([*places.values(), place, SIGNING_FILE])
        for key, path in places.items():
            self.new.sh(_PLACE_KEY, STAGING + key.path, path, check=True)
        there = self.new.run("cat", place)
        text = selector_map(there.out if there.ok else "", [(key.domain, key.selector) for key in keys])
        self.new.sh(_PUT, place, "0644", stdin=text, check=True)
        template = str(new.signing.get("template") or "")
        if not new.signing.get("selector_map") or "$domain" not in template:
            there = self.new.run("cat", SIGNING_FILE)
            lines = f'selector_map = "{place}";\n'
            if "$domain" not in template:
                folder = keys[0].path.rpartition("/")[0]
                lines += f'path = "{folder}/$domain.$selector.key";\n'
            text = (there.out if there.ok else "").rstrip("\n")
            self.new.sh(_PUT, SIGNING_FILE, "0644", stdin=f"{text}\n{lines}".lstrip("\n"), check=True)

    # the old name

    def _answer_to(self, names: list[FurtherName]) -> None:
        """Let Postfix, Dovecot and Apache show the old server's certificate under its name."""
        if not names:
            return
        self._saved.save(
            [
                DOVECOT_FILE,
                POSTFIX_FILE,
                f"{POSTFIX_FILE}.db",
                f"{POSTFIX_FILE}.lmdb",
                HOOK_FILE,
                APACHE_FILE,
                APACHE_LINK,
            ]
        )
        if "dovecot-core" in self.new.facts.packages:
            version = self.new.facts.packages["dovecot-core"]
            self.new.sh(_PUT, DOVECOT_FILE, "0644", stdin=dovecot_names(names, version), check=True)
            self._valid("doveconf -n >/dev/null", DOVECOT_FILE)
        kind = self.new.sh("postconf -h default_database_type", check=True).out.strip()
        self.new.sh(_PUT, POSTFIX_FILE, "0600", stdin=postfix_names(names), check=True)
        self.new.sh(_PUT, HOOK_FILE, "0755", stdin=renewal_hook(kind), check=True)
        self.new.run("postmap", "-F", f"{kind}:{POSTFIX_FILE}", check=True)
        maps = self.new.sh("postconf -h tls_server_sni_maps", check=True).out.strip()
        before = self.journal.keep_first("certificates: sni maps before", maps)
        others = [word for word in re.split(r"[,\s]+", before) if word and POSTFIX_FILE not in word]
        self._set_sni_maps(", ".join([*others, f"{kind}:{POSTFIX_FILE}"]))
        self._valid("postfix check", POSTFIX_FILE)
        web = [name for name in names if name.web]
        if web:
            self._webmail_too(web)

    def _set_sni_maps(self, value: str) -> None:
        if value:
            write_settings(self.new, {"tls_server_sni_maps": value})
        else:
            remove_settings(self.new, "tls_server_sni_maps")

    def _webmail_too(self, names: list[FurtherName]) -> None:
        _, new = self._look()
        webmail = new.webmail
        if webmail is None:
            return
        plain = next((v for v in new.vhosts if "80" in v["ports"] and not v["certificate"]), None)
        roots = {}
        for name in names:
            renewal = new.lineages[name.lineage].renewal
            if renewal.get("authenticator") == "webroot" and name.name in renewal.get("webroots", {}):
                roots[name.name] = str(renewal["webroots"][name.name])
        missing = [root for root in roots.values() if not self.new.run("test", "-d", root).ok]
        self._saved.save(missing)
        for root in missing:
            self.new.run("install", "-d", "-o", "www-data", "-g", "www-data", root, check=True)
        text = apache_names(names, str(webmail["text"]), str(plain["text"]) if plain else "", roots)
        self.new.sh(_PUT, APACHE_FILE, "0644", stdin=text, check=True)
        self.new.run("ln", "-sfn", "../sites-available/mailmove-old-name.conf", APACHE_LINK, check=True)
        self._valid("apache2ctl configtest", APACHE_FILE, APACHE_LINK)

    def _valid(self, command: str, *files: str) -> None:
        """Refuse a configuration that its program does not take, before it is loaded."""
        answer = self.new.sh(command)
        if not answer.ok:
            for file in files:
                self.new.run("rm", "-f", file)
            raise MoveFailed(
                f"the new server's configuration is not taken with the old name in it ({command}): {answer.text[-800:]}",
                f"{' and '.join(files)} was removed again; see what {command} says without it",
            )


def archive(paths: Iterable[str]) -> str:
    """The command that puts these files into an archive, by their places below /."""
    words = ["tar", "-C", "/", "-cf", "-", "--", *(path.lstrip("/") for path in paths)]
    return shlex.join(words) if len(words) > 6 else "tar -cf - -T /dev/null"


def further_names_carried(journal: Journal) -> list[FurtherName]:
    """The old server's names to which the new one answers with their own certificates, since the move."""
    return [FurtherName(*each) for each in journal.recall("certificates: further names", [])]


def selector_map(text: str, pairs: list[tuple[str, str]]) -> str:
    """rspamd's map with a line for each (domain, selector); lines of other domains and comments stay."""
    domains = {domain.lower() for domain, _ in pairs}
    kept = [line for line in text.splitlines() if (line.split("#")[0].split() or [""])[0].lower() not in domains]
    return "\n".join([*kept, *(f"{domain} {selector}" for domain, selector in pairs)]).strip("\n") + "\n"


def dovecot_names(names: Iterable[FurtherName], version: str) -> str:
    """Dovecot's settings for further names; the words differ from 2.4 on (``version`` is the package's)."""
    numbers = [int(n) for n in re.findall(r"\d+", version.partition(":")[2] or version)[:2]]
    new_words = numbers >= [2, 4]
    text = "# Made by mailmove: mail programs that know the old server's name get its certificate\n"
    for name in names:
        if new_words:
            inside = f"  ssl_server_cert_file = {name.certificate}\n  ssl_server_key_file = {name.key}\n"
        else:
            inside = f"  ssl_cert = <{name.certificate}\n  ssl_key = <{name.key}\n"
        text += f"local_name {name.name} {{\n{inside}}}\n"
    return text


def postfix_names(names: Iterable[FurtherName]) -> str:
    """Postfix' table for further names (TLS_README, SNI): name, key, certificates."""
    return "".join(f"{name.name} {name.key} {name.certificate}\n" for name in names)


def renewal_hook(kind: str) -> str:
    """What certbot runs after a renewal: the table above holds the certificates themselves, not their paths."""
    return (
        "#!/bin/sh\n"
        "# Made by mailmove: postmap -F copies the certificates into the table, so a renewed one must be copied again\n"
        f"postmap -F {kind}:{POSTFIX_FILE} && postfix reload\n"
    )


def apache_names(names: Iterable[FurtherName], webmail: str, plain: str, roots: dict[str, str]) -> str:
    """Virtual hosts as the new server's own, under further names; with the web root that certbot writes its challenge to."""
    text = "# Made by mailmove: webmail under the old server's name\n"
    for name in names:
        if plain:
            text += _vhost(plain, name, roots.get(name.name, "")) + "\n"
        text += _vhost(webmail, name, "") + "\n"
    return text


def _vhost(block: str, name: FurtherName, root: str) -> str:
    lines = []
    for line in block.splitlines():
        word = (line.split() or [""])[0].lower()
        if word in ("servername", "serveralias"):
            continue
        if word == "sslcertificatefile":
            line = re.sub(r"(?i)(SSLCertificateFile\s+).*", lambda m: m[1] + name.certificate, line)
        elif word == "sslcertificatekeyfile":
            line = re.sub(r"(?i)(SSLCertificateKeyFile\s+).*", lambda m: m[1] + name.key, line)
        elif word == "documentroot" and root:
            line = re.sub(r"(?i)(DocumentRoot\s+).*", lambda m: m[1] + root, line)
        lines.append(line)
        if word.startswith("<virtualhost"):
            lines.append(f"    ServerName {name.name}")
    return "\n".join(lines)
