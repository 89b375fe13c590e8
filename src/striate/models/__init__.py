"""Whole networks, one family a file, and one visible dict from name to builder."""
