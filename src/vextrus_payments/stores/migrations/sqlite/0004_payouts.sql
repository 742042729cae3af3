-- compatible: 1
--
-- Payouts, and transfers between the merchant's own accounts at a gateway.
--
-- The line above names the oldest schema whose release can go on working with this one: nothing that it knows changes.

-- The one operation is in the document. `is_out` is 1 once it was let out and has not come back, `is_settled` 1 once it
-- needs nothing more. Its receipts stand in `receipts`, without a payment.
CREATE TABLE payouts (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    payout_id TEXT NOT NULL,
    operation_id TEXT NOT NULL,
    is_out INTEGER NOT NULL,
    is_settled INTEGER NOT NULL,
    version INTEGER NOT NULL CHECK (version > 0),
    created_at INTEGER NOT NULL,
    watch_at INTEGER,
    watch_tries INTEGER NOT NULL DEFAULT 0,
    watched_until INTEGER,
    document TEXT NOT NULL
);
CREATE UNIQUE INDEX payouts_key ON payouts (tenant, payout_id);
-- Unique per tenant together with those of `operations` and `agreement_operations`.
CREATE UNIQUE INDEX payouts_by_operation ON payouts (tenant, operation_id);
CREATE INDEX payouts_by_tenant ON payouts (tenant, created_at);
CREATE INDEX payouts_by_time ON payouts (created_at);
CREATE INDEX payouts_unsettled ON payouts (created_at) WHERE is_settled = 0;
CREATE INDEX payouts_by_watch ON payouts (watch_at) WHERE watch_at IS NOT NULL;
CREATE INDEX payouts_unwatched ON payouts (is_out) WHERE is_out = 1 AND watch_at IS NULL;

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('payouts', 'payouts_key', '1000000 100000 1'),
    ('payouts', 'payouts_by_operation', '1000000 100000 1'),
    ('payouts', 'payouts_by_tenant', '1000000 100000 1'),
    ('payouts', 'payouts_by_time', '1000000 2'),
    ('payouts', 'payouts_unsettled', '100 1'),
    ('payouts', 'payouts_by_watch', '1000 2'),
    ('payouts', 'payouts_unwatched', '100 100');
