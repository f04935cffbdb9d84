-- What people are to be told. A row stays until it can no longer be told twice; deliveries are those that wait.
CREATE TABLE notification (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,            -- by which a receiver tells repeats
    day INTEGER NOT NULL,               -- the period
    account INTEGER NOT NULL,           -- account.id
    kind TEXT NOT NULL,
    rule TEXT NOT NULL,
    country TEXT NOT NULL,              -- ISO 3166-1 alpha-2, or empty
    address BLOB NOT NULL,              -- the client's as text, or empty
    decision_id TEXT NOT NULL,
    used INTEGER,                       -- units of the limit; NULL for a rule without one
    maximum INTEGER,
    created_ms INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,          -- the period's end
    time_zone TEXT NOT NULL,            -- of the period
    forget_ms INTEGER NOT NULL,
    UNIQUE (day, account, kind)
) STRICT;

CREATE INDEX notification_forget ON notification (forget_ms);

CREATE TABLE delivery (
    notification INTEGER NOT NULL,      -- notification.seq
    channel TEXT NOT NULL,
    PRIMARY KEY (notification, channel)
) STRICT, WITHOUT ROWID;

CREATE INDEX delivery_channel ON delivery (channel, notification);

CREATE TRIGGER notification_forgotten AFTER DELETE ON notification BEGIN
    DELETE FROM delivery WHERE notification = old.seq;
END;

CREATE VIEW waiting AS
    SELECT channel, seq, notification.id AS id, kind, account.name AS account, rule, country, address,
        decision_id, used, maximum, created_ms, until_ms, time_zone
    FROM delivery
        JOIN notification ON notification.seq = delivery.notification
        JOIN account ON account.id = notification.account;
