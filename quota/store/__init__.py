"""Where the counts are kept. `interface.py` is the contract, every other file one way to fulfil it."""
