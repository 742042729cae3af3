-- Everything the first release keeps, in a schema of its own; whoever runs this has set the search path to it.
--
-- Every row's `document` is the whole record as JSON; the columns beside it find, order and guard it, no more. It is
-- text and not jsonb: what is read is byte for byte what was written, and jsonb refuses the escape of a NUL, which a
-- gateway may send. Times are whole microseconds since 1970 in UTC, the same number that the records compare
-- (to_timestamp(created_at / 1000000.0) shows one). Texts that are compared collate as bytes: no update of the
-- machine's locales can then damage an index. `id` is the order of insertion. Every table of the flow is keyed by
-- tenant. Each index is one more page to write in most commits: there are as few as serve the store's queries, and a
-- test holds every query to its index.

CREATE TABLE meta (
    key text COLLATE "C" PRIMARY KEY,
    value text NOT NULL
);

-- Which of these files have run here, what was in them then, and which releases may still run beside them: those that
-- know the schema `compatible` or a later one.
CREATE TABLE migrations (
    number integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    compatible integer NOT NULL,
    applied_at bigint NOT NULL
);

CREATE TABLE payments (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text COLLATE "C" NOT NULL,
    payment_id text COLLATE "C" NOT NULL,
    merchant_reference text COLLATE "C" NOT NULL,
    gateway text COLLATE "C" NOT NULL,
    mode text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    created_at bigint NOT NULL,
    document text NOT NULL
) WITH (fillfactor = 85);
CREATE UNIQUE INDEX payments_key ON payments (tenant, payment_id);
CREATE INDEX payments_by_reference ON payments (tenant, merchant_reference, created_at, id);
CREATE INDEX payments_by_tenant ON payments (tenant, state, created_at, id);
CREATE INDEX payments_by_state ON payments (state, created_at, id);

CREATE TABLE submissions (
    tenant text COLLATE "C" NOT NULL,
    payment_id text COLLATE "C" NOT NULL,
    submission_no integer NOT NULL CHECK (submission_no > 0),
    gateway text COLLATE "C" NOT NULL,
    mode text COLLATE "C" NOT NULL,
    gateway_order_id text COLLATE "C" NOT NULL,
    gateway_reference text COLLATE "C",
    held_transaction_id text COLLATE "C",
    document text NOT NULL,
    PRIMARY KEY (tenant, payment_id, submission_no),
    FOREIGN KEY (tenant, payment_id) REFERENCES payments (tenant, payment_id)
) WITH (fillfactor = 85);
-- The order id stands second, so that it is found without its gateway too.
CREATE UNIQUE INDEX submissions_order_id ON submissions (tenant, gateway_order_id, gateway, mode);
CREATE INDEX submissions_by_gateway_reference ON submissions (tenant, gateway_reference)
    WHERE gateway_reference IS NOT NULL;
CREATE INDEX submissions_by_hold ON submissions (tenant, held_transaction_id)
    WHERE held_transaction_id IS NOT NULL;

CREATE TABLE operations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text COLLATE "C" NOT NULL,
    operation_id text COLLATE "C" NOT NULL,
    payment_id text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    updated_at bigint NOT NULL,
    document text NOT NULL,
    FOREIGN KEY (tenant, payment_id) REFERENCES payments (tenant, payment_id)
) WITH (fillfactor = 85);
CREATE UNIQUE INDEX operations_key ON operations (tenant, operation_id);
CREATE INDEX operations_by_payment ON operations (tenant, payment_id);
CREATE INDEX operations_by_state ON operations (state, updated_at, id);

CREATE TABLE attempts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text COLLATE "C" NOT NULL,
    payment_id text COLLATE "C" NOT NULL,
    operation_id text COLLATE "C" NOT NULL,
    fence integer NOT NULL,
    document text NOT NULL
);
CREATE UNIQUE INDEX attempts_key ON attempts (tenant, payment_id, operation_id, fence);

CREATE FUNCTION only_inserted() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION '% are only inserted', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$body$;

-- Facts: only ever inserted. A receipt without payment_id is known and matched to no payment of ours.
CREATE TABLE receipts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text COLLATE "C" NOT NULL,
    gateway text COLLATE "C" NOT NULL,
    mode text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    transaction_id text COLLATE "C" NOT NULL,
    payment_id text COLLATE "C",
    document text NOT NULL,
    FOREIGN KEY (tenant, payment_id) REFERENCES payments (tenant, payment_id)
);
CREATE UNIQUE INDEX receipts_key ON receipts (tenant, transaction_id, gateway, mode, kind);
CREATE INDEX receipts_by_payment ON receipts (tenant, payment_id) WHERE payment_id IS NOT NULL;
CREATE TRIGGER receipts_are_only_inserted BEFORE UPDATE OR DELETE ON receipts
    FOR EACH ROW EXECUTE FUNCTION only_inserted();
CREATE TRIGGER receipts_are_not_emptied BEFORE TRUNCATE ON receipts
    FOR EACH STATEMENT EXECUTE FUNCTION only_inserted();

CREATE TABLE events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text COLLATE "C" NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    payment_id text COLLATE "C" NOT NULL,
    document text NOT NULL,
    FOREIGN KEY (tenant, payment_id) REFERENCES payments (tenant, payment_id)
);
CREATE UNIQUE INDEX events_key ON events (tenant, event_id);
CREATE INDEX events_by_payment ON events (tenant, payment_id);
CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events
    FOR EACH ROW EXECUTE FUNCTION only_inserted();

-- One row per ledger entry or event to hand over. `head` is true on the rows that may be the first undelivered ones of
-- their subject: on that one always, on others until a worker has looked. `due_at` is when the row may be leased: its
-- creation, the end of its lease, or the time to try again.
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text COLLATE "C" NOT NULL,
    row_id text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    seq integer NOT NULL,
    document text NOT NULL,
    created_at bigint NOT NULL,
    attempts integer NOT NULL,
    next_at bigint,
    parked text,
    due_at bigint NOT NULL,
    head boolean NOT NULL DEFAULT true,
    delivered_at bigint
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);
CREATE UNIQUE INDEX outbox_key ON outbox (tenant, row_id);
CREATE INDEX outbox_by_subject ON outbox (kind, tenant, subject, seq, id) WHERE delivered_at IS NULL;
CREATE INDEX outbox_due ON outbox (kind, due_at, id) WHERE head AND parked IS NULL AND delivered_at IS NULL;

-- Verified news from gateways, and what came before its payment: filled by the webhook doors.
CREATE TABLE inbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text COLLATE "C" NOT NULL,
    gateway text COLLATE "C" NOT NULL,
    mode text COLLATE "C" NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    gateway_order_id text COLLATE "C",
    gateway_reference text COLLATE "C",
    received_at bigint NOT NULL,
    attempts integer NOT NULL,
    due_at bigint NOT NULL,
    parked text,
    document text NOT NULL
);
CREATE UNIQUE INDEX inbox_key ON inbox (tenant, gateway, mode, event_id);
CREATE INDEX inbox_due ON inbox (due_at, id) WHERE state = 'waiting' AND parked IS NULL;
CREATE INDEX inbox_by_order ON inbox (tenant, gateway_order_id) WHERE gateway_order_id IS NOT NULL;
CREATE INDEX inbox_by_reference ON inbox (tenant, gateway_reference) WHERE gateway_reference IS NOT NULL;

-- The one table that holds secrets: tokens by the digest of their credentials, shared by all tenants on purpose.
CREATE TABLE tokens (
    digest text COLLATE "C" PRIMARY KEY,
    version text,
    document text,
    grants text
);
