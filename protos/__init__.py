"""The contracts between the services: two .proto files and the code generated from them.

Read `decision.proto` (frontend -> decision) and `quota.proto` (decision -> quota). The `*_pb2*` files
are made by `make protos`; tests/project/test_protos.py fails when they differ from the .proto files.
"""
