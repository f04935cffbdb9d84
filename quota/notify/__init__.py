"""Tells people about accounts that are refused or near their limit, by mail and by webhook.

What is to be told stands in the store's outbox (`store/outbox.py`), written in the transaction that
caused it. Here it is delivered, beside quota's answers and never in their way: read `notification.py` (what
is told), `interface.py` (what a channel is), then `sender.py` (how one channel works through the outbox).
"""
