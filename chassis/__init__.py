"""What every service stands on: settings, logs, metrics, health, gRPC start-up, life cycle, launcher.

It knows no mail, no rules and no counts, and imports no service. Read `service.py` first: it is the
skeleton that frontend, decision and quota hang their own parts on; `item_client.py` and
`item_server.py` are the two ends of the streams between them.
"""

import os

# gRPC's event engine hands each read and write to a thread of its own pool; without it a message goes to
# its peer and back in half the time (docs/BENCHMARKS.md). gRPC reads this when it is first used, so it
# has to stand before every import of grpc. Whoever sets the variable himself is not overruled.
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_client,-event_engine_listener")
# No process of ours forks after it has used gRPC.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
