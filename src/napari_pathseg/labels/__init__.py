"""Masks become editable, stored labels: instances, outlines, measures and the journal."""
