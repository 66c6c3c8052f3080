"""What is known of differences between the editions: which the guide explains, which cost mail or shut people out. Data.

A difference is called as in ``[[decision]]``: ``postfix message_size_limit``, ``dovecot plugin/quota``. The first rule whose
pattern fits says what it weighs. What no rule fits is shown for a decision, and holds nothing up.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from fnmatch import fnmatchcase


class Weight(enum.StrEnum):
    """What a difference comes to."""

    EXPLAINED = "explained"
    RECOMMENDED = "recommended"
    REQUIRED = "required"


@dataclass(frozen=True)
class Rule:
    """``pattern`` of the difference's name (as of files). ``releases`` of the new server it is true for; empty: all."""

    pattern: str
    weight: Weight
    reason: str
    releases: tuple[int, ...] = ()


_OWN = "each server has its own"
_QUOTA = "the guide counts quotas in another way since Debian 12"

RULES = (
    # Postfix
    Rule("postfix compatibility_level", Weight.EXPLAINED, "it names the Postfix release whose defaults are in force"),
    Rule("postfix mailmove*", Weight.EXPLAINED, "mailmove's own"),
    Rule("postfix *_directory", Weight.EXPLAINED, "where Debian keeps things"),
    Rule(
        "postfix multi_instance_*",
        Weight.REQUIRED,
        "a second Postfix runs on old, with settings and a queue of its own that no move looks into",
    ),
    Rule("postfix smtpd_banner", Weight.EXPLAINED, "words that no program reads"),
    Rule("postfix smtp*_tls_session_cache_database", Weight.EXPLAINED, "a cache"),
    Rule("postfix smtp*_tls_CA*", Weight.EXPLAINED, "where Debian keeps the roots that are trusted"),
    Rule(
        "postfix smtp*_use_tls",
        Weight.EXPLAINED,
        "the old word for smtp_tls_security_level and smtpd_tls_security_level",
    ),
    Rule(
        "postfix smtpd_tls_*_file", Weight.EXPLAINED, f"{_OWN} certificate; the chapter on the certificate looks at it"
    ),
    Rule("postfix smtpd_tls_chain_files", Weight.EXPLAINED, f"{_OWN} certificate"),
    Rule("postfix myhostname", Weight.EXPLAINED, f"{_OWN} name"),
    Rule("postfix mydomain", Weight.EXPLAINED, f"{_OWN} name"),
    Rule("postfix myorigin", Weight.EXPLAINED, f"{_OWN} name; the chapter on delivery looks at letters of its own"),
    Rule(
        "postfix smtpd_sasl_*", Weight.EXPLAINED, "the edition for Debian 13 asks for logins at 587 and 465 only", (13,)
    ),
    Rule(
        "postfix smtp*_tls_security_level",
        Weight.EXPLAINED,
        "the edition for Debian 13 may insist on encryption",
        (13,),
    ),
    Rule(
        "postfix *_queue_lifetime",
        Weight.RECOMMENDED,
        "letters that cannot be delivered at once are tried for another time before they come back",
    ),
    Rule(
        "postfix *_checks",
        Weight.RECOMMENDED,
        "letters that a list changes, refuses or throws away on one server go as they are on the other",
    ),
    Rule(
        "postfix smtpd_*_limit",
        Weight.RECOMMENDED,
        "who is over the limit is refused: newsletters, a house with many people behind one address, phones",
    ),
    Rule(
        "postfix default_process_limit",
        Weight.RECOMMENDED,
        "it says how many letters are taken, and how many people send, at once",
    ),
    Rule(
        "postfix *mailbox*_limit",
        Weight.RECOMMENDED,
        "a limit below message_size_limit, or below what lies in a mailbox, sends letters back",
    ),
    Rule(
        "postfix h*_limit",
        Weight.RECOMMENDED,
        "of letters that came a long way, or are written to many, new takes other ones than old",
    ),
    Rule(
        "postfix local_recipient_maps",
        Weight.RECOMMENDED,
        "with none, letters to nobody at the server's own names are taken, and bounced to whoever was named as their sender",
    ),
    Rule(
        "postfix smtp*_tls_*protocols",
        Weight.RECOMMENDED,
        "servers and programs that know older encryption only, and are let in on old, may be refused",
    ),
    Rule("postfix soft_bounce", Weight.EXPLAINED, "the safety net of the evening"),
    Rule("postfix inet_interfaces", Weight.REQUIRED, "Postfix listens elsewhere than people and servers are used to"),
    Rule("postfix virtual_transport", Weight.REQUIRED, "letters for mailboxes go another way than on the old server"),
    Rule(
        "postfix recipient_delimiter",
        Weight.REQUIRED,
        "tagged addresses (anna+shop@) that work on old are refused on new",
    ),
    # Dovecot
    Rule(
        "dovecot ssl_min_protocol",
        Weight.RECOMMENDED,
        "programs that know older encryption only, and are let in on old, may be refused",
    ),
    Rule("dovecot ssl_*", Weight.EXPLAINED, f"{_OWN} certificate, and the release's own choice of ciphers"),
    Rule("dovecot plugin/quota", Weight.EXPLAINED, _QUOTA),
    Rule("dovecot plugin/quota_vsizes", Weight.EXPLAINED, _QUOTA),
    Rule(
        "dovecot plugin/quota_status_*",
        Weight.EXPLAINED,
        "the words for a full mailbox; the chapter on quotas looks at it",
    ),
    Rule(
        "dovecot plugin/quota_warning*", Weight.EXPLAINED, "the words of the warning; the chapter on quotas looks at it"
    ),
    Rule("dovecot plugin/quota_rule*", Weight.REQUIRED, "the limit of everybody who has none of their own is another"),
    Rule(
        "dovecot namespace inbox/separator",
        Weight.EXPLAINED,
        "the chapter on mailboxes looks whether folders keep their names",
    ),
    Rule(
        "dovecot namespace inbox/prefix",
        Weight.EXPLAINED,
        "the chapter on mailboxes looks whether folders keep their names",
    ),
    Rule("dovecot namespace inbox/mailbox */auto", Weight.EXPLAINED, "whether the folder is there before it is needed"),
    Rule(
        "dovecot namespace inbox/mailbox */autoexpunge",
        Weight.REQUIRED,
        "the new server deletes letters that the old keeps",
    ),
    Rule(
        "dovecot passdb*",
        Weight.EXPLAINED,
        "where the accounts are; the chapter on mailboxes looks whether all can log in",
    ),
    Rule(
        "dovecot userdb*",
        Weight.EXPLAINED,
        "where the accounts are; the chapter on mailboxes looks whether all can log in",
    ),
    Rule(
        "dovecot auth_default_realm",
        Weight.REQUIRED,
        "people who log in with a name without a domain are refused on new",
    ),
    Rule(
        "dovecot auth_username_format", Weight.REQUIRED, "names that people type are not made of what they are on old"
    ),
    Rule(
        "dovecot auth_username_translation",
        Weight.REQUIRED,
        "names that people type are not made of what they are on old",
    ),
    Rule("dovecot auth_username_chars", Weight.EXPLAINED, "the chapter on mailboxes tries unusual names"),
    Rule(
        "dovecot *log_path",
        Weight.RECOMMENDED,
        "what Dovecot says stands in another file than what Postfix says: mailmove reads the mail log only",
    ),
    Rule("dovecot mail_location", Weight.RECOMMENDED, "letters lie elsewhere, or in another way"),
    Rule("dovecot first_valid_*", Weight.EXPLAINED, f"{_OWN} owner of the mail"),
    Rule("dovecot mail_privileged_group", Weight.EXPLAINED, "no mailbox lies in /var/mail"),
    Rule("dovecot protocols", Weight.EXPLAINED, "looked at one by one"),
    Rule("dovecot auth_mechanisms", Weight.EXPLAINED, "looked at one by one"),
    Rule("dovecot mail_plugins", Weight.EXPLAINED, "looked at one by one"),
    Rule("dovecot protocol */mail_plugins", Weight.EXPLAINED, "looked at one by one"),
    Rule("dovecot plugin/sieve_after*", Weight.EXPLAINED, "the scripts themselves are compared"),
    Rule("dovecot plugin/sieve_before*", Weight.EXPLAINED, "the scripts themselves are compared"),
    Rule("dovecot plugin/imapsieve_*_before", Weight.EXPLAINED, "the scripts themselves are compared"),
    Rule("dovecot plugin/imapsieve_*_after", Weight.EXPLAINED, "the scripts themselves are compared"),
    Rule("dovecot plugin/sieve_*_bin_dir", Weight.EXPLAINED, "the programs themselves are compared"),
    Rule(
        "dovecot disable_plaintext_auth",
        Weight.RECOMMENDED,
        "people whose programs do not encrypt can no longer log in",
    ),
    Rule(
        "dovecot *_limit",
        Weight.RECOMMENDED,
        "more people at once, or mailboxes that need more memory, are turned away",
    ),
    Rule(
        "dovecot mail_max_userip_connections",
        Weight.RECOMMENDED,
        "a house whose people come from one address, or somebody with many folders, is turned away",
    ),
    # Spam filter
    Rule("spam filter dkim_*", Weight.EXPLAINED, "carried over with the signing keys"),
    Rule("spam filter local.d/dkim_signing.conf", Weight.EXPLAINED, "the chapter on signing looks at it"),
    Rule("spam filter local.d/arc.conf", Weight.EXPLAINED, "the chapter on signing looks at it"),
    Rule("spam filter *.d/worker-controller.inc", Weight.EXPLAINED, f"{_OWN} password"),
    Rule("spam filter *.d/redis.conf", Weight.EXPLAINED, "the chapter on spam looks whether what is learned is kept"),
    Rule("spam filter *.d/classifier-bayes.conf", Weight.EXPLAINED, "carried over with what the filter has learned"),
    Rule("spam filter *.d/milter_headers.conf", Weight.EXPLAINED, "the editions add different headers"),
    Rule("spam filter *.d/actions.conf", Weight.EXPLAINED, "the scores in force are compared one by one"),
    Rule("spam filter *mailmove*", Weight.EXPLAINED, "mailmove's own"),
    # Webmail
    Rule("webmail setting default_host", Weight.EXPLAINED, "the chapter on the webmail tries it"),
    Rule("webmail setting default_port", Weight.EXPLAINED, "the chapter on the webmail tries it"),
    Rule("webmail setting imap_*", Weight.EXPLAINED, "the chapter on the webmail tries it"),
    Rule("webmail setting smtp_*", Weight.EXPLAINED, "the chapter on the webmail tries it"),
    Rule("webmail setting managesieve_*", Weight.EXPLAINED, "the chapter on the webmail tries it"),
    Rule("webmail setting log_*", Weight.EXPLAINED, "what is logged, and where"),
    Rule("webmail setting debug_level", Weight.EXPLAINED, "what is logged, and where"),
    Rule(
        "webmail setting enigma_*",
        Weight.RECOMMENDED,
        "people's own keys lie in that plugin's directory, and no move carries them over: letters encrypted for them stay shut",
    ),
    Rule("webmail setting temp_dir", Weight.EXPLAINED, "where Debian keeps things"),
    Rule("webmail setting *cache*", Weight.EXPLAINED, "a cache"),
    Rule("webmail setting ip_check", Weight.EXPLAINED, "nobody sees it"),
    Rule("webmail setting product_name", Weight.EXPLAINED, "words that no program reads"),
    Rule("webmail setting support_url", Weight.EXPLAINED, "words that no program reads"),
    # Beside
    Rule("service php*", Weight.EXPLAINED, "the release has its own PHP"),
    Rule(
        "unit *",
        Weight.RECOMMENDED,
        "a service that may use less, or see less, than on the other server fails when much is asked of it",
    ),
    Rule("service getty", Weight.EXPLAINED, "the console"),
    Rule("service serial-getty", Weight.EXPLAINED, "the console"),
    Rule("service systemd-*", Weight.EXPLAINED, "the system's own"),
    Rule("service user", Weight.EXPLAINED, "somebody who is logged in"),
    Rule("service mysql", Weight.EXPLAINED, "MariaDB by its old name"),
    Rule("service redis", Weight.EXPLAINED, "the same as redis-server"),
    Rule("job certbot*", Weight.EXPLAINED, "the chapter on the certificate looks at renewal"),
    Rule("job /etc/cron.d/certbot*", Weight.EXPLAINED, "the chapter on the certificate looks at renewal"),
)

