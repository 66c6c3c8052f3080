"""Programs that run on the servers.

Contract: standard library only, Python 3.9 or later, plain values in (one line of JSON on standard input),
JSON lines out on standard output. They travel over ssh's standard input and leave no file behind. What is said
on standard error reaches the admin when the exit status is not 0. None of them writes anything unless its
first line says so.
"""
