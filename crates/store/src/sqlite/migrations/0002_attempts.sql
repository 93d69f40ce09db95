-- One row for each attempt: what nobody looks for is in its record. Calls are numbered in the order
-- of time, so that a table in that order grows at its end and needs no index beside it.
CREATE TABLE attempts (
    call    BLOB    NOT NULL,
    attempt INTEGER NOT NULL,
    record  BLOB    NOT NULL, -- JSON, as text or in fewer bytes
    PRIMARY KEY (call, attempt)
) STRICT, WITHOUT ROWID;

INSERT INTO attempts (call, attempt, record)
SELECT call, attempt, CAST(json_object(
    'at', at, 'key', key, 'key_name', key_name, 'team', team, 'provider', provider,
    'asked', asked, 'model', model, 'tags', tags, 'user', user,
    -- Twelve places, and as many digits before them as there are.
    'usd', CASE WHEN pico IS NULL THEN usd
                ELSE printf('%d.%012d', pico / 1000000000000, pico % 1000000000000) END,
    'input', input, 'output', output, 'cached', cached, 'written', written,
    'reasoning', reasoning, 'quality', quality, 'ending', ending, 'took', took,
    'details', json(details)) AS BLOB)
FROM charges;

DROP TABLE charges;
