"""Audits that can fail: lineage, residue and distance to an oracle."""
