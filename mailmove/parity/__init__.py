"""What one mail server does that the other does not: pure comparison of what ``remote/parity.py`` saw on both.

Names, addresses and places that every server has of its own are put aside first (``model``); what remains is judged by ``rules``.
"""
