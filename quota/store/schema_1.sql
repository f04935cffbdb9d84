-- Days are Python's date.toordinal(), times are Unix seconds or, named _ms, milliseconds.

CREATE TABLE account (
    id INTEGER PRIMARY KEY,
    name BLOB NOT NULL UNIQUE,          -- normalised login, whole
    login BLOB NOT NULL                 -- as it was typed last
) STRICT;

-- The day comes first: today's rows lie together, and old ones go without an index.
CREATE TABLE counter (
    day INTEGER NOT NULL,
    account INTEGER NOT NULL,           -- account.id
    name TEXT NOT NULL,                 -- the limit's
    unit INTEGER NOT NULL,              -- quota.domain.Unit
    used INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    PRIMARY KEY (day, account, name, unit)
) STRICT, WITHOUT ROWID;

-- One row for each recipient that a message was charged for, and with an empty recipient the message's own.
CREATE TABLE ledger (
    message BLOB NOT NULL,              -- hash of (account, instance)
    recipient BLOB NOT NULL,            -- hash, or empty
    day INTEGER,                        -- the message's period
    recipients INTEGER,                 -- charged so far
    expires INTEGER,                    -- Unix seconds, a multiple of a quarter of an hour
    PRIMARY KEY (message, recipient)
) STRICT, WITHOUT ROWID;

CREATE INDEX ledger_expires ON ledger (expires) WHERE expires IS NOT NULL;

CREATE TABLE refusal (
    day INTEGER NOT NULL,
    account INTEGER NOT NULL,           -- account.id
    rule TEXT NOT NULL,
    enforced INTEGER NOT NULL,          -- 0: would have been refused
    count INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    last_country TEXT NOT NULL,         -- ISO 3166-1 alpha-2, or empty
    last_address BLOB NOT NULL,
    last_decision_id TEXT NOT NULL,
    PRIMARY KEY (day, account, rule, enforced)
) STRICT, WITHOUT ROWID;
