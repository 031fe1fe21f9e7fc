"""What this process runs on (cores, memory, device, versions, packages), and files that are written atomically."""
