-- compatible: 1
--
-- Payouts, and transfers between the merchant's own accounts at a gateway.
--
-- The line above names the oldest schema whose release can go on working with this one: nothing that it knows changes.

-- The one operation is in the document. `is_out` is true once it was let out and has not come back, `is_settled` once it
-- needs nothing more. Its receipts stand in `receipts`, without a payment.
CREATE TABLE payouts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text COLLATE "C" NOT NULL,
    payout_id text COLLATE "C" NOT NULL,
    operation_id text COLLATE "C" NOT NULL,
    is_out boolean NOT NULL,
    is_settled boolean NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    created_at bigint NOT NULL,
    watch_at bigint,
    watch_tries integer NOT NULL DEFAULT 0,
    watched_until bigint,
    document text NOT NULL
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX payouts_key ON payouts (tenant, payout_id);
-- Unique per tenant together with those of `operations` and `agreement_operations`.
CREATE UNIQUE INDEX payouts_by_operation ON payouts (tenant, operation_id);
CREATE INDEX payouts_by_tenant ON payouts (tenant, created_at, id);
CREATE INDEX payouts_by_time ON payouts (created_at, id);
CREATE INDEX payouts_unsettled ON payouts (created_at, id) WHERE NOT is_settled;
CREATE INDEX payouts_by_watch ON payouts (watch_at, id) WHERE watch_at IS NOT NULL;
CREATE INDEX payouts_unwatched ON payouts (id) WHERE is_out AND watch_at IS NULL;
