"""What every engine on PyTorch needs: seeds, an untouched process, and a Lightning trainer by our options."""
