"""Shared by the engines on PyTorch: seeds, restoring the process, and Lightning trainers driven by our options."""
