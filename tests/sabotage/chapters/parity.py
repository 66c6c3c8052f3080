from tests.sabotage.expected import EVERYTHING_WITH_A_MAILBOX, Expected

_WAYS = "Letters go the ways they went"
_DOORS = "Whoever could send can send"
_MAILBOXES = "Mailboxes work as they did"

EXPECTED: dict[str, Expected] = {
    "old-takes-larger-letters": Expected(
        "No letter is too large that was not too large before",
        r"message_size_limit old: 52,428,800 bytes; new: \d",
        sample=True,
    ),
    "old-passes-mail-on": Expected(
        _WAYS, r"transport_maps old: .*branch\.elsewhere\.example.*; new: not there", sample=True
    ),
    "old-copies-letters": Expected(_WAYS, r"recipient_bcc_maps old: .*dave@example\.org.*; new: not there"),
    "old-relays-for-a-branch": Expected(_WAYS, r"relay_domains old: .*branch\.example.*; new: not there"),
    "old-trusts-a-printer": Expected(_DOORS, r"mynetworks old: .*192\.0\.2\.0/28.*; new: not there"),
    "old-has-port-465": Expected(_DOORS, "service smtps/inet old: smtpd; new: not there"),
    "new-refuses-nameless-senders": Expected(
        _DOORS, "reject_unknown_reverse_client_hostname old: not there; new: reject"
    ),
    "old-hides-its-users": Expected(
        "Every setting of Postfix is the same or explained", "disable_vrfy_command old: yes; new: no"
    ),
    "old-logs-in-by-cram-md5": Expected(
        "Every way of reading and logging in is there", "login cram-md5 old: offered; new: not offered"
    ),
    "old-compresses-letters": Expected(_MAILBOXES, "plugin zlib old: in use; new: not in use"),
    "old-filters-for-everybody": Expected(
        _MAILBOXES, r"global sieve invoices\.sieve old: .*redirect.*; new: not there"
    ),
    "old-has-a-white-list": Expected(
        "Letters are judged by the same lists", r"friends\.map old: 1 lines; new: not there"
    ),
    "old-has-mail-in-var-mail": Expected(
        "No letter lies outside the mailboxes", r"/var/mail of hugo old: \d+ bytes; new: not carried over"
    ),
    "old-has-a-mailbox-elsewhere": Expected(
        "No letter lies outside the mailboxes",
        r"mail behind the link /var/vmail/example\.org/frank old: lies in /srv/disk2/frank; new: not carried over",
    ),
    "old-has-a-former-mailbox": Expected(
        "No letter lies outside the mailboxes",
        r"mailboxes without an account old: former@example\.org; new: seen by nobody",
    ),
    "old-has-a-newsletter": Expected(
        "Nothing else lies in the database", "database newsletter old: 1 tables; new: not there"
    ),
    "old-has-a-backup-job": Expected(
        "What is done by itself is done again", "mail-backup old: runs .*rsync.*; new: not there"
    ),
    "old-has-another-website": Expected(
        "The web server offers what it offered", r"web site wiki\.elsewhere\.example old: there; new: not there"
    ),
    "old-has-another-daemon": Expected(
        "Nothing else runs on the old server alone", "service list-manager old: runs; new: does not run"
    ),
    "new-copies-letters": Expected(
        _WAYS, r"always_bcc old: not there; new: dave@example\.org: somebody gets a copy of people's letters"
    ),
    "old-webmail-takes-large-files": Expected(
        "The web server offers what it offered",
        r"webmail attachments old: up to 26,214,400 bytes; new: up to 2,097,152 bytes",
    ),
    "old-webmail-speaks-german": Expected(
        "The web server offers what it offered", r"webmail setting drafts_mbox old: Entw&APw-rfe; new: not set"
    ),
    "new-takes-encrypted-mail-only": Expected(
        "Every setting of Postfix is the same or explained",
        "smtpd_tls_security_level old: may; new: encrypt: letters from servers",
        also=("60_delivery", "20_certificate"),
    ),
    "new-refuses-as-spam": Expected(
        "Letters are judged by the same lists",
        "threshold reject old: from 150 on; new: from 7 on: letters that come through",
    ),
    "new-answers-one-at-a-time": Expected(
        _DOORS, "service smtp/inet processes old: 100 at once; new: 1 at once", also=("60_delivery",)
    ),
    "new-throws-letters-away": Expected(
        "Every setting of Postfix is the same or explained",
        "header_checks old: .*; new: .*unwanted|Subject.*throws away",
    ),
    "new-keeps-dovecot-small": Expected(
        "Nothing else runs on the old server alone", "unit dovecot old: nothing more; new: LimitNOFILE=512"
    ),
    "new-in-another-time-zone": Expected(
        "What is done by itself is done again", "time zone old: .*; new: Asia/Tokyo.*another clock"
    ),
    "old-has-mail-in-homes": Expected(
        "No letter lies outside the mailboxes", r"mail in /home/hugo/Maildir old: \d+ bytes; new: not carried over"
    ),
    "old-has-a-job-of-no-name": Expected(
        "What is done by itself is done again", "nightly old: runs nightly; new: not there"
    ),
    "old-rules-start-programs": Expected(
        "Mailboxes work as they did", r"sieve program ticket\.sh old: there; new: not there: rules that hand letters"
    ),
    "new-discards-by-a-rule": Expected(
        "Mailboxes work as they did", r"global sieve lottery\.sieve old: not there; new: discard: it keeps letters"
    ),
    "new-rewrites-senders": Expected(
        "Letters go the ways they went",
        r"sender_canonical_maps old: not there; new: static:noreply@example\.net: it makes others of addresses",
        also=EVERYTHING_WITH_A_MAILBOX,
    ),
    "old-has-a-folder-of-root": Expected(
        "No letter lies outside the mailboxes",
        r"what Dovecot on old may not read old: .*frank/Maildir/\.Archive-2019 and \d+ below \(belongs to root\)",
        also=("50_mailboxes",),
    ),
    "new-has-a-domain-of-root": Expected(
        "Mailboxes work as they did", r"what Dovecot on new may not read old: ; new: example\.net \(belongs to root\)"
    ),
}
