-- Everything the first release keeps.
--
-- Every row's `document` is the whole record as JSON; the columns beside it find, order and guard it, no more.
-- Times are whole microseconds since 1970 in UTC. Every table of the flow is keyed by tenant. `id` is the order of
-- insertion: a key of its own, so that VACUUM keeps it. Each index is one more page to write in most commits: there
-- are as few as serve the store's queries, and a test holds every query to its index.

CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- Which of these files have run here, and what was in them then.
CREATE TABLE migrations (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    applied_at INTEGER NOT NULL
);

CREATE TABLE payments (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    payment_id TEXT NOT NULL,
    merchant_reference TEXT NOT NULL,
    gateway TEXT NOT NULL,
    mode TEXT NOT NULL,
    state TEXT NOT NULL,
    version INTEGER NOT NULL CHECK (version > 0),
    created_at INTEGER NOT NULL,
    document TEXT NOT NULL
);
CREATE UNIQUE INDEX payments_key ON payments (tenant, payment_id);
CREATE INDEX payments_by_reference ON payments (tenant, merchant_reference, created_at);
CREATE INDEX payments_by_tenant ON payments (tenant, created_at);
CREATE INDEX payments_by_state ON payments (state, created_at);

CREATE TABLE submissions (
    tenant TEXT NOT NULL,
    payment_id TEXT NOT NULL,
    submission_no INTEGER NOT NULL CHECK (submission_no > 0),
    gateway TEXT NOT NULL,
    mode TEXT NOT NULL,
    gateway_order_id TEXT NOT NULL,
    gateway_reference TEXT,
    held_transaction_id TEXT,
    document TEXT NOT NULL,
    PRIMARY KEY (tenant, payment_id, submission_no),
    FOREIGN KEY (tenant, payment_id) REFERENCES payments (tenant, payment_id)
) WITHOUT ROWID;
-- The order id stands second, so that it is found without its gateway too.
CREATE UNIQUE INDEX submissions_order_id ON submissions (tenant, gateway_order_id, gateway, mode);
CREATE INDEX submissions_by_gateway_reference ON submissions (tenant, gateway_reference)
    WHERE gateway_reference IS NOT NULL;
CREATE INDEX submissions_by_hold ON submissions (tenant, held_transaction_id)
    WHERE held_transaction_id IS NOT NULL;

CREATE TABLE operations (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    operation_id TEXT NOT NULL,
    payment_id TEXT NOT NULL,
    state TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    document TEXT NOT NULL,
    FOREIGN KEY (tenant, payment_id) REFERENCES payments (tenant, payment_id)
);
CREATE UNIQUE INDEX operations_key ON operations (tenant, operation_id);
CREATE INDEX operations_by_payment ON operations (tenant, payment_id);
CREATE INDEX operations_by_state ON operations (state, updated_at);

CREATE TABLE attempts (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    payment_id TEXT NOT NULL,
    operation_id TEXT NOT NULL,
    fence INTEGER NOT NULL,
    document TEXT NOT NULL
);
CREATE UNIQUE INDEX attempts_key ON attempts (tenant, payment_id, operation_id, fence);

-- Facts: only ever inserted. A receipt without payment_id is known and matched to no payment of ours.
CREATE TABLE receipts (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    gateway TEXT NOT NULL,
    mode TEXT NOT NULL,
    kind TEXT NOT NULL,
    transaction_id TEXT NOT NULL,
    payment_id TEXT,
    document TEXT NOT NULL,
    FOREIGN KEY (tenant, payment_id) REFERENCES payments (tenant, payment_id)
);
CREATE UNIQUE INDEX receipts_key ON receipts (tenant, transaction_id, gateway, mode, kind);
CREATE INDEX receipts_by_payment ON receipts (tenant, payment_id) WHERE payment_id IS NOT NULL;
CREATE TRIGGER receipts_are_not_changed BEFORE UPDATE ON receipts
BEGIN
    SELECT RAISE(ABORT, 'receipts are only inserted');
END;
CREATE TRIGGER receipts_are_not_deleted BEFORE DELETE ON receipts
BEGIN
    SELECT RAISE(ABORT, 'receipts are only inserted');
END;

CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    event_id TEXT NOT NULL,
    payment_id TEXT NOT NULL,
    document TEXT NOT NULL,
    FOREIGN KEY (tenant, payment_id) REFERENCES payments (tenant, payment_id)
);
CREATE UNIQUE INDEX events_key ON events (tenant, event_id);
CREATE INDEX events_by_payment ON events (tenant, payment_id);
CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'events are only inserted');
END;

-- One row per ledger entry or event to hand over. `head` is 1 on the first undelivered row of a subject, the only one
-- that can be leased; `due_at` is when it may be: its creation, the end of its lease, or the time to try again.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    row_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    seq INTEGER NOT NULL,
    document TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    next_at INTEGER,
    parked TEXT,
    due_at INTEGER NOT NULL,
    head INTEGER NOT NULL,
    delivered_at INTEGER
);
CREATE UNIQUE INDEX outbox_key ON outbox (tenant, row_id);
CREATE INDEX outbox_by_subject ON outbox (kind, tenant, subject, seq) WHERE delivered_at IS NULL;
CREATE INDEX outbox_due ON outbox (kind, due_at) WHERE head = 1 AND parked IS NULL AND delivered_at IS NULL;

-- Verified news from gateways, and what came before its payment: filled by the webhook doors.
CREATE TABLE inbox (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    gateway TEXT NOT NULL,
    mode TEXT NOT NULL,
    event_id TEXT NOT NULL,
    state TEXT NOT NULL,
    gateway_order_id TEXT,
    gateway_reference TEXT,
    received_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    parked TEXT,
    document TEXT NOT NULL
);
CREATE UNIQUE INDEX inbox_key ON inbox (tenant, gateway, mode, event_id);
CREATE INDEX inbox_due ON inbox (due_at) WHERE state = 'waiting' AND parked IS NULL;
CREATE INDEX inbox_by_order ON inbox (tenant, gateway_order_id) WHERE gateway_order_id IS NOT NULL;
CREATE INDEX inbox_by_reference ON inbox (tenant, gateway_reference) WHERE gateway_reference IS NOT NULL;

-- The one table that holds secrets: tokens by the digest of their credentials, shared by all tenants on purpose.
CREATE TABLE tokens (
    digest TEXT PRIMARY KEY,
    version TEXT,
    document TEXT,
    grants TEXT
) WITHOUT ROWID;

-- Statistics of a large shop, fixed: without any, SQLite takes a tenant for ten rows and walks all of them rather than
-- use the index that finds one. The numbers: rows, then rows per value of the first, the first two ... columns.
ANALYZE;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('payments', 'payments_key', '1000000 100000 1'),
    ('payments', 'payments_by_reference', '1000000 100000 2 1'),
    ('payments', 'payments_by_tenant', '1000000 100000 1'),
    ('payments', 'payments_by_state', '1000000 200000 1'),
    ('submissions', 'submissions', '1000000 100000 1 1'),
    ('submissions', 'submissions_order_id', '1000000 100000 1 1 1'),
    ('submissions', 'submissions_by_gateway_reference', '1000000 100000 1'),
    ('submissions', 'submissions_by_hold', '100000 10000 1'),
    ('operations', 'operations_key', '2000000 200000 1'),
    ('operations', 'operations_by_payment', '2000000 200000 2'),
    ('operations', 'operations_by_state', '2000000 300000 1'),
    ('attempts', 'attempts_key', '2000000 200000 2 1 1'),
    ('receipts', 'receipts_key', '1000000 100000 1 1 1 1'),
    ('receipts', 'receipts_by_payment', '1000000 100000 1'),
    ('events', 'events_key', '2000000 200000 1'),
    ('events', 'events_by_payment', '2000000 200000 2'),
    ('outbox', 'outbox_key', '3000000 300000 1'),
    ('outbox', 'outbox_by_subject', '100000 50000 5000 2 1'),
    ('outbox', 'outbox_due', '50000 25000 1'),
    ('inbox', 'inbox_key', '1000000 100000 50000 50000 1'),
    ('inbox', 'inbox_due', '10000 1'),
    ('inbox', 'inbox_by_order', '1000000 100000 1'),
    ('inbox', 'inbox_by_reference', '1000000 100000 1');
