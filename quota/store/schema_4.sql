-- What an admin has set. It ends by itself at until_ms; rows that have ended are removed some time later.
CREATE TABLE override (
    account INTEGER NOT NULL,           -- account.id
    kind TEXT NOT NULL,                 -- quota.overrides.Kind
    value TEXT NOT NULL,                -- a maximum, country codes with commas, or empty for a lock
    until_ms INTEGER NOT NULL,          -- 0: no end
    reason TEXT NOT NULL,
    who TEXT NOT NULL,
    set_ms INTEGER NOT NULL,
    PRIMARY KEY (account, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX override_until ON override (until_ms) WHERE until_ms > 0;

-- The same in short (JSON; NULL: nothing is set), so that a charge reads it with the account.
ALTER TABLE account ADD COLUMN overrides TEXT;
CREATE INDEX account_overridden ON account (name) WHERE overrides IS NOT NULL;

-- Single refusals, for those who ask why. Ids grow with time. Of one account's day only some are kept.
CREATE TABLE refusal_log (
    id INTEGER PRIMARY KEY,
    day INTEGER NOT NULL,
    account INTEGER NOT NULL,           -- account.id
    place INTEGER NOT NULL,             -- among those of the account's day; the last ones share places
    at_ms INTEGER NOT NULL,
    decision_id TEXT NOT NULL,
    login BLOB NOT NULL,                -- as typed
    rule TEXT NOT NULL,
    enforced INTEGER NOT NULL,          -- 0: would have been refused
    country TEXT NOT NULL,
    address BLOB NOT NULL,
    sender BLOB NOT NULL,
    recipient BLOB NOT NULL,
    recipient_count INTEGER NOT NULL,
    used INTEGER,                       -- of the limit, as the two below; NULL for a rule without one
    maximum INTEGER,
    resets_ms INTEGER,
    settings TEXT NOT NULL,
    detail TEXT NOT NULL,
    UNIQUE (account, day, place)
) STRICT;
CREATE INDEX refusal_log_decision ON refusal_log (decision_id);

-- What admins did. Accounts stand here by name: the entry about a purge outlives the account.
CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    who TEXT NOT NULL,
    what TEXT NOT NULL,
    account BLOB NOT NULL,              -- normalised login; empty: about nobody
    value TEXT NOT NULL,
    until_ms INTEGER NOT NULL,          -- 0: no end
    reason TEXT NOT NULL
) STRICT;
CREATE INDEX audit_account ON audit (account, id);
