"""Reading images from any source as upright RGB ``uint8``, in order and in threads; masks, run lengths and tiles."""
