"""What every service stands on: settings, logs, metrics, health, gRPC start-up, life cycle, launcher.

It knows no mail, no rules and no counts, and imports no service. Read `service.py` first: it is the
skeleton that frontend, decision and quota hang their own parts on; `item_client.py` and
`item_server.py` are the two ends of the streams between them.
"""
