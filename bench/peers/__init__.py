"""The peers, from Debian's packages, each with a configuration of its own in a temporary directory.

Each runs as whoever runs the benchmark, on free ports of loopback, and is ended by its process ids.
"""
