"""Networks and their weights: torch in, torch out."""
