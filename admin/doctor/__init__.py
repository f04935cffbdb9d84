"""`mtpolicyctl doctor`: whether Postfix really asks the policy service about the mail of those who log in.

It reads and never changes anything. Data flows one way: `postconf.py` reads Postfix's configuration as
Postfix itself understands it, `entrances.py` says where mail can come in, `walker.py` follows a mail of
each kind (`clients.py`) through the restriction lists by what each restriction does to it (`effects.py`),
`verdict.py` joins the lists of one mail, `examined.py` does so for an entrance and asks `filters.py` who
gets the mail then, `examination.py` for the host; `findings.py` tells what is wrong and how to mend it, in
the words of `wording.py`. Read `walker.py` first.

What it takes from Postfix is that of 3.7's smtpd_check.c and smtpd.c, and of access(5).
"""
