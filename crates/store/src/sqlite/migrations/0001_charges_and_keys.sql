-- One row for each attempt. What is grouped or looked up has a column, the rest is in `details`.
CREATE TABLE charges (
    call      BLOB    NOT NULL,
    attempt   INTEGER NOT NULL,
    at        INTEGER NOT NULL, -- Unix milliseconds
    day       INTEGER NOT NULL, -- days since 1970-01-01, UTC
    key       TEXT    NOT NULL, -- '' where nobody was asked; so are the other texts
    key_name  TEXT    NOT NULL,
    team      TEXT    NOT NULL,
    provider  TEXT    NOT NULL,
    asked     TEXT    NOT NULL,
    model     TEXT    NOT NULL,
    tags      TEXT    NOT NULL, -- separated by commas
    user      TEXT    NOT NULL,
    pico      INTEGER,          -- 10^-12 USD, where that is exact
    usd       TEXT,             -- else the decimal; both null: not known
    input     INTEGER NOT NULL,
    output    INTEGER NOT NULL,
    cached    INTEGER NOT NULL,
    written   INTEGER NOT NULL,
    reasoning INTEGER NOT NULL,
    quality   TEXT    NOT NULL,
    ending    TEXT    NOT NULL,
    took      INTEGER NOT NULL, -- milliseconds
    details   TEXT    NOT NULL  -- JSON
) STRICT;
CREATE UNIQUE INDEX charges_identity ON charges (call, attempt);

-- Sums of `charges`, kept in the same transactions.
CREATE TABLE spend (
    key       TEXT    NOT NULL,
    day       INTEGER NOT NULL,
    team      TEXT    NOT NULL,
    provider  TEXT    NOT NULL,
    model     TEXT    NOT NULL,
    key_name  TEXT    NOT NULL,
    calls     INTEGER NOT NULL,
    attempts  INTEGER NOT NULL,
    unknown   INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    input     INTEGER NOT NULL,
    output    INTEGER NOT NULL,
    cached    INTEGER NOT NULL,
    written   INTEGER NOT NULL,
    reasoning INTEGER NOT NULL,
    pico      INTEGER,
    usd       TEXT,
    PRIMARY KEY (key, day, team, provider, model)
) STRICT, WITHOUT ROWID;

-- The same by tag: a charge with two tags counts for both.
CREATE TABLE tag_spend (
    tag       TEXT    NOT NULL,
    day       INTEGER NOT NULL,
    calls     INTEGER NOT NULL,
    attempts  INTEGER NOT NULL,
    unknown   INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    input     INTEGER NOT NULL,
    output    INTEGER NOT NULL,
    cached    INTEGER NOT NULL,
    written   INTEGER NOT NULL,
    reasoning INTEGER NOT NULL,
    pico      INTEGER,
    usd       TEXT,
    PRIMARY KEY (tag, day)
) STRICT, WITHOUT ROWID;

-- Virtual keys: hashes only.
CREATE TABLE keys (
    number     INTEGER PRIMARY KEY,
    id         TEXT    NOT NULL UNIQUE,
    hash       BLOB    NOT NULL UNIQUE,
    name       TEXT    NOT NULL,
    ancestry   TEXT    NOT NULL, -- JSON array, nearest first
    models     TEXT,             -- JSON array of patterns; null: all
    disabled   INTEGER NOT NULL,
    expires_at INTEGER,          -- Unix seconds
    metadata   TEXT    NOT NULL  -- JSON object
) STRICT;

-- What the store remembers of itself.
CREATE TABLE facts (
    name  TEXT    PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO facts (name, value) VALUES ('keys_version', 0), ('synced', 0);
