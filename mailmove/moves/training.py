"""Moving what the spam filter has learned: rspamd's Bayes in Redis."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable
from typing import Any

from checks import training
from mailmove import databases
from mailmove.errors import MoveFailed
from mailmove.evidence import Evidence, Examination
from mailmove.moves.base import Action, Context, Move
from mailmove.units import is_running

BACKUPS = "/var/backups/mailmove/training"  # on the new server, 0700
CARRIED = "training carried"
TRIES = 3

_RECEIVE = """
set -e
umask 077
mkdir -p "$1"
cat > "$1/from-old.rdb.part"
head -c 5 "$1/from-old.rdb.part" | grep -q REDIS
mv "$1/from-old.rdb.part" "$1/from-old.rdb"
"""

# Redis saves when it is stopped: only after that may the file be put there, or it would be overwritten. Whatever
# happens Redis is started again at the end. $1 unit, $2 directory, $3 dump's name, $4 file to put there
# or directory with what stood there, $5 directory to keep in what stands there (empty: do not), $6 appendonly, $7 its
# file, $8 its directory, $9 Redis' port or socket
_EXCHANGE = r"""
set -e
umask 077
unit=$1 dir=$2 file=$3 put=$4 keep=$5 aof=$6 aof_file=$7 aof_dir=$8
exec 9>/run/lock/mailmove-training
flock 9  # a run that was killed may have left this very script at work
owner=$(stat -c %U "$dir")
trap 'systemctl start "$unit" 9>&-' EXIT
systemctl stop "$unit"
[ "$(systemctl is-active "$unit")" != active ]
if [ -n "$keep" ]; then
    mkdir -p "${keep%/*}"
    rm -rf "$keep.part"
    mkdir "$keep.part"
    for each in "$file" "$aof_file" "$aof_dir"; do
        [ -z "$each" ] || [ ! -e "$dir/$each" ] || cp -a "$dir/$each" "$keep.part/"
    done
    rm -rf "$keep"; mv "$keep.part" "$keep"
fi
rm -f "$dir/$file"
if [ "$aof" = yes ]; then
    # with appendonly Redis reads no dump at its start
    [ -n "$aof_file" ] && rm -f "$dir/$aof_file"
    [ -n "$aof_dir" ] && rm -rf "$dir/$aof_dir"
