"""quota counts: it checks and charges all limits of one mail in one atomic step, or none.

What it answered as charged survives `kill -9`, and nothing is charged twice. Read `domain.py` (what is
asked and answered), `assessment.py` (what is counted, as a pure function), then `store/interface.py`.
"""