ROUTES = {
    "mydestination": "mail for a domain that the old server delivers to system users is refused",
    "virtual_mailbox_domains": "mail for whole domains is refused",
    "virtual_mailbox_maps": "mail for people the old server knows is refused",
    "virtual_alias_domains": "mail for whole domains is refused",
    "virtual_alias_maps": "mail for aliases the old server knows is refused",
    "transport_maps": "mail that the old server passes on elsewhere is kept here, or lost",
    "relay_domains": "mail that the old server takes for other servers is refused",
    "relay_recipient_maps": "mail that the old server takes for other servers is refused",
    "relayhost": "mail to the world does not take the way that the old server needs",
    "default_transport": "mail to the world does not take the way that the old server needs",
    "relay_transport": "mail for other servers does not take the way that the old server needs",
    "sender_dependent_relayhost_maps": "mail of some senders does not take the way that the old server needs",
    "sender_dependent_default_transport_maps": "mail of some senders does not take the way that the old server needs",
    "smtp_sasl_password_maps": "the server that passes our mail on refuses it without a login",
    "recipient_bcc_maps": "copies that somebody gets of every letter are no longer made",
    "sender_bcc_maps": "copies that somebody gets of every letter are no longer made",
    "always_bcc": "copies that somebody gets of every letter are no longer made",
    "canonical_maps": "addresses are no longer rewritten",
    "recipient_canonical_maps": "addresses are no longer rewritten",
    "sender_canonical_maps": "addresses are no longer rewritten",
    "smtp_generic_maps": "addresses are no longer rewritten",
    "relocated_maps": "who moved away is no longer told to those who write",
    "luser_relay": "mail for users the machine does not know, which somebody gets on old, is refused",
    "fallback_transport": "mail for users the machine does not know is refused",
    "fallback_transport_maps": "mail for users the machine does not know is refused",
    "mailbox_transport": "mail for the machine's own users goes another way",
    "mailbox_transport_maps": "mail for the machine's own users goes another way",
    "smtp_fallback_relay": "mail that cannot be delivered at once does not take the way that the old server knows",
    "content_filter": "letters no longer pass through the program that looks at them",
}
"""Settings that say where letters go, each with what happens when something of it is missing on new."""

