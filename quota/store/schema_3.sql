-- A message's first recipient has no row of its own: most messages have no other one.
ALTER TABLE ledger ADD COLUMN first BLOB;   -- in the message's own row: hash; empty or NULL: none

-- Who is refused now: a limit refuses until its period ends, another rule counts for an hour.
ALTER TABLE refusal ADD COLUMN until_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE refusal ADD COLUMN last_maximum INTEGER;    -- the limit's; NULL for a rule without one
CREATE INDEX refusal_until ON refusal (until_ms) WHERE enforced;
