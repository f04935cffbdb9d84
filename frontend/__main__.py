"""`python -m frontend`."""

from chassis.service import run_service
from frontend.app import start
from frontend.settings import Settings

if __name__ == "__main__":
    run_service("frontend", Settings, start, place=1)
