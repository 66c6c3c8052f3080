"""Talking to mail servers as others do: SMTP, IMAP, POP3, DNS, TLS, a browser. Typed wrappers of the libraries."""
