"""`python -m decision`."""

from chassis.service import run_service
from decision.app import start
from decision.settings import Settings

if __name__ == "__main__":
    run_service("decision", Settings, start, place=0)
