-- What one move of the sequencer brought about the same object is one row: the first index, and those after it.
ALTER TABLE ledger_subject ADD COLUMN more bigint[];
