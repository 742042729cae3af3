-- compatible: 1
--
-- The inbox: verified news from gateways, kept before it is answered.
--
-- The line above names the oldest schema whose release can go on working with this one: the table that the first
-- release made for this purpose was never written or read by any.
DROP TABLE inbox;

-- `due_at` is when a worker looks at the row next: 0 for at once, the end of its lease, or the time to try again; null
-- once it is over, and then `finished_at` is set. `fence` grows with every lease.
CREATE TABLE inbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text COLLATE "C" NOT NULL,
    gateway text COLLATE "C" NOT NULL,
    mode text COLLATE "C" NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    news_key text COLLATE "C",
    state text COLLATE "C" NOT NULL,
    fence integer NOT NULL DEFAULT 0,
    tries integer NOT NULL DEFAULT 0,
    received_at bigint NOT NULL,
    due_at bigint,
    leased_until bigint,
    finished_at bigint,
    payment_id text COLLATE "C",
    note text,
    document text NOT NULL,
    headers text NOT NULL,
    body bytea NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);
CREATE UNIQUE INDEX inbox_key ON inbox (tenant, event_id, gateway, mode);
CREATE UNIQUE INDEX inbox_news ON inbox (tenant, news_key, gateway, mode) WHERE news_key IS NOT NULL;
-- State and time are there so that the backlog is counted in the index alone.
CREATE INDEX inbox_due ON inbox (due_at, id) INCLUDE (state, received_at) WHERE due_at IS NOT NULL;
CREATE INDEX inbox_by_time ON inbox (received_at, id);
CREATE INDEX inbox_by_tenant ON inbox (tenant, received_at, id);
CREATE INDEX inbox_unmatched ON inbox (received_at, id) WHERE state = 'unmatched';
CREATE INDEX inbox_finished ON inbox (finished_at, id) WHERE finished_at IS NOT NULL;
