"""Labels go out and come in again: one module for each format."""
