"""frontend speaks Postfix's policy protocol and asks decision. It decides nothing itself.

Exactly one reply for each request, in order, in time; mail without a login never waits for anybody.
Read `policy_wire.py` (bytes to requests, replies to bytes), `connection.py` (one smtpd), `asker.py`.
"""
