"""The lab: real Debian servers on this machine, to rehearse and test a migration on.

Three machines (`old`, `new`, `world`) are booted by systemd-nspawn from images that mmdebstrap makes, each in a
network namespace of its own, on one bridge without a route to anywhere else. A fourth namespace, the operator's,
holds no machine: commands run in it reach the three as an administrator would, and can reach nothing more.

The lab knows nothing of the rest of mailmove.
"""
