"""Storage: records, schema, store, artefacts and the ledger."""
