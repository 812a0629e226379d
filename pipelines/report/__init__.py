"""One page for a manager, an auditor and a researcher: what was forgotten, what shows it, and how it was measured."""
