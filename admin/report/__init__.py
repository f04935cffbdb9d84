"""`mtpolicyctl report`: who was or would have been refused, and what would let them pass.

Read `summary.py` first, then `suggestions.py`.
"""
