"""`python -m quota`."""

from chassis.service import run_service
from quota.app import start
from quota.settings import Settings

if __name__ == "__main__":
    run_service("quota", Settings, start, place=0)
