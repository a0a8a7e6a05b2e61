"""Quality as operators see it: agreement, gold, trust, quarantine."""
