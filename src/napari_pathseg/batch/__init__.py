"""Many slides, and slides of any size: prompts become files, on one machine or many."""
