-- compatible: 1
--
-- When to look at something next, agreements, settlements, receipts by time, and who holds an outbox row.
--
-- The line above names the oldest schema whose release can go on working with this one: what is added here has a
-- default or a trigger for rows that such a release writes, and nothing that it reads has changed.

-- `watch_at` is when a worker looks at the payment next, null for never; `watched_until` the end of the lease under
-- which one does. A row that an older release inserts is due at once, and one that it changes keeps its time.
ALTER TABLE payments
    ADD COLUMN watch_at bigint DEFAULT 0,
    ADD COLUMN watch_tries integer NOT NULL DEFAULT 0,
    ADD COLUMN watched_until bigint;
-- What is over need not be looked at. What may not be is due at once: a look too many costs one question.
UPDATE payments SET watch_at = NULL
WHERE state IN ('paid', 'closed', 'lapsed')
AND strpos(document, '"late"') = 0
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
CREATE INDEX payments_watched ON payments (watch_at, id) WHERE watch_at IS NOT NULL;
CREATE INDEX payments_unwatched ON payments (id)
    WHERE watch_at IS NULL AND state IN ('created', 'awaiting_payer', 'authorized');

-- The end of the lease under which a row was given out: the lease's witness.
ALTER TABLE outbox ADD COLUMN leased_until bigint;
CREATE INDEX outbox_by_tenant ON outbox (tenant, kind, id);
CREATE INDEX outbox_parked ON outbox (kind, id) WHERE parked IS NOT NULL AND delivered_at IS NULL;

-- A payer's standing consent. Its operations are in its document; `is_open` while the payer or the gateway still has to
-- say something.
CREATE TABLE agreements (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text COLLATE "C" NOT NULL,
    agreement_key text COLLATE "C" NOT NULL,
    is_open boolean NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    created_at bigint NOT NULL,
    gateway_reference text COLLATE "C",
    agreement_id text COLLATE "C",
    watch_at bigint,
    watch_tries integer NOT NULL DEFAULT 0,
    watched_until bigint,
    document text NOT NULL
) WITH (fillfactor = 85);
CREATE UNIQUE INDEX agreements_key ON agreements (tenant, agreement_key);
CREATE INDEX agreements_by_tenant ON agreements (tenant, created_at, id);
CREATE INDEX agreements_by_time ON agreements (created_at, id);
CREATE INDEX agreements_by_gateway_reference ON agreements (tenant, gateway_reference)
    WHERE gateway_reference IS NOT NULL;
CREATE INDEX agreements_by_agreement_id ON agreements (tenant, agreement_id) WHERE agreement_id IS NOT NULL;
CREATE INDEX agreements_watched ON agreements (watch_at, id) WHERE watch_at IS NOT NULL;
CREATE INDEX agreements_unwatched ON agreements (id) WHERE is_open AND watch_at IS NULL;

-- Whose an operation id is, where it is no payment's: unique per tenant over both.
CREATE TABLE agreement_operations (
    tenant text COLLATE "C" NOT NULL,
    operation_id text COLLATE "C" NOT NULL,
    agreement_key text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, operation_id),
    FOREIGN KEY (tenant, agreement_key) REFERENCES agreements (tenant, agreement_key)
);

-- Receipts by the time they were recorded. Where an older release inserts one, the time is taken from its document; not
-- by a JSON function, which fails over the escape of a NUL anywhere in it. Within a value a quote is escaped, so that
-- nothing else looks like the key.
ALTER TABLE receipts ADD COLUMN recorded_at bigint;
ALTER TABLE receipts DISABLE TRIGGER receipts_are_only_inserted;
UPDATE receipts SET recorded_at =
    round(extract(epoch FROM substring(document FROM '"recorded_at":"([^"]+)"')::timestamptz) * 1000000)::bigint;
ALTER TABLE receipts ENABLE TRIGGER receipts_are_only_inserted;
CREATE FUNCTION time_of_receipt() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    NEW.recorded_at := round(
        extract(epoch FROM substring(NEW.document FROM '"recorded_at":"([^"]+)"')::timestamptz) * 1000000
    )::bigint;
    RETURN NEW;
END
$body$;
CREATE TRIGGER receipts_have_a_time BEFORE INSERT ON receipts
    FOR EACH ROW WHEN (NEW.recorded_at IS NULL) EXECUTE FUNCTION time_of_receipt();
CREATE INDEX receipts_by_time ON receipts (tenant, gateway, mode, recorded_at, id);

-- At most one per receipt; a correction replaces it.
CREATE TABLE settlements (
    tenant text COLLATE "C" NOT NULL,
    gateway text COLLATE "C" NOT NULL,
    mode text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    transaction_id text COLLATE "C" NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    document text NOT NULL,
    PRIMARY KEY (tenant, transaction_id, gateway, mode, kind),
    FOREIGN KEY (tenant, transaction_id, gateway, mode, kind)
        REFERENCES receipts (tenant, transaction_id, gateway, mode, kind)
);
