"""Grafana's dashboards as code: `make dashboards` writes deploy/grafana/dashboards/*.json.

Read `board.py` first: it holds what all panels have in common, and the rules of the house that
tests/monitoring/test_dashboards.py checks. Each dashboard is one module with a function `build`.
Nothing of this runs beside the services; it needs the packages of the tests.
"""
