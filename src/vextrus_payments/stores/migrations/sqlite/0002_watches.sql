-- compatible: 1
--
-- When to look at something next, agreements, settlements, receipts by time, and who holds an outbox row.
--
-- The line above names the oldest schema whose release can go on working with this one: what is added here has a
-- default or a trigger for rows that such a release writes, and nothing that it reads has changed.

-- `watch_at` is when a worker looks at the payment next, NULL for never; `watched_until` the end of the lease under which
-- one does. A row that an older release inserts is due at once, and one that it changes keeps its time.
ALTER TABLE payments ADD COLUMN watch_at INTEGER DEFAULT 0;
ALTER TABLE payments ADD COLUMN watch_tries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE payments ADD COLUMN watched_until INTEGER;

-- What is over need not be looked at. What may not be is due at once: a look too many costs one question.
UPDATE payments SET watch_at = NULL
WHERE state IN ('paid', 'closed', 'lapsed')
AND instr(document, '"late"') = 0
AND NOT EXISTS (
    SELECT 1 FROM operations
    WHERE operations.tenant = payments.tenant AND operations.payment_id = payments.payment_id
    AND operations.state IN ('reserved', 'submitting', 'pending', 'unknown')
)
AND NOT EXISTS (
    SELECT 1 FROM submissions
    WHERE submissions.tenant = payments.tenant AND submissions.payment_id = payments.payment_id
    AND submissions.submission_no > 1
);
CREATE INDEX payments_by_watch ON payments (watch_at) WHERE watch_at IS NOT NULL;

-- A payer's standing consent. Its operations are in its document; `is_open` is 1 while the payer or the gateway still
-- has to say something.
CREATE TABLE agreements (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    agreement_key TEXT NOT NULL,
    is_open INTEGER NOT NULL,
    version INTEGER NOT NULL CHECK (version > 0),
    created_at INTEGER NOT NULL,
    gateway_reference TEXT,
    agreement_id TEXT,
    watch_at INTEGER,
    watch_tries INTEGER NOT NULL DEFAULT 0,
    watched_until INTEGER,
    document TEXT NOT NULL
);
CREATE UNIQUE INDEX agreements_key ON agreements (tenant, agreement_key);
CREATE INDEX agreements_by_tenant ON agreements (tenant, created_at);
CREATE INDEX agreements_by_time ON agreements (created_at);
CREATE INDEX agreements_by_gateway_reference ON agreements (tenant, gateway_reference)
    WHERE gateway_reference IS NOT NULL;
CREATE INDEX agreements_by_agreement_id ON agreements (tenant, agreement_id) WHERE agreement_id IS NOT NULL;
CREATE INDEX agreements_by_watch ON agreements (watch_at) WHERE watch_at IS NOT NULL;
CREATE INDEX agreements_unwatched ON agreements (is_open) WHERE is_open = 1 AND watch_at IS NULL;

-- Whose an operation id is, where it is no payment's: unique per tenant together with those of `operations`.
CREATE TABLE agreement_operations (
    tenant TEXT NOT NULL,
    operation_id TEXT NOT NULL,
    agreement_key TEXT NOT NULL,
    PRIMARY KEY (tenant, operation_id),
    FOREIGN KEY (tenant, agreement_key) REFERENCES agreements (tenant, agreement_key)
) WITHOUT ROWID;

-- Receipts by the time they were recorded. For a row that an older release inserts the time is taken from its document
-- (ISO 8601, whole seconds and then six digits or none): the one change that a receipt ever sees.
ALTER TABLE receipts ADD COLUMN recorded_at INTEGER;
DROP TRIGGER receipts_are_not_changed;
CREATE TRIGGER receipts_are_not_changed BEFORE UPDATE ON receipts
WHEN OLD.recorded_at IS NOT NULL
    OR NEW.id IS NOT OLD.id OR NEW.tenant IS NOT OLD.tenant OR NEW.gateway IS NOT OLD.gateway
    OR NEW.mode IS NOT OLD.mode OR NEW.kind IS NOT OLD.kind OR NEW.transaction_id IS NOT OLD.transaction_id
    OR NEW.payment_id IS NOT OLD.payment_id OR NEW.document IS NOT OLD.document
