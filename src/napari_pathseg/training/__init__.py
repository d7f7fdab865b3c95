"""Corrected and public labels become a model."""
