"""Asks the machine's own services for their certificates, on the machine itself, where nobody can be in between.

A client that is shown one of them from outside talks to this machine, whatever a CA says of it. No name or password is
sent; ports where nobody answers are left out.

In: {"names": [as which to ask], "addresses": [of the machine]}
Out, one line: {"certificates": [base64 of DER]}
"""

import base64
import concurrent.futures
import json
import socket
import ssl
import sys

TIME_S = 10
LONGEST_LINE = 4096

# Of each dialogue: how the greeting ends, what is said, and how each answer ends
SMTP = (b"220 ", [(b"EHLO localhost", b"250 "), (b"STARTTLS", b"220 ")])
IMAP = (b"* OK", [(b"t STARTTLS", b"t OK")])
POP3 = (b"+OK", [(b"STLS", b"+OK")])
SIEVE = (b"OK", [(b"STARTTLS", b"OK")])
IMPLICIT = (b"", [])
# Not port 25: between servers any certificate does
PORTS = {443: IMPLICIT, 465: IMPLICIT, 993: IMPLICIT, 995: IMPLICIT, 587: SMTP, 143: IMAP, 110: POP3, 4190: SIEVE}


def until(connection, end):
    """Read lines until one begins with ``end``, byte by byte: what comes after it is TLS."""
    line = b""
    while len(line) < LONGEST_LINE:
        byte = connection.recv(1)
        if not byte:
            raise OSError("closed")
        line += byte
        if byte == b"\n":
            if line.startswith(end):
                return
            line = b""
    raise OSError("flooded")


def certificate(address, port, name):
    """The certificate (DER) that is shown there to who asks for ``name``; None if there is none."""
    greeting, words = PORTS[port]
    using = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    using.check_hostname = False
    using.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection((address, port), TIME_S) as connection:
            if greeting:
                until(connection, greeting)
            for command, answer in words:
                connection.sendall(command + b"\r\n")
                until(connection, answer)
            with using.wrap_socket(connection, server_hostname=name or None) as secured:
                return secured.getpeercert(binary_form=True)
    except (OSError, ValueError):
        return None


def main():
    arguments = json.loads(sys.stdin.readline())
    addresses = ["127.0.0.1", "::1", *arguments["addresses"]]
    asked = [(address, port, name) for address in addresses for port in PORTS for name in arguments["names"]]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        shown = set(pool.map(lambda each: certificate(*each), asked)) - {None}
    print(json.dumps({"certificates": sorted(base64.b64encode(each).decode() for each in shown)}))


if __name__ == "__main__":
    main()