BEGIN
    SELECT RAISE(ABORT, 'receipts are only inserted');
END;
CREATE TRIGGER receipts_have_a_time AFTER INSERT ON receipts WHEN NEW.recorded_at IS NULL
BEGIN
    UPDATE receipts SET recorded_at = (
        SELECT CASE
            WHEN substr(moment, 20, 1) = '.' THEN
                CAST(strftime('%s', substr(moment, 1, 19) || substr(moment, 27)) AS INTEGER) * 1000000
                + CAST(substr(moment, 21, 6) AS INTEGER)
            ELSE CAST(strftime('%s', moment) AS INTEGER) * 1000000
        END
        FROM (SELECT substr(rest, 1, instr(rest, '"') - 1) AS moment FROM (
            SELECT substr(NEW.document, instr(NEW.document, '"recorded_at":"') + 15) AS rest
        ))
    ) WHERE id = NEW.id;
END;
UPDATE receipts SET recorded_at = (
    SELECT CASE
        WHEN substr(moment, 20, 1) = '.' THEN
            CAST(strftime('%s', substr(moment, 1, 19) || substr(moment, 27)) AS INTEGER) * 1000000
            + CAST(substr(moment, 21, 6) AS INTEGER)
        ELSE CAST(strftime('%s', moment) AS INTEGER) * 1000000
    END
    FROM (SELECT substr(rest, 1, instr(rest, '"') - 1) AS moment FROM (
        SELECT substr(receipts.document, instr(receipts.document, '"recorded_at":"') + 15) AS rest
    ))
);
CREATE INDEX receipts_by_time ON receipts (tenant, gateway, mode, recorded_at);

-- What the gateway's statements say of receipts, at most one of each; only a correction changes it.
CREATE TABLE settlements (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    gateway TEXT NOT NULL,
    mode TEXT NOT NULL,
    kind TEXT NOT NULL,
    transaction_id TEXT NOT NULL,
    version INTEGER NOT NULL CHECK (version > 0),
    document TEXT NOT NULL,
    FOREIGN KEY (tenant, transaction_id, gateway, mode, kind)
        REFERENCES receipts (tenant, transaction_id, gateway, mode, kind)
);
CREATE UNIQUE INDEX settlements_key ON settlements (tenant, transaction_id, gateway, mode, kind);

-- The end of the lease under which the row was given out last: only its holder may give it back.
ALTER TABLE outbox ADD COLUMN leased_until INTEGER;
CREATE INDEX outbox_parked ON outbox (kind) WHERE parked IS NOT NULL AND delivered_at IS NULL;
CREATE INDEX outbox_by_tenant ON outbox (tenant, kind);

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('payments', 'payments_by_watch', '100000 2'),
    ('agreements', 'agreements_key', '1000000 100000 1'),
    ('agreements', 'agreements_by_tenant', '1000000 100000 1'),
    ('agreements', 'agreements_by_time', '1000000 2'),
    ('agreements', 'agreements_by_gateway_reference', '1000000 100000 1'),
    ('agreements', 'agreements_by_agreement_id', '1000000 100000 1'),
    ('agreements', 'agreements_by_watch', '10000 2'),
    ('agreements', 'agreements_unwatched', '10 10'),
    ('agreement_operations', 'agreement_operations', '2000000 200000 1'),
    ('receipts', 'receipts_by_time', '1000000 100000 50000 25000 1'),
    ('settlements', 'settlements_key', '1000000 100000 1 1 1 1'),
    ('outbox', 'outbox_parked', '100 50'),
    ('outbox', 'outbox_by_tenant', '3000000 300000 150000');
