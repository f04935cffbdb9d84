"""`mtpolicyctl replay`: what would other settings have answered?

Requests that were recorded, or the mails of a mail log, are decided twice, with the settings in force and
with new ones, by the services' own rules and counts. Read `comparing.py`, then `trial.py`.
"""
