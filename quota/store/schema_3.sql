-- A message's first recipient has no row of its own: most messages have no other one.
ALTER TABLE ledger ADD COLUMN first BLOB;   -- in the message's own row: hash; empty or NULL: none
