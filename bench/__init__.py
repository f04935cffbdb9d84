"""Measures this service beside its peers, and checks while it measures: a fast wrong answer fails the run.

`python -m bench` (`make bench`) does rounds: each subject in turn is started with an empty state, loaded by
policyload.c with the same mix of mail, checked, and stopped. Read interface.py first, it says what a subject
is; then rounds.py. large.py and minute.py are the runs with a big state and of one steady minute; app.py is
the command line.
"""