INNER = {
    "pickup": "letters that the server itself writes (notices of absence, reports of jobs, web forms) lie there for ever",
    "cleanup": "no letter gets into the queue",
    "qmgr": "no letter leaves the queue",
    "rewrite": "Postfix does not know where any letter goes",
    "bounce": "nobody learns that a letter did not arrive",
    "defer": "nobody learns that a letter did not arrive",
    "smtp": "no letter gets to other servers",
    "relay": "letters for other servers that this one passes on stay in the queue",
    "lmtp": "no letter gets into a mailbox",
    "local": "letters for the machine's own users stay in the queue",
    "proxymap": "tables that are asked through it find nobody",
    "tlsmgr": "nothing is encrypted",
    "error": "letters that cannot be delivered stay in the queue",
    "retry": "letters that cannot be delivered yet stay in the queue",
}
"""Postfix' own services in master.cf, each with what stands still without it."""

REWRITE = ("canonical_maps", "recipient_canonical_maps", "sender_canonical_maps", "smtp_generic_maps")
"""Those by which letters get other addresses."""

RESTRICTIONS = tuple(
    f"smtpd_{stage}_restrictions"
    for stage in ("client", "helo", "sender", "relay", "recipient", "data", "end_of_data", "etrn")
)

HARMLESS_RESTRICTIONS = {
    "reject_unauth_destination": "nobody may relay in any case",
    "defer_unauth_destination": "nobody may relay in any case",
    "reject": "the end of the list",
    "permit": "the end of the list",
    "check_policy_service unix:private/quota-status": "the guide's chapter on quotas; who is over the limit is refused",
    "check_policy_service inet:127.0.0.1:13373": "the guide's chapter on quotas; who is over the limit is refused",
}
"""Restrictions that the editions add and take away, and why that shuts nobody out."""

