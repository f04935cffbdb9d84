"""`python -m quota`."""

from chassis.service import run_service
from quota.app import start
from quota.settings import Settings

if __name__ == "__main__":
    # decision and quota beside one another, frontend elsewhere: of all ways the quickest.
    run_service("quota", Settings, start, place=0)
