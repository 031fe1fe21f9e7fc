"""Anything with pixels becomes upright RGB ``uint8``, in order and in threads; masks and run lengths."""
