"""Logits and labels -> numbers with units and intervals."""