KEPT = (
    ("*sieve*", "people's rules: letters come unsorted, and notices of absence are not sent"),
    ("*crypt*", "the key without which letters that are stored encrypted are lost for good"),
    (
        "*acl*",
        "who shares which folder: shared folders are gone; copy it, and after the move let Dovecot make it anew of the folders'"
        " own rights (doveadm acl recalc -A)",
    ),
    (
        "mail_attribute_dict",
        "the keys of encrypted letters, which are lost for good without them, and what programs wrote of folders (metadata)",
    ),
    ("dict/*", "what Dovecot's plugins wrote down: who shares which folder, keys, what programs wrote of folders"),
    ("*attachment*", "parts of letters, without which these are broken"),
    ("*location", "letters"),
    ("*_path", "letters"),
)
"""What Dovecot keeps outside the mail root by which setting, and what is lost with it. Of no other setting it is people's."""

PLUGINS_NEEDED = {
    "zlib": "letters that were stored compressed cannot be read without it",
    "mail_compress": "letters that were stored compressed cannot be read without it",
    "mail_crypt": "letters that were stored encrypted cannot be read without it",
    "acl": "folders that people share are no longer theirs to see, or everybody's",
    "imap_acl": "people can no longer share folders",
    "virtual": "virtual folders are gone",
}
"""Dovecot's plugins that people's letters and folders depend on."""

PLUGINS_RENAMED = {"zlib": "mail_compress"}
"""Plugins that Dovecot 2.4 calls otherwise."""


def judge(name: str, release: int) -> Rule | None:
    """The rule for a difference of this name, with a new server of this Debian release; None: shown for a decision."""
    return next(
        (rule for rule in RULES if fnmatchcase(name, rule.pattern) and (not rule.releases or release in rule.releases)),
        None,
    )
