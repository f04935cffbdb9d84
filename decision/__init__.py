"""decision answers one question for each policy request: may this mail pass?

An ordered chain of rules. Rules that only look speak first; then one charge at quota carries all limits,
so nothing is charged that another rule refuses. Read `chain.py`, then `rules/country.py` and
`rules/quota.py`; `decider.py` joins them with the stream to quota.
"""
