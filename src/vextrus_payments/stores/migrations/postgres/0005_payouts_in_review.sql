-- compatible: 1
--
-- Payouts of which the gateway tells otherwise than the books wait for a person, and are no longer called settled: so
-- that those are found that an older release has put aside. `is_settled` is read off the document at each write. Where
-- this calls one unsettled of which the wrong booking was taken back since, that is put right at its next write.
UPDATE payouts SET is_settled = false
    WHERE is_settled AND (document LIKE '%"mismatched":true%' OR document LIKE '%"step":"payout.contradicted"%');
