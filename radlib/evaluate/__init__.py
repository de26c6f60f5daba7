"""Protocols: what a frozen backbone's features are worth."""
