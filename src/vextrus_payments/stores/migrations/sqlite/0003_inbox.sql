-- compatible: 1
--
-- The inbox: verified news from gateways, kept before it is answered.
--
-- The line above names the oldest schema whose release can go on working with this one: the table that the first
-- release made for this purpose was never written or read by any.
DROP TABLE inbox;

-- `due_at` is when a worker looks at the row next: 0 for at once, the end of its lease, or the time to try again; NULL
-- once it is over, and then `finished_at` is set. `fence` grows with every lease. What is long stands last: it is read
-- only with the row.
CREATE TABLE inbox (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    gateway TEXT NOT NULL,
    mode TEXT NOT NULL,
    event_id TEXT NOT NULL,
    news_key TEXT,
    state TEXT NOT NULL,
    fence INTEGER NOT NULL DEFAULT 0,
    tries INTEGER NOT NULL DEFAULT 0,
    received_at INTEGER NOT NULL,
    due_at INTEGER,
    leased_until INTEGER,
    finished_at INTEGER,
    payment_id TEXT,
    note TEXT,
    document TEXT NOT NULL,
    headers TEXT NOT NULL,
    body BLOB NOT NULL
);
CREATE UNIQUE INDEX inbox_key ON inbox (tenant, event_id, gateway, mode);
CREATE UNIQUE INDEX inbox_news ON inbox (tenant, news_key, gateway, mode) WHERE news_key IS NOT NULL;
-- State and time are there so that the backlog is counted in the index alone.
CREATE INDEX inbox_due ON inbox (due_at, id, state, received_at) WHERE due_at IS NOT NULL;
CREATE INDEX inbox_by_time ON inbox (received_at);
CREATE INDEX inbox_by_tenant ON inbox (tenant, received_at);
CREATE INDEX inbox_unmatched ON inbox (received_at) WHERE state = 'unmatched';
CREATE INDEX inbox_finished ON inbox (finished_at) WHERE finished_at IS NOT NULL;

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('inbox', 'inbox_key', '1000000 100000 1 1 1'),
    ('inbox', 'inbox_news', '1000000 100000 1 1 1'),
    ('inbox', 'inbox_due', '10000 100 1 1 1'),
    ('inbox', 'inbox_by_time', '1000000 2'),
    ('inbox', 'inbox_by_tenant', '1000000 100000 2'),
    ('inbox', 'inbox_unmatched', '1000 2'),
    ('inbox', 'inbox_finished', '1000000 2');
