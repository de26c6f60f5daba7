"""Backbones: from an image to tokens."""
