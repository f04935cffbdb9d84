-- Where mail came from, for the report. The address of an account's day is left out once there are 1,000.
CREATE TABLE origin (
    day INTEGER NOT NULL,
    account INTEGER NOT NULL,           -- account.id
    country TEXT NOT NULL,              -- ISO 3166-1 alpha-2, or empty
    address BLOB NOT NULL,              -- the client's as text, or empty
    rule TEXT NOT NULL,                 -- empty: accepted
    enforced INTEGER NOT NULL,          -- 0: accepted, or would have been refused
    count INTEGER NOT NULL,             -- accepted: units of the first limit; else refusals
    PRIMARY KEY (day, account, country, address, rule, enforced)
) STRICT, WITHOUT ROWID;
