"""Slides: every format opens to levels, metadata and the pixels of a field."""
