-- Nobody looks a certificate up by its decision: the ledger and the certificate's own row say which one it was.
DROP INDEX certificate_decision;