fi
if [ -d "$put" ]; then
    for each in "$put"/* "$put"/.[!.]*; do [ -e "$each" ] && cp -a "$each" "$dir/"; done
elif [ -n "$put" ]; then
    install -o "$owner" -g "$(stat -c %G "$dir")" -m 0660 "$put" "$dir/$file"
    if [ "$aof" = yes ]; then
        # so a Redis of its own reads the dump and writes the append-only files from it
        sock=$dir/mailmove.sock
        rm -f "$sock"
        runuser -u "$owner" -- redis-server --port 0 --unixsocket "$sock" --dir "$dir" --dbfilename "$file" --save '' \
            --appendonly no --appendfilename "$aof_file" ${aof_dir:+--appenddirname "$aof_dir"} --daemonize yes --logfile '' >/dev/null 9>&-
        for i in $(seq 300); do redis-cli -s "$sock" info persistence 2>/dev/null | grep -q '^loading:0' && break; sleep 0.2; done
        redis-cli -s "$sock" config set appendonly yes >/dev/null
        for i in $(seq 300); do
            redis-cli -s "$sock" info persistence | tr -d '\r' | grep -cE '^aof_rewrite_(in_progress|scheduled):0' | grep -qx 2 && break
            sleep 0.2
        done
        redis-cli -s "$sock" info persistence | grep -q '^aof_last_bgrewrite_status:ok'
        redis-cli -s "$sock" shutdown nosave 2>/dev/null || :
        for i in $(seq 50); do [ -S "$sock" ] || break; sleep 0.1; done
        rm -f "$sock"
    fi
fi
trap - EXIT
systemctl start "$unit" 9>&-
case $9 in /*) where="-s $9";; *) where="-p $9";; esac
for i in $(seq 300); do
    said=$(redis-cli $where ping 2>&1) || :
    case $said in *LOADING*|*refused*|*"No such file"*) sleep 0.2;; *) break;; esac
done
"""


class TrainingCopy:
    """Carries Redis' dump from old to new and puts an earlier one back. ``purpose`` names the backup."""

    def __init__(self, context: Context, purpose: str) -> None:
        self.old, self.new = context.old, context.new
        self.journal, self.progress = context.journal, context.progress
        self.purpose = purpose

    def plan(self) -> list[Action]:
        """What :meth:`carry` runs."""
        return [
            Action("old", "redis-cli bgsave", "a fresh dump; the old one may be an hour old"),
            Action(
                "old", "cat DIR/DBFILENAME", f"streams to new: {BACKUPS}/from-old.rdb (names as CONFIG GET tells them)"
            ),
            Action("new", "systemctl stop redis-server", "it saves when it stops: only now may the file be put there"),
            Action(
                "new", f"cp -a /var/lib/redis/dump.rdb {BACKUPS}/before-{self.purpose}-TIME/", "what stands there now"
            ),
            Action("new", f"install -o redis -g redis -m 0660 {BACKUPS}/from-old.rdb /var/lib/redis/dump.rdb"),
            Action("new", "systemctl start redis-server; systemctl restart rspamd"),
        ]

    def carry(self) -> None:
        """Make new's learned tokens those of old. Raises MoveFailed or ServerError; then Redis runs, with what it had."""
        self.progress.at("saving what the old spam filter learned")
        theirs = training.look(self.old, save=True)
        ours = training.look(self.new)
        self._can(theirs)
        self._can(ours)
        self._fetch(theirs)
        key = f"{self.purpose}: training before"
        saved = self.journal.recall(key)
        keep = (
            "" if saved and saved.get("done") else f"{BACKUPS}/before-{self.purpose}-{time.strftime('%Y%m%d-%H%M%S')}"
        )
        if keep and saved and self.new.run("test", "-d", saved["directory"]).ok:
            keep = ""  # a run killed after the exchange: what it kept is what stood there first
        if keep:
            self.journal.keep(
                key,
                {"directory": keep, "done": False, "learned": ours["learned"], "carried": self.journal.recall(CARRIED)},
            )
        self.progress.at("putting it into the new server's Redis")
        self._exchange(ours, f"{BACKUPS}/from-old.rdb", keep)
        self.journal.keep(key, {**self.journal.recall(key), "done": True})
        kept = ("learned", "learned_before", "keys", "expiring", "local", "host", "port")
        self.journal.keep(CARRIED, {k: theirs[k] for k in kept})

    def _fetch(self, theirs: dict[str, Any]) -> None:
        """Bring old's dump to new, whole. Redis may write another one meanwhile: then again."""
        path = f"{theirs['dir']}/{theirs['file']}"
        for _ in range(TRIES):
            databases.stream(self.old, f"cat -- {shlex.quote(path)}", self.new, _RECEIVE, BACKUPS)
            there = self.old.run("sha256sum", path, check=True).out.split()[0].lstrip("\\")
            here = self.new.run("sha256sum", f"{BACKUPS}/from-old.rdb", check=True).out.split()[0]
            if there == here:
                return
        raise MoveFailed(
            f"Redis' dump {path} on old is another one each time it is looked at",
            "does Redis save all the time (CONFIG GET save)? run it again at a quieter time",
        )

    def _can(self, told: dict[str, Any]) -> None:
        if told["trouble"] or told["backend"] != "redis" or not told["local"] or not told.get("dir"):
            raise MoveFailed(
                "the spam filter's Redis cannot be read: "
                + ("; ".join(told["trouble"]) or f"{told['backend']} at {told['host']}"),
                "redis-cli ping and rspamadm configdump redis on that server show how it is reached",
            )

    def _exchange(self, told: dict[str, Any], put: str, keep: str) -> None:
        unit = told["unit"] or "redis-server"
        done = self.new.sh(
            _EXCHANGE,
            unit,
            told["dir"],
            told["file"],
            put,
            keep,
            told["aof"],
            told["aof_file"],
            told["aof_dir"],
            str(told["port"] or told["host"]),
            timeout_s=600,
        )
        if not done.ok:
            runs = is_running(self.new, unit)
            raise MoveFailed(
                f"Redis on the new server does not {'take the data' if runs else 'start'}: {done.text}",
                f"journalctl -u {unit} there says why; mend it, systemctl start {unit}, then run it again"
                f" (what stood there before is in {BACKUPS})",
            )
        self.new.sh("systemctl restart rspamd", timeout_s=120, check=True)

    def restore(self) -> None:
        """Put back what stood there before :meth:`carry`. Twice equals once."""
        key = f"{self.purpose}: training before"
        saved = self.journal.recall(key)
        if not saved:
            return
        self.new.sh(
            "for u in redis-server rspamd; do systemctl is-active -q $u || systemctl start $u; done", timeout_s=120
        )
        if self.new.run("test", "-d", saved["directory"]).ok:
            told = training.look(self.new)
            self._can(told)
            self._exchange(told, saved["directory"], "")
        self.journal.keep(CARRIED, saved["carried"])

    def restored(self) -> Evidence:
        """The new spam filter knows what it knew before."""
        exam = Examination(
            "the new spam filter knows what it knew before",
            "new",
            why="taking a move back leaves what was there",
            hint=f"stop Redis, put the dump in {BACKUPS} back by hand, start it",
        )
        saved = self.journal.recall(f"{self.purpose}: training before")
        if not saved:
            return exam.not_applicable("nothing was changed")
        now = training.look(self.new)
        for words in now["trouble"]:
            exam.unknown("rspamd and Redis on new", words)
        exam.equal("letters learned", now.get("learned"), saved["learned"])
        return exam.close()


class CarryTraining(Move):
    """Carry what the spam filter has learned to the new server.

    Succeeded: rspamd on the new server knows every letter the old one learned, and goes on learning.
    Failed: its Redis runs, with what it had before or with all of old's; never with a part.
    """

    name = "training"
    overtaken_by = ("freeze", "start", "switch")

    def needs(self) -> Iterable[Evidence]:
        yield training.training_can_be_carried(self.old, self.new)

    def _why_not(self) -> str:
        if "rspamd" not in self.old.facts.packages:
            return "no rspamd on the old server"
        return training.why_not(training.look(self.old), self.old)

    def plan(self) -> list[Action]:
        reason = self._why_not()
        return [Action("here", "nothing", reason)] if reason else TrainingCopy(self.context, self.name).plan()

    def do(self) -> None:
        if not self._why_not():
            TrainingCopy(self.context, self.name).carry()
            self._exactly = True

    _exactly = False  # right after the copy the numbers are equal; later the new server may have learned more

    def prove(self) -> Iterable[Evidence]:
        reason = self._why_not()
        if reason:
            yield Examination("the spam filter's training", "old").not_applicable(reason)
            return
        yield training.new_has_learned(self.new, self.journal.recall(CARRIED), exactly=self._exactly)

    def undo(self) -> None:
        TrainingCopy(self.context, self.name).restore()

    def prove_undone(self) -> Iterable[Evidence]:
        yield TrainingCopy(self.context, self.name).restored()
        self.journal.forget(f"{self.name}: training before")
        self.journal.forget(CARRIED)
